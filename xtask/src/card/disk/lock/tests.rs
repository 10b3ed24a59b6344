//! Opening and locking disks, on virtual cards and on a fake machine.

use std::path::Path;

use super::super::fake::FakeMachine;
use super::busy::busy_error;
use super::*;
use crate::base::failure::{ExitKind, kind, with_hint};
use crate::card::disk::refusals::LIST_CARDS;

/// The error of opening `disk` for writing.
fn open_error(disk: &Disk) -> (String, ExitKind) {
    let error = open_exclusive(&Roots::default(), disk).unwrap_err();
    (with_hint(&error), kind(&error))
}

/// A virtual card of 1 MiB, with the folder that holds its file.
fn virtual_card() -> (tempfile::TempDir, Disk) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap().join("card");
    File::create(&path).unwrap().set_len(1 << 20).unwrap();
    let disk = Disk::load(&Roots::default(), &path).unwrap();
    (dir, disk)
}

#[test]
fn a_card_that_is_gone_is_not_created() {
    let (_dir, disk) = virtual_card();
    std::fs::remove_file(&disk.path).unwrap();
    let words = format!("{} is gone; insert the card again", disk.path.display());
    assert_eq!(open_error(&disk), (words, ExitKind::Io));
    assert!(!disk.path.exists());
}

#[test]
fn a_character_device_is_no_disk() {
    let (_dir, disk) = virtual_card();
    let null = Disk { path: "/dev/null".into(), ..disk };
    assert_eq!(
        open_error(&null),
        ("/dev/null is no longer a disk; run the command again".to_owned(), ExitKind::Refused)
    );
}

#[test]
fn a_file_is_known_by_its_descriptor() {
    let (_dir, disk) = virtual_card();
    let locked = open_exclusive(&Roots::default(), &disk).unwrap();
    locked.check().unwrap();
    // Another file at the same path does not matter, but another size of the locked file does.
    std::fs::remove_file(&disk.path).unwrap();
    File::create(&disk.path).unwrap();
    locked.check().unwrap();
    assert!(open_error(&disk).0.contains("is not the card that was confirmed"));
    locked.file().set_len(512).unwrap();
    let words = format!(
        "{} is not the card that was confirmed: its size was 1048576 and is 512; run the command again",
        disk.path.display()
    );
    assert_eq!(with_hint(&locked.check().unwrap_err()), words);
}

/// The kernel shows the new path of the file behind a loop device.
#[test]
fn a_loop_device_over_a_file_that_was_renamed_after_it_was_opened_is_found() {
    let machine = FakeMachine::new();
    let (_dir, disk) = virtual_card();
    let locked = open_exclusive(&machine.roots(), &disk).unwrap();
    let renamed = disk.path.with_file_name("renamed");
    std::fs::rename(&disk.path, &renamed).unwrap();
    File::create(&disk.path).unwrap();
    let add_loop = |name: &str, number: &str, file: &Path| {
        let backing_file = ("loop/backing_file", file.to_str().unwrap());
        machine.add_device(&format!("virtual/block/{name}"), number, &[backing_file]);
    };
    // The use of another file under the old name does not matter.
    add_loop("loop3", "7:3", &disk.path);
    locked.check().unwrap();
    add_loop("loop4", "7:4", &renamed);
    machine.mount("7:4", "/mnt", "ext4", "/dev/loop4");
    let error = with_hint(&locked.check().unwrap_err());
    assert!(error.contains("card is mounted at /mnt through loop4"), "{error}");
}

/// The kernel has no exclusive claim for a file.
#[test]
fn a_file_that_was_mounted_after_it_was_opened_is_refused() {
    let machine = FakeMachine::new();
    let (_dir, disk) = virtual_card();
    let locked = open_exclusive(&machine.roots(), &disk).unwrap();
    machine.add_device("virtual/block/loop3", "7:3", &[("loop/backing_file", disk.path.to_str().unwrap())]);
    machine.mount("7:3", "/mnt", "ext4", "/dev/loop3");
    let words = format!(
        "{} is in use: card is mounted at /mnt through loop3; run `umount /mnt`",
        disk.path.display()
    );
    assert_eq!(with_hint(&locked.check().unwrap_err()), words);
    drop(locked);
    assert_eq!(with_hint(&open_exclusive(&machine.roots(), &disk).unwrap_err()), words);
}

#[test]
fn readers_share_a_card_and_writers_do_not() {
    let (_dir, disk) = virtual_card();
    std::fs::set_permissions(&disk.path, std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
    let disk = Disk { read_only: true, ..disk };
    let one = open_shared(&Roots::default(), &disk).unwrap();
    let other = open_shared(&Roots::default(), &disk).unwrap();
    one.check().and_then(|()| other.check()).unwrap();
    let writer = flock(other.file(), FlockOperation::NonBlockingLockExclusive);
    assert_eq!(writer, Err(Errno::WOULDBLOCK));
}

#[test]
fn the_error_of_a_busy_disk_names_its_user() {
    let machine = FakeMachine::new();
    let roots = machine.with_stick().roots();
    let disk = machine.disk("sdb");
    let error = || with_hint(&busy_error(&roots, &disk));
    assert!(error().starts_with("/dev/sdb is in use: its use is not visible; it may be a mount in "));
    machine.write_file("run/udev/data/b8:17", "E:ID_FS_TYPE=zfs_member\nE:ID_FS_LABEL=tank\n");
    let words = "/dev/sdb is in use: it is part of a zfs called tank; remove the disk from there first";
    assert_eq!(error(), words);
    // In the mount namespace of a container.
    machine.write_file("proc/77/mountinfo", "41 27 8:17 / /data rw - vfat /dev/sdb1 rw\n");
    machine.write_file("proc/77/comm", "postgres\n");
    let words = "/dev/sdb is in use: it is mounted at /data in the mount namespace of postgres (77); \
        unmount it there, or end postgres (77) first";
    assert_eq!(error(), words);
    machine.mount("8:17", "/media/me/CARD", "vfat", "/dev/sdb1");
    assert_eq!(error(), "/dev/sdb is in use: sdb1 is mounted at /media/me/CARD; end this use first");
    let system = FakeMachine::new();
    let disk = system.with_stick().disk("sdb");
    system.mount("8:17", "/usr", "ext4", "/dev/sdb1");
    let words = format!("/dev/sdb is a disk of the running system: sdb1 is mounted at /usr; {LIST_CARDS}");
    assert_eq!(with_hint(&busy_error(&system.roots(), &disk)), words);
    machine.write_file("proc/78/comm", "vlc\n").write_file("proc/78/fd/x", "");
    std::os::unix::fs::symlink("/media/me/CARD/film", roots.proc.join("78/fd/3")).unwrap();
    let words =
        "/dev/sdb is in use: sdb1 is mounted at /media/me/CARD; it is busy with vlc (78); end vlc (78) first";
    assert_eq!(error(), words);
}
