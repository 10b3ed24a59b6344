//! Cards that are in use: those that unmounting releases, and those with protected paths.

use super::fake::FakeMachine;
use super::tests::{check, request};
use super::*;

fn unmounted() -> Request {
    Request { mounted: Mounted::Unmounted, ..request() }
}

#[test]
fn a_card_that_is_only_mounted_is_accepted_with_unmounting() {
    let machine = FakeMachine::new();
    machine.with_stick().mount("8:17", "/media/me/A", "vfat", "/dev/sdb1");
    machine.mount("8:17", "/mnt", "vfat", "/dev/sdb1");
    let stick = machine.disk("sdb");
    check(&stick, &unmounted(), &[]);
    let mounts = stick.plain_mounts().map(|(device, at)| format!("{device} {}", at.display()));
    assert_eq!(mounts.collect::<Vec<_>>(), ["sdb1 /media/me/A", "sdb1 /mnt"]);
}

type Make<'a> = &'a dyn Fn(&FakeMachine);

#[test]
fn unmounting_does_not_end_other_uses() {
    let stick = |make: &dyn Fn(&FakeMachine)| {
        let machine = FakeMachine::new();
        machine.with_sata().with_stick().device("virtual/block/dm-0", "253:0", &[("dm/name", "safe")]);
        make(&machine);
        machine.disk("sdb")
    };
    let cases: [(Make, &str); 6] = [
        (
            &|machine| {
                machine.mount("8:17", "/home", "ext4", "/dev/sdb1");
            },
            "/dev/sdb is a disk of the running system: sdb1 is mounted at /home; \
             run `cargo xtask devices` to list the cards",
        ),
        (
            &|machine| {
                machine.mount("8:17", "/mnt", "ext4", "/dev/sdb1").swap("/dev/sdb1");
            },
            "/dev/sdb is a disk of the running system: sdb1 is used as swap; \
             run `cargo xtask devices` to list the cards",
        ),
        (
            &|machine| {
                machine.mount("8:17", "/mnt", "ext4", "/dev/sdb1").swap("/mnt/swapfile");
            },
            "/dev/sdb is a disk of the running system: sdb1 is used as swap; \
             run `cargo xtask devices` to list the cards",
        ),
        (
            &|machine| {
                machine.stack("dm-0", "sdb1");
            },
            "/dev/sdb is in use: sdb1 is part of dm-0 (safe); remove it from there first",
        ),
        (
            &|machine| {
                machine.stack("dm-0", "sdb1").mount("253:0", "/mnt", "ext4", "/dev/mapper/safe");
            },
            "/dev/sdb is in use: sdb1 is mounted at /mnt through dm-0 (safe); \
             run `umount /mnt`",
        ),
        (
            &|machine| {
                for member in ["sda1", "sdb1"] {
                    machine.file(&format!("sys/fs/btrfs/11-22/devices/{member}"), "");
                }
                machine.mount("0:31", "/mnt", "btrfs", "/dev/sda1");
            },
            "/dev/sdb is in use: sdb1 is mounted at /mnt through a btrfs of 2 devices; \
             run `umount /mnt`",
        ),
    ];
    for (make, words) in cases {
        check(&stick(make), &unmounted(), &[words]);
    }
}

#[test]
fn a_btrfs_of_one_device_is_only_mounted() {
    let machine = FakeMachine::new();
    machine.with_stick().file("sys/fs/btrfs/11-22/devices/sdb1", "");
    machine.mount("0:31", "/mnt", "btrfs", "/dev/sdb1");
    check(&machine.disk("sdb"), &unmounted(), &[]);
}

#[test]
fn a_card_with_a_protected_path_is_refused() {
    let machine = FakeMachine::new();
    machine.with_stick().mount("0:20", "/", "tmpfs", "none");
    machine.mount("8:17", "/media/me/CARD", "ext4", "/dev/sdb1");
    let stick = machine.disk("sdb");
    for what in ["the image", "the flake", "the working directory"] {
        let path = |text: &str| Protected::find(&machine.roots(), what, text.as_ref(), Extent::Itself);
        let protected = vec![path("/media/me/other"), path("/media/me/CARD/work")];
        let words = format!(
            "{what} /media/me/CARD/work is on /dev/sdb, which would be overwritten; \
             copy it to another disk first"
        );
        check(&stick, &Request { protected, ..unmounted() }, &[&words]);
    }
}

#[test]
fn a_file_with_two_names() {
    let machine = FakeMachine::new();
    let dir = tempfile::tempdir().unwrap();
    let [card, name] = ["card.img", "name.img"].map(|name| dir.path().canonicalize().unwrap().join(name));
    std::fs::write(&card, "content").and_then(|()| std::fs::hard_link(&card, &name)).unwrap();
    let protected = vec![Protected::find(&machine.roots(), "the image", &name, Extent::Itself)];
    let words = |device: String| {
        let name = name.display();
        format!("the image {name} is on {device}, which would be overwritten; copy it to another disk first")
    };
    let request = Request { virtual_cards: VirtualCards::Allowed, protected, ..request() };
    let disk = Disk::load(&machine.roots(), &card).unwrap();
    check(&disk, &request, &[&words(card.display().to_string())]);
    machine.device("virtual/block/loop3", "7:3", &[("loop/backing_file", card.to_str().unwrap())]);
    check(&machine.disk("loop3"), &request, &[&words("/dev/loop3".to_owned())]);
    machine.mount("7:3", "/mnt", "ext4", "/dev/loop3");
    let used = Disk::load(&machine.roots(), &name).unwrap().uses;
    assert_eq!(used[0].to_string(), "name.img is mounted at /mnt through loop3");
    machine.device("virtual/block/loop4", "7:4", &[("loop/backing_file", name.to_str().unwrap())]);
    assert_eq!(machine.disk("loop4").uses[0].to_string(), "loop4 is mounted at /mnt through loop3");
}

#[test]
fn a_file_system_on_the_whole_disk_is_known_from_udev() {
    let machine = FakeMachine::new();
    machine.device("pci/usb1/1-2/host7/block/sdd", "8:48", &[]);
    machine.file("run/udev/data/b8:48", "E:ID_FS_LABEL=PHOTOS\nE:ID_FS_TYPE=exfat\n");
    assert_eq!(machine.disk("sdd").content(), "PHOTOS (exfat)");
}

/// Anybody may send a job to a worker, so the worker checks the disk itself.
#[test]
fn a_worker_refuses_a_disk_whatever_was_confirmed() {
    let machine = FakeMachine::new();
    machine.with_sata().with_stick().device("virtual/block/loop3", "7:3", &[]);
    let reasons = |name| -> Vec<String> {
        refusals::unwritable(&machine.disk(name)).into_iter().map(|refusal| refusal.reason).collect()
    };
    assert!(reasons("loop3").is_empty() && reasons("sdb").is_empty());
    assert_eq!(reasons("sda"), ["/dev/sda is an internal SATA disk, not a card"]);
    machine.mount("8:17", "/media/me/A", "vfat", "/dev/sdb1");
    assert_eq!(reasons("sdb"), ["/dev/sdb is in use: sdb1 is mounted at /media/me/A"]);
}
