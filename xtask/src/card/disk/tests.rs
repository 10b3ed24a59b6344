//! How disks are described, used and refused, with the exact messages, on fake machines.

use std::path::Path;

use super::fake::FakeMachine;
use super::*;
use crate::base::failure::with_hint;

pub(super) const LIST_CARDS: &str = "run `cargo xtask devices` to list the cards";

/// A request for a card that is confirmed on the terminal, without any option.
pub(super) fn request() -> Request {
    Request {
        image_size: None,
        virtual_cards: VirtualCards::Refused,
        mounted: Mounted::Refused,
        protected: Vec::new(),
        confirmation: Confirmation::Typed,
    }
}

/// Asserts that `disk` has exactly the refusals `expected`, each as its reason and its hint.
#[track_caller]
pub(super) fn assert_refusals(disk: &Disk, request: &Request, expected: &[&str]) {
    let refusals = refusals(disk, request);
    let texts = refusals.iter().map(|refusal| refusal.to_reason().to_string()).collect::<Vec<_>>();
    assert_eq!(texts, expected);
}

/// Asserts that the disk `name` has exactly the refusal `expected` on the machine that `set_up` makes of an empty one.
#[track_caller]
pub(super) fn assert_refused_on(
    name: &str,
    set_up: impl for<'a> Fn(&'a FakeMachine) -> &'a FakeMachine,
    expected: &str,
) {
    let machine = FakeMachine::new();
    set_up(&machine);
    assert_refusals(&machine.disk(name), &request(), &[expected]);
}

#[test]
fn a_card_and_a_stick_are_recognized_and_accepted() {
    let machine = FakeMachine::new();
    machine.with_card(&[]).with_stick();
    for name in ["mmcblk0", "sdb"] {
        assert_refusals(&machine.disk(name), &request(), &[]);
    }
    let card = machine.disk("mmcblk0");
    assert_eq!((card.kind, card.size, card.diskseq), (DiskKind::SdCard, 32_000_000_000, Some(7)));
    assert_eq!((card.serial.as_deref(), card.model.as_deref()), (Some("1b534d45"), Some("EB1QT")));
    assert_eq!(card.partitions[1].size, 31_457_280_000);
    let stick = machine.disk("sdb");
    assert_eq!((stick.title().as_str(), stick.serial.as_deref()), ("SanDisk Ultra Fit", Some("4C530001")));
    assert_eq!(machine.disk_names(), ["mmcblk0", "sdb"]);
}

#[test]
fn a_partition_is_no_disk() {
    let machine = FakeMachine::new();
    machine.with_card(&[]);
    let error = Disk::by_number(&machine.roots(), DeviceNumber { major: 179, minor: 2 }).unwrap_err();
    let words = "/dev/mmcblk0p2 is a partition, not a whole disk; name the whole disk: /dev/mmcblk0";
    assert_eq!(with_hint(&error), words);
}

#[test]
fn the_name_of_a_device_is_suggested_with_its_folder() {
    let machine = FakeMachine::new();
    machine.with_card(&[]);
    for (path, hint) in [
        ("mmcblk0", "did you mean /dev/mmcblk0?"),
        ("mmcblk1", "is the card plugged in? `cargo xtask devices` lists the cards"),
        ("/no/such/mmcblk0", "is the card plugged in? `cargo xtask devices` lists the cards"),
        ("", "is the card plugged in? `cargo xtask devices` lists the cards"),
    ] {
        let error = Disk::load(&machine.roots(), Path::new(path)).unwrap_err();
        assert_eq!(with_hint(&error), format!("there is no {path}; {hint}"));
        assert_eq!(crate::base::failure::kind(&error), crate::base::failure::ExitKind::Refused);
    }
}

/// The device paths of devices that are no cards, and what the refusal calls each device.
const OTHER_DEVICES: &[(&str, &str)] = &[
    ("pci/nvme/nvme0/nvme0n1", "an internal NVMe disk"),
    ("platform/host2/session1/target2:0:0/block/sdc", "an internal iSCSI disk"),
    ("pci/host4/target4:0:0/block/sdd", "an internal SCSI disk"),
    ("virtual/block/ram0", "a RAM disk"),
    ("platform/floppy.0/block/fd0", "a floppy drive"),
    ("platform/flash/mtd/mtd0/mtdblock0", "raw flash of the machine"),
    ("virtual/block/nbd1", "a network block device"),
    ("virtual/block/zd16", "a ZFS volume"),
    ("pci/ndbus0/region0/block/pmem0", "persistent memory"),
    ("soc/mmc_host/mmc0/block/mmcblk0/mmcblk0boot1", "a boot or protected area of an eMMC"),
    ("soc/mmc_host/mmc0/block/mmcblk0/mmcblk0rpmb", "a boot or protected area of an eMMC"),
    ("soc/mmc_host/mmc0/block/mmcblk0/mmcblk0gp0", "a boot or protected area of an eMMC"),
    ("pci/ata1/host0/block/sda", "an internal SATA disk"),
    ("pci/virtio1/block/vda", "an internal virtio disk"),
    ("virtual/block/zram0", "compressed memory"),
    ("virtual/block/dm-3", "a device-mapper volume"),
    ("virtual/block/md127", "a RAID array"),
    ("pci/ata2/host1/block/sr0", "an optical drive"),
    ("soc/mmc_host/mmc0/block/mmcblk0/mmcblk0boot0", "a boot or protected area of an eMMC"),
    ("virtual/block/new0", "a device of an unknown kind"),
];

#[test]
fn other_devices_are_no_cards() {
    for &(device_path, what) in OTHER_DEVICES {
        let name = device_path.rsplit_once('/').unwrap().1;
        let expected = format!("/dev/{name} is {what}, not a card; {LIST_CARDS}");
        assert_refused_on(
            name,
            |machine| machine.add_device(device_path, "9:9", &[("removable", "1")]),
            &expected,
        );
    }
    assert_refused_on(
        "nvme0c0n1",
        |machine| machine.add_device("pci/nvme/nvme0/nvme0c0n1", "9:9", &[("hidden", "1")]),
        &format!("/dev/nvme0c0n1 is a hidden path of another disk, not a card; {LIST_CARDS}"),
    );
    // An eMMC is recognized by its type, even if it is removable.
    assert_refused_on(
        "mmcblk0",
        |machine| machine.with_card(&[("device/type", "MMC"), ("removable", "1")]),
        &format!("/dev/mmcblk0 is an eMMC of this machine, not a card; {LIST_CARDS}"),
    );
    assert_refused_on(
        "loop1",
        |machine| machine.add_device("virtual/block/loop1", "7:1", &[]),
        "/dev/loop1 is a loop device, not a card; pass --allow-virtual to accept it",
    );
}

#[test]
fn a_card_in_an_unfit_state_is_refused() {
    for attribute in ["ro", "force_ro"] {
        assert_refused_on(
            "mmcblk0",
            |machine| machine.with_card(&[(attribute, "1")]),
            "/dev/mmcblk0 is read-only; slide the write-protect switch on the side of the card or its adapter",
        );
    }
    assert_refused_on(
        "mmcblk0",
        |machine| machine.with_card(&[("size", "0")]),
        "/dev/mmcblk0 has no medium in it; insert the card and try again",
    );
    assert_refused_on(
        "mmcblk0",
        |machine| machine.with_card(&[("queue/logical_block_size", "4096")]),
        "/dev/mmcblk0 has sectors of 4096 bytes, but a card needs 512; use another card or reader",
    );
}

#[test]
fn a_card_in_use_is_refused() {
    assert_refused_on(
        "mmcblk0",
        |machine| machine.with_card(&[]).mount("179:2", "/media/me/MY\\040CARD", "ext4", "/dev/root"),
        "/dev/mmcblk0 is in use: mmcblk0p2 is mounted at /media/me/MY CARD; \
         run `umount '/media/me/MY CARD'`, or pass --unmount to `flash`",
    );
    assert_refused_on(
        "sdb",
        |machine| {
            let machine =
                machine.with_stick().add_device("virtual/block/md0", "9:0", &[("md/level", "raid1")]);
            machine.stack("md0", "sdb1")
        },
        "/dev/sdb is in use: sdb1 is part of md0 (raid1); remove the disk from there first",
    );
}

#[test]
fn a_name_that_begins_alike_is_another_device() {
    let machine = FakeMachine::new();
    for (name, number) in [("loop1", "7:1"), ("loop10", "7:10")] {
        machine.add_device(&format!("virtual/block/{name}"), number, &[]);
    }
    machine.mount("7:10", "/mnt", "ext4", "/dev/loop10");
    assert_eq!(machine.disk("loop1").uses, []);
    assert_eq!(machine.disk("loop10").uses[0].to_string(), "loop10 is mounted at /mnt");
}

#[test]
fn the_system_below_encryption_and_volumes_is_found() {
    let machine = FakeMachine::new();
    machine.with_sata();
    for (number, name) in [("0", "cryptroot"), ("1", "vg-root"), ("2", "vg-swap")] {
        let device_path = format!("virtual/block/dm-{number}");
        machine.add_device(&device_path, &format!("253:{number}"), &[("dm/name", name)]);
    }
    machine.stack("dm-0", "sda2").stack("dm-1", "dm-0").stack("dm-2", "dm-0");
    machine.mount("0:20", "/", "tmpfs", "none").mount("253:1", "/nix", "ext4", "/dev/mapper/vg-root");
    machine.add_swap("/dev/dm-2");
    let uses = machine.disk("sda").uses.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        uses,
        [
            "sda2 is mounted at /nix through dm-0 (cryptroot), dm-1 (vg-root)",
            "sda2 is used as swap through dm-0 (cryptroot), dm-2 (vg-swap)",
        ]
    );
    assert!(machine.disk("sda").uses.iter().all(Use::is_system));
}

#[test]
fn every_member_of_a_btrfs_is_in_use() {
    let machine = FakeMachine::new();
    machine.with_sata().with_stick();
    for member in ["sda1", "sdb1"] {
        machine.write_file(&format!("sys/fs/btrfs/11-22/devices/{member}"), "");
    }
    machine.mount("0:31", "/home", "btrfs", "/dev/sda1");
    for (disk, member) in [("sda", "sda1"), ("sdb", "sdb1")] {
        let uses = machine.disk(disk).uses;
        assert_eq!(uses[0].to_string(), format!("{member} is mounted at /home through a btrfs of 2 devices"));
    }
}

#[test]
fn the_partitions_of_a_card_are_listed() {
    let machine = FakeMachine::new();
    machine.with_card(&[]);
    machine.write_file("run/udev/data/b179:1", "E:ID_FS_LABEL=FIRMWARE\nE:ID_FS_TYPE=vfat\n");
    assert_eq!(machine.disk("mmcblk0").content(), "FIRMWARE (vfat), partition 2 of 29.3 GiB");
}

#[test]
fn another_card_with_the_same_labels_is_warned_of() {
    let machine = FakeMachine::new();
    machine.with_card(&[]).with_stick();
    let warnings = |machine: &FakeMachine| label_conflicts(&machine.roots(), &machine.disk("sdb"), &[]);
    machine.write_file("run/udev/data/b8:17", "E:ID_FS_LABEL=NIXOS_SD\n");
    assert!(warnings(&machine).is_empty(), "the card itself is no conflict");
    machine.write_file("run/udev/data/b179:2", "E:ID_FS_LABEL=NIXOS_SD\n");
    let words =
        "/dev/mmcblk0 has the label NIXOS_SD too: unplug it before a program finds a card by its label";
    assert_eq!(warnings(&machine), [words]);
    let attributes = [("loop/backing_file", "/card.img"), ("size", "262144")];
    machine.add_device("virtual/block/loop3", "7:3", &attributes);
    machine.add_device("virtual/block/loop3/loop3p1", "259:3", &[("partition", "1")]);
    machine.write_file("run/udev/data/b259:3", "E:ID_FS_LABEL=FIRMWARE\n");
    let of_loop = "/dev/loop3 has the label FIRMWARE too: detach it by `losetup -d /dev/loop3` before a program finds a \
        card by its label";
    assert_eq!(warnings(&machine), [of_loop, words]);
    machine.write_file("run/udev/data/b259:3", "");
    machine.mount("179:2", "/nix", "ext4", "/dev/mmcblk0p2");
    let words = "/dev/mmcblk0 has the label NIXOS_SD too, and this machine runs from it: \
        remove the new card before this machine boots again";
    assert_eq!(warnings(&machine), [words]);
}

#[test]
fn a_file_behind_a_loop_device_is_in_use() {
    let machine = FakeMachine::new();
    machine.write_file("card.img", "content");
    let card = machine.roots().sys.with_file_name("card.img").canonicalize().unwrap();
    let backing = card.display().to_string();
    machine.add_device("virtual/block/loop3", "7:3", &[("loop/backing_file", &backing)]);
    let first_use = |machine: &FakeMachine| Disk::load(&machine.roots(), &card).unwrap().uses[0].to_string();
    assert_eq!(first_use(&machine), "card.img is behind loop3");
    machine.mount("7:3", "/mnt", "ext4", "/dev/loop3");
    assert_eq!(first_use(&machine), "card.img is mounted at /mnt through loop3");
}

#[test]
fn an_image_that_does_not_fit_on_the_card_is_refused() {
    let machine = FakeMachine::new();
    let card = machine.with_card(&[]).disk("mmcblk0");
    assert_refusals(&card, &Request { image_size: Some(card.size), ..request() }, &[]);
    assert_refusals(
        &card,
        &Request { image_size: Some(card.size + 65536), ..request() },
        &["the image is larger than /dev/mmcblk0: the image has 29.8 GiB (32000065536 bytes), \
             the card has 29.8 GiB (32000000000 bytes), 65536 bytes too few; use a larger card"],
    );
}

#[test]
fn another_card_in_the_same_slot_is_not_the_confirmed_one() {
    let machine = FakeMachine::new();
    let card = machine.with_card(&[]).disk("mmcblk0");
    assert!(card.require_same(&card).is_ok());
    let difference = |now: Disk| card.require_same(&now).unwrap_err().to_string();
    assert_eq!(
        difference(Disk { diskseq: Some(8), ..card.clone() }),
        "/dev/mmcblk0 is not the card that was confirmed: its count of inserted media was 7 and is 8"
    );
    assert_eq!(
        difference(Disk { size: 5, ..card.clone() }),
        "/dev/mmcblk0 is not the card that was confirmed: its size was 32000000000 and is 5"
    );
}
