//! Images that are refused, and cards that are in use: the reason, the remedy, and a card that is as it was.

use std::path::Path;

use crate::card::{Card, MIB, is_blank};
use crate::flash::flash;
use crate::image::{image, pack, sized};
use crate::support::loops::{Loop, Mounted, ext4};
use crate::support::{Outcome, Sandbox};

/// Flashes an image that is harmed so, and returns what was said; the file is named.
#[track_caller]
fn harmed(sandbox: &Sandbox, card: &Card, format: &str, harm: Harm, options: &[&str]) -> Outcome {
    let file = pack(&sandbox.path("home"), format, &image(6));
    harm.to(&file);
    flash(sandbox, &file, card.device.device(), "20MiB", options)
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn bad_images_change_nothing() {
    let (sandbox, card) = (Sandbox::new(), Card::new(20));
    // Whether the file is whole is read off its structure; what is inside only where all of it is read.
    for options in [&[][..], &["--check-image"]] {
        for (format, harm, text) in [
            ("img.zst", Harm::Cut, "(zstd) is truncated or damaged"),
            ("sized.zst", Harm::Cut, "(zstd) is truncated or damaged"),
            ("img.xz", Harm::Cut, "(xz) is truncated or damaged"),
            ("img.gz", Harm::Cut, "(gzip) is truncated or damaged"),
            ("img.zst", Harm::Flip, "(zstd) is truncated or damaged"),
            ("img.xz", Harm::Flip, "(xz) is truncated or damaged"),
            ("img.gz", Harm::Flip, "(gzip) is truncated or damaged"),
            ("img.zst", Harm::Checksum, "(zstd) is truncated or damaged"),
            ("img.xz", Harm::Checksum, "(xz) is truncated or damaged"),
            ("img.gz", Harm::Checksum, "(gzip) is truncated or damaged"),
            ("img.zst", Harm::Append, "(zstd) is truncated or damaged"),
            ("sized.zst", Harm::Append, "(zstd) is truncated or damaged"),
            ("img.xz", Harm::Append, "(xz) is truncated or damaged"),
            ("img.gz", Harm::Append, "(gzip) is truncated or damaged"),
            ("img", Harm::Cut, "beyond its end"),
            ("img", Harm::Append, "no whole number of 512-byte sectors"),
            ("img", Harm::NoTable, "it has no partition table"),
            ("sized.zst", Harm::Text, "no whole number of 512-byte sectors"),
            ("img.zst", Harm::Empty, "is empty"),
            ("sized.zst", Harm::EmptyFrame, "is no disk image"),
        ] {
            let outcome = harmed(&sandbox, &card, format, harm, options);
            outcome.says(text).says(&format!("nixos-sd-image.{format}")).exits(3);
            card.is_unchanged();
        }
    }
}

/// Nobody decompresses an image twice without being asked to, so damage inside is met in mid-work.
#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn damage_inside_is_met_while_the_card_is_written() {
    let sandbox = Sandbox::new();
    for mode in ["auto", "full", "delta"] {
        // Each of the three frames of 2 MiB ends in a checksum, which tells of damage anywhere in it; the
        // decoder keeps the last bytes before it to itself.
        for (harm, mib) in [(Harm::Flip, 3), (Harm::Checksum, 5)] {
            let card = Card::new(20);
            let options = ["--mode", mode];
            let checked = harmed(&sandbox, &card, "sized.zst", harm, &["--check-image", "--mode", mode]);
            checked.says("(zstd) is truncated or damaged").exits(3);
            card.is_unchanged();
            let outcome = harmed(&sandbox, &card, "sized.zst", harm, &options);
            let told = outcome.stderr.split_once("error: the image is damaged at byte ").expect("a place").1;
            let place = told.split_once(": Restored data doesn't match checksum; ").expect(told).0;
            assert_eq!(place.parse::<usize>().unwrap() / MIB, mib, "{harm:?}: {place}");
            outcome
                .says("build or download it again; the first MiB of the card is blank, so it will not boot");
            outcome.exits(4);
            assert!(is_blank(&card.device.bytes()[..MIB]), "{mode} {harm:?}");
            let good = pack(&sandbox.path("home"), "sized.zst", &image(6));
            flash(&sandbox, &good, card.device.device(), "20MiB", &options).exits(0);
            card.holds(&image(6));
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Harm {
    /// The second half is missing, as after a download that broke off.
    Cut,
    /// One bit in the middle is another.
    Flip,
    /// The last byte is another: there is the checksum of zstd, and the end marks of the others.
    Checksum,
    Append,
    NoTable,
    /// No image at all, whatever the name says.
    Text,
    Empty,
    /// It decompresses to nothing.
    EmptyFrame,
}

impl Harm {
    fn to(self, file: &Path) {
        let mut bytes = std::fs::read(file).expect("reading an image");
        let middle = bytes.len() / 2;
        match self {
            Self::Cut => bytes.truncate(middle / 512 * 512),
            Self::Flip => bytes[middle] ^= 1,
            Self::Checksum => *bytes.last_mut().expect("a byte") ^= 1,
            Self::Append => bytes.extend(b"what does not belong here"),
            Self::NoTable => bytes[510] = 0,
            Self::Text => bytes = b"the page that you asked for is not here".to_vec(),
            Self::Empty => bytes.clear(),
            Self::EmptyFrame => bytes = sized(b""),
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
