//! Cards with other devices stacked on them, as the kernel shows them.

use super::fake::FakeMachine;
use super::refusal::Refusal;
use super::tests::{assert_refusals, request};
use super::*;

/// A request that lets the card be unmounted.
fn unmounted() -> Request {
    Request { mounted: Mounted::Unmounted, ..request() }
}

/// The kernel lists no holder for the backing device of a loop device, and claims nothing.
#[test]
fn a_loop_device_over_a_partition_or_another_loop_device_is_a_use() {
    let machine = FakeMachine::new();
    machine.with_stick().add_device("virtual/block/loop3", "7:3", &[("loop/backing_file", "/dev/sdb1")]);
    assert_refusals(
        &machine.disk("sdb"),
        &unmounted(),
        &["/dev/sdb is in use: sdb1 is behind loop3; run `losetup --detach /dev/loop3`"],
    );
    machine.add_device("virtual/block/loop4", "7:4", &[("loop/backing_file", "/dev/loop3")]);
    machine.mount("7:4", "/mnt", "ext4", "/dev/loop4");
    assert_refusals(
        &machine.disk("sdb"),
        &unmounted(),
        &["/dev/sdb is in use: sdb1 is mounted at /mnt through loop3, loop4; run `umount /mnt`"],
    );
}

#[test]
fn an_image_on_a_loop_device_over_the_card_is_protected() {
    let machine = FakeMachine::new();
    machine.with_stick().add_device("virtual/block/loop3", "7:3", &[("loop/backing_file", "/dev/sdb1")]);
    machine.add_device("virtual/block/loop4", "7:4", &[("loop/backing_file", "/dev/loop3")]);
    machine.mount("7:4", "/mnt", "ext4", "/dev/loop4");
    let image = ProtectedPath::find(&machine.roots(), "the image", "/mnt/image".as_ref(), Extent::Itself);
    let refusals = refusals(&machine.disk("sdb"), &Request { protected: vec![image], ..unmounted() });
    let is_image = |refusal: &Refusal| refusal.reason.starts_with("the image /mnt/image is on /dev/sdb");
    assert!(refusals.iter().any(is_image), "{refusals:?}");
}

/// A write to a loop device is a write to the block device below.
#[test]
fn a_loop_device_over_a_mounted_partition_is_in_use() {
    let machine = FakeMachine::new();
    machine.with_stick().add_device("virtual/block/loop3", "7:3", &[("loop/backing_file", "/dev/sdb1")]);
    assert_eq!(machine.disk("loop3").uses, []);
    machine.mount("8:17", "/mnt", "ext4", "/dev/sdb1");
    assert_eq!(machine.disk("loop3").uses[0].to_string(), "loop3 is mounted at /mnt through sdb1");
}

#[test]
fn a_second_loop_device_over_a_partition_is_a_use_of_the_first() {
    let machine = FakeMachine::new();
    machine.with_stick();
    for (name, number) in [("loop3", "7:3"), ("loop4", "7:4")] {
        machine.add_device(&format!("virtual/block/{name}"), number, &[("loop/backing_file", "/dev/sdb1")]);
    }
    machine.mount("7:4", "/mnt", "ext4", "/dev/loop4");
    assert_eq!(machine.disk("loop3").uses[0].to_string(), "loop3 is mounted at /mnt through sdb1, loop4");
}

/// sysfs names the device to which a zram device writes back.
#[test]
fn a_zram_device_that_writes_back_to_the_card_is_a_use() {
    let machine = FakeMachine::new();
    machine.with_stick().add_device("virtual/block/zram0", "252:0", &[("backing_dev", "/dev/sdb1")]);
    machine.add_device("virtual/block/zram1", "252:1", &[("backing_dev", "none")]);
    assert_eq!(machine.disk("sdb").uses[0].to_string(), "sdb1 is part of zram0");
    machine.add_swap("/dev/zram0");
    assert_eq!(machine.disk("sdb").uses[0].to_string(), "sdb1 is used as swap through zram0");
}

#[test]
fn a_swap_file_is_in_use() {
    let machine = FakeMachine::new();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().canonicalize().unwrap().join("swapfile");
    std::fs::write(&file, "content").unwrap();
    machine.add_swap(file.to_str().unwrap());
    assert_eq!(Disk::load(&machine.roots(), &file).unwrap().uses[0].to_string(), "swapfile is used as swap");
    machine.add_device("virtual/block/loop3", "7:3", &[("loop/backing_file", file.to_str().unwrap())]);
    assert_eq!(machine.disk("loop3").uses[0].to_string(), "loop3 is used as swap");
}

#[test]
fn a_loop_device_of_size_zero_has_no_file_or_an_empty_one() {
    let cases: [(&[(&str, &str)], _); 2] = [
        (&[], "/dev/loop1 has no file behind it; attach a file with `losetup`"),
        (
            &[("loop/backing_file", "/a card.img")],
            "/dev/loop1 has a size of 0 bytes: its file /a card.img is empty; \
             run `truncate --size 4G '/a card.img'`, then `losetup --set-capacity /dev/loop1`",
        ),
    ];
    for (attributes, expected) in cases {
        let machine = FakeMachine::new();
        machine.add_device("virtual/block/loop1", "7:1", &[&[("size", "0")], attributes].concat());
        let request = Request { virtual_cards: VirtualCards::Allowed, ..request() };
        assert_refusals(&machine.disk("loop1"), &request, &[expected]);
    }
}
