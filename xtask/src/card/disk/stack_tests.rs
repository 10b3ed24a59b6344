//! Cards that something else stands on, as the kernel shows it.

use super::fake::FakeMachine;
use super::tests::{check, request};
use super::*;

fn unmounted() -> Request {
    Request { mounted: Mounted::Unmounted, ..request() }
}

/// The kernel tells no holder of a loop device's backing device, and claims nothing.
#[test]
fn a_loop_device_over_a_partition_or_another_loop_device() {
    let machine = FakeMachine::new();
    machine.with_stick().device("virtual/block/loop3", "7:3", &[("loop/backing_file", "/dev/sdb1")]);
    check(
        &machine.disk("sdb"),
        &unmounted(),
        &["/dev/sdb is in use: sdb1 is behind loop3; detach it first: losetup --detach /dev/loop3"],
    );
    machine.device("virtual/block/loop4", "7:4", &[("loop/backing_file", "/dev/loop3")]);
    machine.mount("7:4", "/mnt", "ext4", "/dev/loop4");
    check(
        &machine.disk("sdb"),
        &unmounted(),
        &["/dev/sdb is in use: sdb1 is mounted at /mnt through loop3, loop4; unmount it first: umount /mnt"],
    );
    let image = Protected::find(&machine.roots(), "the image", "/mnt/image".as_ref(), Extent::Itself);
    let said = refusals(&machine.disk("sdb"), &Request { protected: vec![image], ..unmounted() });
    assert!(said.iter().any(|it| it.reason.starts_with("the image /mnt/image is on /dev/sdb")), "{said:?}");
}

/// What is written to a loop device is written to the block device below it.
#[test]
fn a_loop_device_over_what_is_used_otherwise() {
    let machine = FakeMachine::new();
    machine.with_stick().device("virtual/block/loop3", "7:3", &[("loop/backing_file", "/dev/sdb1")]);
    assert_eq!(machine.disk("loop3").uses, []);
    machine.mount("8:17", "/mnt", "ext4", "/dev/sdb1");
    assert_eq!(machine.disk("loop3").uses[0].to_string(), "loop3 is mounted at /mnt through sdb1");
}

#[test]
fn two_loop_devices_over_one_partition() {
    let machine = FakeMachine::new();
    machine.with_stick();
    for (name, number) in [("loop3", "7:3"), ("loop4", "7:4")] {
        machine.device(&format!("virtual/block/{name}"), number, &[("loop/backing_file", "/dev/sdb1")]);
    }
    machine.mount("7:4", "/mnt", "ext4", "/dev/loop4");
    assert_eq!(machine.disk("loop3").uses[0].to_string(), "loop3 is mounted at /mnt through sdb1, loop4");
}

/// Whatever writes back to the card, by the kernel's own word.
#[test]
fn a_zram_device_that_writes_back_to_the_card() {
    let machine = FakeMachine::new();
    machine.with_stick().device("virtual/block/zram0", "252:0", &[("backing_dev", "/dev/sdb1")]);
    machine.device("virtual/block/zram1", "252:1", &[("backing_dev", "none")]);
    assert_eq!(machine.disk("sdb").uses[0].to_string(), "sdb1 is part of zram0");
    machine.swap("/dev/zram0");
    assert_eq!(machine.disk("sdb").uses[0].to_string(), "sdb1 is used as swap through zram0");
}

#[test]
fn a_file_that_is_swapped_to_is_no_card() {
    let (machine, dir) = (FakeMachine::new(), tempfile::tempdir().unwrap());
    let file = dir.path().canonicalize().unwrap().join("swapfile");
    std::fs::write(&file, "content").unwrap();
    machine.swap(file.to_str().unwrap());
    assert_eq!(Disk::load(&machine.roots(), &file).unwrap().uses[0].to_string(), "swapfile is used as swap");
    machine.device("virtual/block/loop3", "7:3", &[("loop/backing_file", file.to_str().unwrap())]);
    assert_eq!(machine.disk("loop3").uses[0].to_string(), "loop3 is used as swap");
}
