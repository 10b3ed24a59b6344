//! Images of every kind that must work: each is written to a card, and the card is compared with the image.

use std::path::Path;

use crate::card::{Card, MIB};
use crate::flash::flash;
use crate::image::{FORMATS, garbage, image, pack, zstd_with, zstd_with_size};
use crate::support::loops::Mounted;
use crate::support::{Outcome, Sandbox};

/// Flashes `file`, which holds `image`, to a card that is larger than the image by `more` bytes, and asserts that the
/// card holds the image.
#[track_caller]
fn assert_flashes(sandbox: &Sandbox, file: &Path, image: &[u8], more: usize) -> Outcome {
    let card = Card::of_size(image.len() + more);
    let size = (image.len() + more).to_string();
    let outcome = flash(sandbox, file, card.device.device(), &size, &[]);
    assert!(
        outcome.assert_code(0).stdout.ends_with(&format!("read back, {}\n", outcome.file_sum())),
        "{}",
        outcome.stdout
    );
    card.assert_holds(image);
    outcome
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn images_of_partial_mib_are_written() {
    let sandbox = Sandbox::new();
    for odd in [0, 512, 3584, 4096, MIB - 512] {
        let image = [image(5), garbage(odd)].concat();
        for more in [0, 512, 7 * MIB] {
            assert_flashes(&sandbox, &pack(&sandbox.path("home"), "sized.zst", &image), &image, more);
        }
    }
    let image = [image(5), garbage(3584)].concat();
    for format in FORMATS {
        assert_flashes(&sandbox, &pack(&sandbox.path("home"), format, &image), &image, 0);
    }
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn zstd_frames_of_every_kind_are_written() {
    let sandbox = Sandbox::new();
    let image = image(24);
    // `pzstd` writes a skippable frame before each frame, and its frames do not state their sizes.
    let pzstd = |bytes: &[u8]| {
        let frame = zstd_with(bytes, |_| Ok(()));
        let len = u32::try_from(frame.len()).expect("small");
        [&b"\x50\x2a\x4d\x18\x04\0\0\0"[..], &len.to_le_bytes(), &frame].concat()
    };
    let long = |window| {
        zstd_with(&image, |encoder| {
            encoder.window_log(window).and_then(|()| encoder.long_distance_matching(true))
        })
    };
    // The tool warns of windows above 2^27 bytes, which `zstd` itself refuses by default.
    let odd = image.chunks(5 * MIB + 77);
    for (name, packed, memory) in [
        ("one", zstd_with_size(&image), None),
        ("many", odd.clone().flat_map(zstd_with_size).collect(), None),
        ("pzstd", odd.clone().flat_map(pzstd).collect(), None),
        ("unknown", zstd_with(&image, |_| Ok(())), None),
        ("long-27", long(27), None),
        ("long-28", long(28), Some("256.0 MiB")),
    ] {
        let file = sandbox.path("home").join(format!("{name}.img.zst"));
        std::fs::write(&file, packed).unwrap();
        let outcome = assert_flashes(&sandbox, &file, &image, 8 * MIB);
        outcome.assert_stderr_contains("check  24.0 MiB");
        let warning = memory.map(|memory| {
            format!(
                "warning: decompressing {} takes {memory} of memory: it was compressed with a long window\n",
                file.display()
            )
        });
        let warned = outcome
            .stderr
            .lines()
            .find(|line| line.starts_with("warning: decompressing "))
            .map(|line| format!("{line}\n"));
        assert_eq!(warned, warning, "{name}");
    }
}

/// `OpenWrt` images for a Pi end with such metadata, and images that were copied in blocks end with zeros.
#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn metadata_and_padding_behind_gzip_are_not_written() {
    let sandbox = Sandbox::new();
    let image = image(6);
    let metadata =
        [&[0; 8][..], b"{ \"metadata_version\": \"1.1\" }", b"FWx0\x12\x34\x56\x78\x01\0\0\0\0\0\0\x35"]
            .concat();
    for (trailer, words) in [
        (&metadata[..], "the 53 bytes of OpenWrt's metadata behind the stream are not written\n"),
        (&[0; 512], "the 512 bytes of padding behind the stream are not written\n"),
    ] {
        let file = pack(&sandbox.path("home"), "img.gz", &image);
        std::fs::write(&file, [&std::fs::read(&file).unwrap(), trailer].concat()).unwrap();
        assert_flashes(&sandbox, &file, &image, MIB).assert_stderr_contains(words);
    }
}

/// The images are not damaged: their decompression only takes more memory than the limit.
#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_window_above_the_memory_limit_is_refused() {
    let sandbox = Sandbox::new();
    let image = image(6);
    let zstd = zstd_with(&image, |encoder| encoder.window_log(31));
    // The second stream needs the memory, and the first one little.
    let (first, second) = image.split_at(2 * MIB);
    let xz = [crate::image::xz(first), crate::image::xz_with_dictionary(second, 3 << 29)].concat();
    for (name, packed, wanted, limit) in
        [("x.img.zst", zstd, "2.0 GiB", "2048MiB"), ("x.img.xz", xz, "1.5 GiB", "1536MiB")]
    {
        let card = Card::new(8);
        let file = sandbox.path("home").join(name);
        std::fs::write(&file, packed).unwrap();
        let flash = |options: &[&str]| flash(&sandbox, &file, card.device.device(), "8MiB", options);
        let outcome = flash(&[]);
        outcome.assert_stderr_contains(format!(
            "decompressing it takes {wanted} of memory, more than the limit of 256.0 MiB"
        ));
        outcome.assert_stderr_contains(format!("pass --memory-limit {limit}\n")).assert_code(3);
        assert!(!outcome.stderr.contains("damaged"), "{}", outcome.stderr);
        card.assert_unchanged();
        flash(&["--memory-limit", limit]).assert_code(0);
        card.assert_holds(&image);
        let verify = |options: &[&str]| {
            let args = ["card", "verify", "--image", file.to_str().unwrap(), card.device.device()];
            sandbox.run(&[&args, options].concat())
        };
        verify(&[]).assert_stderr_contains(format!("pass --memory-limit {limit}\n")).assert_code(3);
        verify(&["--memory-limit", limit]).assert_code(0);
    }
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn file_names_of_every_kind_are_accepted() {
    let sandbox = Sandbox::new();
    let image = image(6);
    let packed = zstd_with_size(&image);
    let longest = "x".repeat(255 - ".img.zst".len()) + ".img.zst";
    for name in ["an image.img.zst", "it's \"mine\" $(id) * ;.img", "--yes", "Größe.img", "image", &longest]
    {
        let file = sandbox.path("home").join(name);
        std::fs::write(&file, &packed).unwrap();
        assert_flashes(&sandbox, &file, &image, MIB)
            .assert_stderr_contains(format!("image   {}\n", file.display()));
    }
}

/// The image is in a read-only folder behind a link, as an image in the Nix store.
#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_link_to_a_read_only_image_is_accepted() {
    let sandbox = Sandbox::new();
    let image = image(6);
    let store = Mounted::tmpfs("16m");
    let file = pack(store.mount_point(), "img.zst", &image);
    store.remount("ro");
    assert!(std::fs::write(&file, "").is_err());
    let link = sandbox.path("home").join("result");
    std::os::unix::fs::symlink(store.mount_point(), &link).unwrap();
    let outcome = assert_flashes(&sandbox, &link.join("nixos-sd-image.img.zst"), &image, MIB);
    outcome.assert_stderr_contains(format!("image   {}\n", file.display()));
}
