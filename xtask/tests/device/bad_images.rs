//! Images that are refused, and cards that are in use: the reason, the remedy, and a card that is as it was.

use std::path::Path;

use crate::card::Card;
use crate::flash::flash;
use crate::image::{image, pack};
use crate::support::Sandbox;
use crate::support::loops::{Loop, Mounted, ext4};

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn bad_images_change_nothing() {
    let (sandbox, card, good) = (Sandbox::new(), Card::new(20), image(6));
    let dir = sandbox.path("home");
    for (format, harm, text) in [
        ("img.zst", Harm::Cut, "(zstd) is truncated or damaged"),
        ("img.xz", Harm::Cut, "(xz) is truncated or damaged"),
        ("img.gz", Harm::Cut, "(gzip) is truncated or damaged"),
        ("img.zst", Harm::Flip, "(zstd) is truncated or damaged"),
        ("img.xz", Harm::Flip, "(xz) is truncated or damaged"),
        ("img.gz", Harm::Flip, "(gzip) is truncated or damaged"),
        ("img.zst", Harm::Append, "(zstd) is truncated or damaged"),
        ("img.xz", Harm::Append, "(xz) is truncated or damaged"),
        ("img.gz", Harm::Append, "(gzip) is truncated or damaged"),
        ("img", Harm::Cut, "beyond its end"),
        ("img", Harm::Append, "no whole number of 512-byte sectors"),
        ("img", Harm::NoTable, "it has no partition table"),
        ("img.zst", Harm::Empty, "is empty"),
    ] {
        let file = pack(&dir, format, &good);
        harm.to(&file);
        let outcome = flash(&sandbox, &file, card.device.device(), "20MiB", &[]);
        outcome.says(text).says(file.to_str().unwrap()).exits(3);
    }
    card.is_unchanged();
}

#[derive(Clone, Copy)]
enum Harm {
    /// The second half is missing, as after a download that broke off.
    Cut,
    /// One bit in the middle is another.
    Flip,
    Append,
    NoTable,
    Empty,
}

impl Harm {
    fn to(self, file: &Path) {
        let mut bytes = std::fs::read(file).expect("reading an image");
        let middle = bytes.len() / 2;
        match self {
            Self::Cut => bytes.truncate(middle / 512 * 512),
            Self::Flip => bytes[middle] ^= 1,
            Self::Append => bytes.extend(b"what does not belong here"),
            Self::NoTable => bytes[510] = 0,
            Self::Empty => bytes.clear(),
        }
        std::fs::write(file, bytes).expect("harming an image");
    }
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn what_is_no_image_file() {
    let (sandbox, card) = (Sandbox::new(), Card::new(3));
    let dir = sandbox.path("home");
    flash(&sandbox, &dir, card.device.device(), "3MiB", &[])
        .says("is no file; an image file is needed")
        .exits(3);
    let absent = dir.join("absent.img");
    let outcome = flash(&sandbox, &absent, card.device.device(), "3MiB", &[]);
    outcome.says("opening the image").says("there is no such file").exits(3);
    card.is_unchanged();
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn an_image_larger_than_the_card() {
    let (sandbox, card) = (Sandbox::new(), Card::new(3));
    let file = pack(&sandbox.path("home"), "img.zst", &image(6));
    let outcome = flash(&sandbox, &file, card.device.device(), "3MiB", &[]);
    outcome.says("the image is larger than").says("3145728 bytes too many; use a larger card").exits(3);
    card.is_unchanged();
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_in_use() {
    let (sandbox, card) = (Sandbox::new(), Card::new(20));
    let file = pack(&sandbox.path("home"), "img", &image(6));
    ext4(Path::new(card.device.device()));
    let mounted = Mounted::new(card.device.device());
    std::fs::write(mounted.at().join("kept"), "dear").unwrap();
    let outcome = flash(&sandbox, &file, card.device.device(), "20MiB", &[]);
    let place = mounted.at().display();
    outcome.says(&format!("is mounted at {place}; unmount it first: umount {place}")).exits(3);
    assert_eq!(std::fs::read_to_string(mounted.at().join("kept")).unwrap(), "dear");
    drop(mounted);
    flash(&sandbox, &file, card.device.device(), "20MiB", &[]).exits(0);
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_card_that_somebody_else_has_open_for_himself() {
    use std::os::unix::fs::OpenOptionsExt;
    let (sandbox, card) = (Sandbox::new(), Card::new(20));
    let file = pack(&sandbox.path("home"), "img", &image(6));
    let exclusive = rustix::fs::OFlags::EXCL.bits().cast_signed();
    let holder = std::fs::OpenOptions::new().read(true).custom_flags(exclusive).open(card.device.device());
    let outcome = flash(&sandbox, &file, card.device.device(), "20MiB", &[]);
    drop(holder.unwrap());
    outcome.says("is in use").exits(3);
    card.is_unchanged();
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn every_reason_is_told_at_once() {
    let (sandbox, card) = (Sandbox::new(), Card::new(3));
    let file = pack(&sandbox.path("home"), "img", &image(6));
    let (file, device) = (file.to_str().unwrap(), card.device.device());
    let outcome = sandbox.run(&["flash", "--image", file, device, "--yes"]);
    outcome.says("is a loop device").says("--yes alone does not say").exits(3);
    card.is_unchanged();
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn the_file_behind_the_card_is_not_its_image() {
    let (sandbox, bytes) = (Sandbox::new(), image(6));
    let file = pack(&sandbox.path("home"), "img", &bytes);
    let device = Loop::over(&file, &[]);
    let outcome = flash(&sandbox, &file, device.device(), "6MiB", &[]);
    outcome.says("which is to be overwritten; copy it to another disk first").exits(3);
    assert!(std::fs::read(&file).unwrap() == bytes);
}
