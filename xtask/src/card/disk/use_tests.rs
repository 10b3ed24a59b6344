//! Cards that are in use: those that unmounting releases, disks of the running system, and those with protected paths.

use super::fake::FakeMachine;
use super::tests::{LIST_CARDS, assert_refusals, assert_refused_on, request};
use super::*;

/// A request that lets the card be unmounted.
fn unmounted() -> Request {
    Request { mounted: Mounted::Unmounted, ..request() }
}

#[test]
fn a_card_that_is_only_mounted_is_accepted_with_unmounting() {
    let machine = FakeMachine::new();
    machine.with_stick().mount("8:17", "/media/me/A", "vfat", "/dev/sdb1");
    machine.mount("8:17", "/mnt", "vfat", "/dev/sdb1");
    let stick = machine.disk("sdb");
    assert_refusals(&stick, &unmounted(), &[]);
    let mounts = stick.plain_mounts().map(|(device, at)| format!("{device} {}", at.display()));
    assert_eq!(mounts.collect::<Vec<_>>(), ["sdb1 /media/me/A", "sdb1 /mnt"]);
}

#[test]
fn a_disk_of_the_running_system_is_refused() {
    assert_refused_on(
        "sdb",
        |machine| machine.with_stick().add_swap("/dev/sdb1"),
        &format!("/dev/sdb is a disk of the running system: sdb1 is used as swap; {LIST_CARDS}"),
    );
    let reason = "/dev/mmcblk0 is a disk of the running system: mmcblk0p1 is mounted at /boot/firmware";
    assert_refused_on(
        "mmcblk0",
        |machine| machine.with_card(&[]).mount("179:1", "/boot/firmware", "vfat", "/dev/mmcblk0p1"),
        &format!("{reason}; {LIST_CARDS}"),
    );
}

type SetUp = fn(&FakeMachine);

/// Ways to use a stick otherwise than by a plain mount of the user, each with the refusal.
const OTHER_USES: &[(SetUp, &str)] = &[
    (
        |machine| {
            machine.mount("8:17", "/home", "ext4", "/dev/sdb1");
        },
        "/dev/sdb is a disk of the running system: sdb1 is mounted at /home; \
         run `cargo xtask devices` to list the cards",
    ),
    (
        |machine| {
            machine.mount("8:17", "/mnt", "ext4", "/dev/sdb1").add_swap("/dev/sdb1");
        },
        "/dev/sdb is a disk of the running system: sdb1 is used as swap; \
         run `cargo xtask devices` to list the cards",
    ),
    (
        |machine| {
            machine.mount("8:17", "/mnt", "ext4", "/dev/sdb1").add_swap("/mnt/swapfile");
        },
        "/dev/sdb is a disk of the running system: sdb1 is used as swap; \
         run `cargo xtask devices` to list the cards",
    ),
    (
        |machine| {
            machine.stack("dm-0", "sdb1");
        },
        "/dev/sdb is in use: sdb1 is part of dm-0 (safe); remove the disk from there first",
    ),
    (
        |machine| {
            machine.stack("dm-0", "sdb1").mount("253:0", "/mnt", "ext4", "/dev/mapper/safe");
        },
        "/dev/sdb is in use: sdb1 is mounted at /mnt through dm-0 (safe); \
         run `umount /mnt`",
    ),
    (
        |machine| {
            for member in ["sda1", "sdb1"] {
                machine.write_file(&format!("sys/fs/btrfs/11-22/devices/{member}"), "");
            }
            machine.mount("0:31", "/mnt", "btrfs", "/dev/sda1");
        },
        "/dev/sdb is in use: sdb1 is mounted at /mnt through a btrfs of 2 devices; \
         run `umount /mnt`",
    ),
];

#[test]
fn unmounting_does_not_end_other_uses() {
    for (set_up, expected) in OTHER_USES {
        let machine = FakeMachine::new();
        machine.with_sata().with_stick().add_device("virtual/block/dm-0", "253:0", &[("dm/name", "safe")]);
        set_up(&machine);
        assert_refusals(&machine.disk("sdb"), &unmounted(), &[expected]);
    }
}

#[test]
fn a_btrfs_of_one_device_is_only_mounted() {
    let machine = FakeMachine::new();
    machine.with_stick().write_file("sys/fs/btrfs/11-22/devices/sdb1", "");
    machine.mount("0:31", "/mnt", "btrfs", "/dev/sdb1");
    assert_refusals(&machine.disk("sdb"), &unmounted(), &[]);
}

#[test]
fn a_card_with_a_protected_path_is_refused() {
    let machine = FakeMachine::new();
    machine.with_stick().mount("0:20", "/", "tmpfs", "none");
    machine.mount("8:17", "/media/me/CARD", "ext4", "/dev/sdb1");
    let stick = machine.disk("sdb");
    for what in ["the image", "the flake", "the working directory"] {
        let protect = |path: &str| ProtectedPath::find(&machine.roots(), what, path.as_ref(), Extent::Itself);
        let protected = vec![protect("/media/me/other"), protect("/media/me/CARD/work")];
        let words = format!(
            "{what} /media/me/CARD/work is on /dev/sdb, which would be overwritten; \
             use a copy on another disk, or name another card"
        );
        assert_refusals(&stick, &Request { protected, ..unmounted() }, &[&words]);
    }
}

#[test]
fn a_file_is_protected_under_each_of_its_names() {
    let machine = FakeMachine::new();
    let dir = tempfile::tempdir().unwrap();
    let [card, name] = ["card.img", "name.img"].map(|name| dir.path().canonicalize().unwrap().join(name));
    std::fs::write(&card, "content").and_then(|()| std::fs::hard_link(&card, &name)).unwrap();
    let protected = vec![ProtectedPath::find(&machine.roots(), "the image", &name, Extent::Itself)];
    let refusal = |device: &str| {
        let name = name.display();
        format!(
            "the image {name} is on {device}, which would be overwritten; use a copy on another disk, or name \
             another card"
        )
    };
    let request = Request { virtual_cards: VirtualCards::Allowed, protected, ..request() };
    let disk = Disk::load(&machine.roots(), &card).unwrap();
    assert_refusals(&disk, &request, &[&refusal(card.to_str().unwrap())]);
    machine.add_device("virtual/block/loop3", "7:3", &[("loop/backing_file", card.to_str().unwrap())]);
    assert_refusals(&machine.disk("loop3"), &request, &[&refusal("/dev/loop3")]);
}

#[test]
fn a_file_is_in_use_under_each_of_its_names() {
    let machine = FakeMachine::new();
    let dir = tempfile::tempdir().unwrap();
    let [card, name] = ["card.img", "name.img"].map(|name| dir.path().canonicalize().unwrap().join(name));
    std::fs::write(&card, "content").and_then(|()| std::fs::hard_link(&card, &name)).unwrap();
    machine.add_device("virtual/block/loop3", "7:3", &[("loop/backing_file", card.to_str().unwrap())]);
    machine.mount("7:3", "/mnt", "ext4", "/dev/loop3");
    let uses = Disk::load(&machine.roots(), &name).unwrap().uses;
    assert_eq!(uses[0].to_string(), "name.img is mounted at /mnt through loop3");
    machine.add_device("virtual/block/loop4", "7:4", &[("loop/backing_file", name.to_str().unwrap())]);
    assert_eq!(machine.disk("loop4").uses[0].to_string(), "loop4 is mounted at /mnt through loop3");
}

#[test]
fn a_file_system_on_the_whole_disk_is_known_from_udev() {
    let machine = FakeMachine::new();
    machine.add_device("pci/usb1/1-2/host7/block/sdd", "8:48", &[]);
    machine.write_file("run/udev/data/b8:48", "E:ID_FS_LABEL=PHOTOS\nE:ID_FS_TYPE=exfat\n");
    assert_eq!(machine.disk("sdd").content(), "PHOTOS (exfat)");
}

/// Anybody may send a job to a worker, so the worker checks the disk itself.
#[test]
fn a_worker_refuses_a_disk_whatever_was_confirmed() {
    let machine = FakeMachine::new();
    machine.with_sata().with_stick().add_device("virtual/block/loop3", "7:3", &[]);
    let reasons = |name| -> Vec<String> {
        refusals::worker_refusals(&machine.disk(name)).into_iter().map(|refusal| refusal.reason).collect()
    };
    assert!(reasons("loop3").is_empty() && reasons("sdb").is_empty());
    assert_eq!(reasons("sda"), ["/dev/sda is an internal SATA disk, not a card"]);
    machine.mount("8:17", "/media/me/A", "vfat", "/dev/sdb1");
    assert_eq!(reasons("sdb"), ["/dev/sdb is in use: sdb1 is mounted at /media/me/A"]);
}

#[test]
fn a_card_that_its_user_mounted_is_no_disk_of_the_system() {
    for at in ["/home/me/card", "/root/card", "/var/mnt/card", "/var/tmp/my card"] {
        let machine = FakeMachine::new();
        machine.write_file("etc/passwd", "me:x:1000:100::/home/me:/bin/sh\nroot:x:0:0::/root:/bin/sh\n");
        machine.with_stick().mount("8:17", &at.replace(' ', "\\040"), "vfat", "/dev/sdb1");
        let stick = machine.disk("sdb");
        let quoted = crate::base::shell::quote(at);
        let words = format!(
            "/dev/sdb is in use: sdb1 is mounted at {at}; run `umount {quoted}`, or pass --unmount to `flash`"
        );
        assert_refusals(&stick, &request(), &[&words]);
        assert_refusals(&stick, &unmounted(), &[]);
        assert_eq!(stick.plain_mounts().count(), 1);
    }
}

#[test]
fn a_disk_that_the_system_mounts_below_home_stays_one_of_the_system() {
    let machine = FakeMachine::new();
    machine.write_file("etc/fstab", "LABEL=data /home/me/data ext4 defaults 0 0\n");
    machine.with_stick().mount("8:17", "/home/me/data", "ext4", "/dev/sdb1");
    let words = "/dev/sdb is a disk of the running system: sdb1 is mounted at /home/me/data by the configuration of this \
        machine; run `umount /home/me/data` if this is a card after all, else name another disk";
    for request in [request(), unmounted()] {
        assert_refusals(&machine.disk("sdb"), &request, &[words]);
    }
    machine
        .mount("8:17", "/home/me", "ext4", "/dev/sdb1")
        .write_file("etc/passwd", "me:x:1:1::/home/me:/bin/sh\n");
    let words = "/dev/sdb is a disk of the running system: sdb1 is mounted at /home/me/data by the configuration of this \
        machine, sdb1 is mounted at /home/me; run `cargo xtask devices` to list the cards";
    assert_refusals(&machine.disk("sdb"), &unmounted(), &[words]);
}

/// A user who is told how to confirm believes that the rest is in order.
#[test]
fn a_refusal_that_no_option_lifts_offers_none() {
    let list = "run `cargo xtask devices` to list the cards";
    let without_terminal = |request: Request| {
        let missing = Request { confirmation: Confirmation::Missing, ..request.clone() };
        let alone = Confirmation::Expected { size: None, serial: None };
        [missing, Request { confirmation: alone, ..request }]
    };
    let internal = FakeMachine::new();
    internal.with_sata().mount("8:1", "/mnt/data", "ext4", "/dev/sda1");
    let root = FakeMachine::new();
    root.with_stick().mount("8:17", "/", "ext4", "/dev/sdb1");
    let looped = FakeMachine::new();
    looped.add_device("virtual/block/loop1", "7:1", &[]).mount("7:1", "/", "ext4", "/dev/loop1");
    let swap = FakeMachine::new();
    swap.with_stick().add_swap("/dev/sdb1");
    let locked = FakeMachine::new();
    locked.with_card(&[("ro", "1")]);
    let empty = FakeMachine::new();
    empty.with_card(&[("size", "0")]);
    let held = FakeMachine::new();
    held.with_stick().add_device("virtual/block/dm-0", "253:0", &[("dm/name", "safe")]).stack("dm-0", "sdb1");
    for (machine, name, reason) in [
        (&internal, "sda", format!("/dev/sda is an internal SATA disk, not a card; {list}")),
        (&root, "sdb", format!("/dev/sdb is a disk of the running system: sdb1 is mounted at /; {list}")),
        (&looped, "loop1", format!("/dev/loop1 is a disk of the running system: loop1 is mounted at /; {list}")),
        (&swap, "sdb", format!("/dev/sdb is a disk of the running system: sdb1 is used as swap; {list}")),
        (
            &locked,
            "mmcblk0",
            "/dev/mmcblk0 is read-only; slide the write-protect switch on the side of the card or its adapter".into(),
        ),
        (&empty, "mmcblk0", "/dev/mmcblk0 has no medium in it; insert the card and try again".into()),
        (&held, "sdb", "/dev/sdb is in use: sdb1 is part of dm-0 (safe); remove the disk from there first".into()),
    ] {
        for request in without_terminal(request()) {
            assert_refusals(&machine.disk(name), &request, &[&reason]);
        }
    }
}

/// An option lifts each of the two refusals, and a command line may have both options.
#[test]
fn options_that_lift_all_refusals_are_all_offered() {
    let machine = FakeMachine::new();
    machine.with_stick().mount("8:17", "/home/me/card", "vfat", "/dev/sdb1");
    let missing = Request { confirmation: Confirmation::Missing, ..request() };
    assert_refusals(
        &machine.disk("sdb"),
        &missing,
        &[
            "/dev/sdb is in use: sdb1 is mounted at /home/me/card; run `umount /home/me/card`, or pass --unmount to `flash`",
            "cannot ask whether /dev/sdb may be overwritten: there is no terminal; pass --yes --expect-size 32000000000",
        ],
    );
}
