//! `flash` and `card verify` with checksums of the image: those beside it, and those that are passed.

use std::path::{Path, PathBuf};

use crate::fake_nix::FakeNix;
use crate::flash::{MIB, build_with_image, image_bytes, is_all, make_card};
use crate::support::Outcome;

/// The output of the real sha256sum for the name of `file`, run in its folder.
#[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
fn sha256sum(file: &Path) -> Vec<u8> {
    let folder = file.parent().expect("a folder");
    let name = file.file_name().expect("a name");
    let output = std::process::Command::new("sha256sum").arg(name).current_dir(folder).output();
    output.expect("running sha256sum").stdout
}

/// An image file, and a card for it.
struct Setup {
    nix: FakeNix,
    file: PathBuf,
    card: PathBuf,
}

impl Setup {
    fn new() -> Self {
        let nix = build_with_image().0.install();
        let file = nix.path("home").join("a.img.zst");
        let card = make_card(&nix);
        let compressed = zstd::bulk::compress(&image_bytes(), 1).expect("compressing");
        std::fs::write(&file, compressed).expect("writing an image");
        Self { nix, file, card }
    }

    /// Flashes the image file to the card.
    fn flash(&self) -> Outcome {
        let [file, card] = [&self.file, &self.card].map(|path| path.to_str().expect("a plain path"));
        let args = ["flash", "--image", file, card, "--allow-virtual", "--yes", "--expect-size", "4MiB"];
        self.nix.run(&args)
    }
}

#[test]
fn an_image_must_match_the_checksum_file_beside_it() {
    let setup = Setup::new();
    let Setup { nix, file, card } = &setup;
    let other = nix.path("home").join("b.img");
    std::fs::write(&other, "other").unwrap();
    for name in ["a.img.zst.sha256", "SHA256SUMS"] {
        let beside = nix.path("home").join(name);
        let good = sha256sum(file);
        let bad = String::from_utf8(sha256sum(&other)).unwrap();
        std::fs::write(&beside, bad.replace("b.img", "a.img.zst")).unwrap();
        let outcome = setup.flash();
        let found = String::from_utf8_lossy(&good[..12]);
        let expected = &bad[..12];
        outcome.assert_stderr_contains(format!(
            "error: the image {} does not match {}: its SHA-256 begins with {found}, not {expected}\nhint: ",
            file.display(),
            beside.display()
        ));
        outcome.assert_code(3);
        assert!(is_all(&std::fs::read(card).unwrap(), 0xee));
        std::fs::write(&beside, good).unwrap();
        setup
            .flash()
            .assert_stderr_contains(format!("the SHA-256 is that of {}\n", beside.display()))
            .assert_code(0);
        std::fs::write(card, vec![0xee; 4 * MIB]).unwrap();
        std::fs::remove_file(&beside).unwrap();
    }
    assert!(!setup.flash().stderr.contains("the SHA-256 is that of"));
}

#[test]
fn a_checksum_file_that_differs_or_cannot_be_compared_is_refused() {
    let setup = Setup::new();
    let Setup { nix, file, card } = &setup;
    let zeros = "0".repeat(64);
    for (name, text) in [
        ("SHA256SUMS", format!("{zeros}  \"a.img.zst\"\n")),
        ("SHA256SUMS", format!("{zeros}  https://example.org/a.img.zst?x=1\n")),
        ("SHA3SUMS", format!("SHA3-256(a.img.zst)= {zeros}\n")),
        ("BLAKE3SUMS", format!("{zeros}  a.img.zst\n")),
        ("a.img.zst.crc32", "00000000\n".to_owned()),
    ] {
        let list = nix.path("home").join(name);
        std::fs::write(&list, text).unwrap();
        setup.flash().assert_stderr_contains(name).assert_code(3);
        assert!(is_all(&std::fs::read(card).unwrap(), 0xee), "{name}");
        std::fs::remove_file(&list).unwrap();
    }
    // A list with two sums for the image is refused.
    let good = String::from_utf8(sha256sum(file)).unwrap();
    let list = format!("{good}{}", good.replace(&good[..64], &"0".repeat(64)));
    std::fs::write(nix.path("home").join("SHA256SUMS"), list).unwrap();
    setup.flash().assert_stderr_contains("error: there are two different SHA-256 for ").assert_code(3);
    assert!(is_all(&std::fs::read(card).unwrap(), 0xee));
}

/// `flash` and `card verify` have the options `--sha256` and `--checksums`.
#[test]
fn an_image_must_match_the_checksums_that_are_passed() {
    let Setup { nix, file, card } = Setup::new();
    let sum = String::from_utf8(sha256sum(&file)).unwrap()[..64].to_owned();
    let wrong = "0".repeat(64);
    let list = nix.path("home").join("elsewhere.txt");
    std::fs::write(&list, format!("SHA256(x/a.img.zst)= {sum}\n")).unwrap();
    let [file, card_path, list] = [&file, &card, &list].map(|path| path.to_str().unwrap());
    let flash = ["flash", "--image", file, card_path, "--allow-virtual", "--yes", "--expect-size", "4MiB"];
    let verify = ["card", "verify", "--image", file, card_path];
    for command in [&flash[..], &verify] {
        let run = |options: &[&str]| nix.run(&[command, options].concat());
        for (option, origin) in [(["--sha256", &sum], "--sha256"), (["--checksums", list], list)] {
            run(&option).assert_stderr_contains(format!("the SHA-256 is that of {origin}\n")).assert_code(0);
        }
        let card_before = std::fs::read(&card).unwrap();
        run(&["--sha256", &wrong]).assert_stderr_contains("does not match --sha256: ").assert_code(3);
        run(&["--sha256", "12"]).assert_stderr_contains("must be 64 hexadecimal digits").assert_code(2);
        std::fs::write(nix.path("home").join("SHA512SUMS"), format!("{}  a.img.zst\n", wrong.repeat(2)))
            .unwrap();
        run(&["--sha256", &sum])
            .assert_stderr_contains("SHA512SUMS: its SHA-512 begins with ")
            .assert_code(3);
        std::fs::remove_file(nix.path("home").join("SHA512SUMS")).unwrap();
        assert_eq!(std::fs::read(&card).unwrap(), card_before);
    }
    nix.run(&["flash", "stinky", card_path, "--sha256", &sum]).assert_code(2);
}
