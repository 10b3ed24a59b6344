//! Flakes in the shapes that public flakes with a Pi have: for each, the tool lists the host, builds the image and
//! verifies the card, without a change of the flake.

use std::fs;
use std::path::Path;

use crate::fixture::{Fixture, system};

const MIB: usize = 1 << 20;

/// The file `make.nix`, whose functions the flakes use.
const MAKE: &str = include_str!("flakes/make.nix");

/// The shape of a flake, and what the tool finds in it.
struct Shape<'a> {
    /// The outputs of the flake.
    outputs: &'a str,
    /// The argument of the user: a host, or `#ATTRIBUTE`.
    name: &'a str,
    /// The row of the host in `hosts`, with single spaces; empty to skip the check.
    row: &'a str,
    /// The note of `sd-image` about the attribute of the image; empty for the convention.
    note: &'a str,
    /// The end of the path of the image file.
    file: &'a str,
    /// Further arguments of `sd-image`, `flash` and `card verify`.
    options: &'a [&'a str],
}

/// The shape of which each test changes some fields.
const PI: Shape<'static> =
    Shape { outputs: "", name: "pi", row: "pi not evaluated -", note: "", file: "", options: &[] };

const BUILD: &str = "nixosConfigurations.pi.config.system.build";

/// Asserts that `hosts`, `sd-image`, `flash` and `card verify` work with a flake of `shape`.
#[track_caller]
fn assert_works(shape: &Shape) {
    let fixture = fixture(shape.outputs);
    let hosts = fixture.run(&["hosts"]);
    let rows =
        hosts.assert_code(0).stdout.lines().map(|row| row.split_whitespace().collect::<Vec<_>>().join(" "));
    let row = shape.row.replace("SYSTEM", &system());
    assert!(row.is_empty() || rows.collect::<Vec<_>>().contains(&row), "no {row} in {}", hosts.stdout);
    let name = match shape.name.strip_prefix('#') {
        Some(attribute) => format!("{}#{attribute}", fixture.path("flake").display()),
        None => shape.name.to_owned(),
    };
    let built = fixture.run(&[&["sd-image", &name], shape.options].concat());
    let file = built.assert_code(0).stdout.trim_end();
    assert!(file.ends_with(shape.file), "{file}");
    let note = shape.note.replace("BUILD", BUILD).replace("SYSTEM", &system());
    built.assert_stderr_contains(&note);
    flash_and_verify(&fixture, &name, shape.options);
}

/// Flashes the image of `name` to a virtual card, compares the card with the image, and verifies it by the tool.
#[track_caller]
fn flash_and_verify(fixture: &Fixture, name: &str, options: &[&str]) {
    let card = fixture.path("virtual-card");
    fs::write(&card, vec![0xee; 4 * MIB]).expect("making a card");
    let device = card.display().to_string();
    let confirmation = ["--allow-virtual", "--yes", "--expect-size", "4MiB", "--identity", "none"];
    let flashed = fixture.run(&[&["flash", name, &device], &confirmation[..], options].concat());
    let sum = flashed.file_sum();
    flashed.assert_code(0).assert_stdout(format!("{device} holds the image: 2.0 MiB read back, {sum}\n"));
    assert!(fs::read(&card).expect("reading the card").starts_with(&image()));
    let verified = fixture.run(&[&["card", "verify", name, &device], options].concat());
    verified.assert_code(0);
}

/// A flake whose outputs are the text `outputs`.
pub fn fixture(outputs: &str) -> Fixture {
    fixture_with(outputs, &image())
}

/// A flake whose outputs are the text `outputs`, and whose images hold `image`.
pub fn fixture_with(outputs: &str, image: &[u8]) -> Fixture {
    let fixture = Fixture::empty();
    let flake = fixture.path("flake");
    let make = MAKE.replace("@system@", &system());
    write(&flake.join("make.nix"), make);
    write(&flake.join("outputs.nix"), outputs);
    write(&flake.join("flake.nix"), "{ outputs = { self }: import ./outputs.nix (import ./make.nix); }");
    write(&flake.join("image.img"), image);
    write(&flake.join("image.zst"), zstd::bulk::compress(image, 3).expect("compressing"));
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    std::io::Write::write_all(&mut xz, image).expect("compressing");
    write(&flake.join("image.xz"), xz.finish().expect("compressing"));
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gz, image).expect("compressing");
    write(&flake.join("image.gz"), gz.finish().expect("compressing"));
    fixture
}

fn write(path: &Path, content: impl AsRef<[u8]>) {
    fs::write(path, content).expect("writing a file of the flake");
}

/// The bytes of an image of 2 MiB with one partition.
fn image() -> Vec<u8> {
    let mut bytes = vec![0x5a; 2 * MIB];
    bytes[..512].fill(0);
    bytes[446 + 4] = 0x83;
    bytes[446 + 8..][..4].copy_from_slice(&2048_u32.to_le_bytes());
    bytes[446 + 12..][..4].copy_from_slice(&2048_u32.to_le_bytes());
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn the_convention_works() {
    let outputs = include_str!("flakes/convention.nix");
    assert_works(&Shape { outputs, row: "pi SYSTEM yes", file: "/sd-image/pi.img.zst", ..PI });
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn the_sd_image_module_in_the_configuration_works() {
    let outputs = include_str!("flakes/sd-image-module.nix");
    let note = "the image of pi is BUILD.sdImage\n";
    assert_works(&Shape { outputs, note, file: "/sd-image/pi.img.zst", ..PI });
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn an_output_of_images_works() {
    let outputs = include_str!("flakes/images.nix");
    assert_works(&Shape { outputs, note: "the image of pi is images.pi\n", file: "/pi.raw", ..PI });
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn a_package_called_as_the_host_works() {
    let outputs = include_str!("flakes/package-of-host.nix");
    let note = "the image of pi is packages.SYSTEM.pi\n";
    assert_works(&Shape { outputs, note, file: "/sd-image/pi.img.gz", ..PI });
    let note = "the image of kiosk is nixosConfigurations.kiosk.config.system.build.sdImage\n";
    let row = "kiosk not evaluated -";
    assert_works(&Shape { outputs, name: "kiosk", row, note, file: "/sd-image/kiosk.img.zst", ..PI });
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn a_package_with_an_ending_works() {
    let outputs = include_str!("flakes/package-with-ending.nix");
    let note = "the image of pi is packages.SYSTEM.pi-sd-image\n";
    assert_works(&Shape { outputs, note, file: "/pi.img.xz", ..PI });
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn a_package_with_a_beginning_works() {
    for beginning in ["sd-", "sd-image-", "sdImage-", "image-"] {
        let outputs = include_str!("flakes/package-with-ending.nix");
        let outputs = &outputs.replace("pi-sd-image", &format!("{beginning}pi"));
        let note = &format!("the image of pi is packages.SYSTEM.{beginning}pi\n");
        assert_works(&Shape { outputs, note, file: "/pi.img.xz", ..PI });
    }
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn a_package_without_a_configuration_is_a_host() {
    let outputs = "make: { packages.${make.system}.pi-sd = make.xz \"pi\"; }";
    let note = "the image of pi is packages.SYSTEM.pi-sd\n";
    assert_works(&Shape { outputs, note, file: "/pi.img.xz", ..PI });
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn one_host_and_a_default_package_work() {
    let outputs = include_str!("flakes/only-host.nix");
    let note = "the image of pi is packages.SYSTEM.default\n";
    assert_works(&Shape { outputs, note, file: "/sd-image/pi.img.zst", ..PI });
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn a_built_image_whose_file_an_option_names_works() {
    let outputs = include_str!("flakes/build-image.nix");
    assert_works(&Shape { outputs, note: "the image of pi is BUILD.image\n", file: "/deep/pi.raw", ..PI });
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn an_own_variant_among_those_of_nixpkgs_works() {
    let outputs = include_str!("flakes/own-variant.nix");
    assert_works(&Shape { outputs, note: "the image of pi is BUILD.images.card\n", file: "/pi.raw", ..PI });
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn images_of_two_disks_work() {
    let outputs = include_str!("flakes/disko.nix");
    let outcome = fixture(outputs).run(&["sd-image", "pi"]);
    outcome
        .assert_code(2)
        .assert_stderr_contains(": data.raw, main.raw\nhint: choose one with --file NAME\n");
    let note = "the image of pi is BUILD.diskoImages\n";
    assert_works(&Shape { outputs, note, file: "/main.raw", options: &["--file", "main.raw"], ..PI });
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn configurations_sorted_by_system_work() {
    let outputs = include_str!("flakes/by-system.nix");
    let note = "the image of pi is nixosConfigurations.aarch64-linux.pi.config.system.build.sdImage\n";
    assert_works(&Shape { outputs, note, file: "/sd-image/pi.img.zst", ..PI });
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn images_that_only_an_attribute_names_work() {
    let outputs = include_str!("flakes/elsewhere.nix");
    let file = "/sd-image/pi.img.zst";
    assert_works(&Shape { outputs, name: "#hydraJobs.pi.image", row: "", file, ..PI });
    let name = "#colmenaHive.nodes.pi.config.system.build.sdImage";
    assert_works(&Shape { outputs, name, row: "", file, ..PI });
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn the_variant_of_nixpkgs_for_cards_works() {
    let outputs = include_str!("flakes/stock-variant.nix");
    let note = "pi has no image of its own; using the SD card image that nixpkgs makes of its configuration: \
                BUILD.images.sd-card\n";
    assert_works(&Shape { outputs, note, file: "/sd-image/pi.img.zst", ..PI });
    let outcome = fixture(outputs).run(&["sd-image", "server"]);
    outcome.assert_code(2).assert_stderr_contains("nixosConfigurations.server makes no image for a card: ");
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn the_image_of_another_configuration_works() {
    let outputs = include_str!("flakes/companion.nix");
    let note = "rpi5 has no image of its own; using the image of another configuration: \
                nixosConfigurations.rpi5-image.config.system.build.sdImage\n";
    let row = "rpi5 not evaluated yes";
    assert_works(&Shape { outputs, name: "rpi5", row, note, file: "/sd-image/rpi5.img.zst", ..PI });
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn a_fleet_with_broken_hosts_works() {
    let outputs = include_str!("flakes/fleet.nix");
    let note = "the image of attic_pi is nixosConfigurations.attic_pi.config.system.build.sdImage\n";
    let row = "attic_pi not evaluated yes";
    assert_works(&Shape { outputs, name: "attic_pi", row, note, file: "/sd-image/attic.img.zst", ..PI });
    let note = "the image of Pi.Küche is nixosConfigurations.\"Pi.Küche\".config.system.build.sdImage\n";
    let row = "Pi.Küche not evaluated yes";
    let file = "/sd-image/kitchen.img.zst";
    assert_works(&Shape { outputs, name: "Pi.Küche", row, note, file, ..PI });
    // The attribute in the note is a valid argument.
    let name = "#nixosConfigurations.\"Pi.Küche\".config.system.build.sdImage";
    assert_works(&Shape { outputs, name, row: "", file, ..PI });
}

/// `hosts` evaluates no host, and `hosts --evaluate` evaluates each. A later `hosts` shows the cached results.
#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn hosts_evaluate_evaluates_each_host() {
    let fixture = fixture(include_str!("flakes/fleet.nix"));
    fixture.git(&["init", "--quiet"]);
    fixture.git(&["add", "."]);
    let outcome = fixture.run(&["hosts", "--evaluate"]);
    outcome.assert_code(0);
    let row = |host: &str| {
        let found =
            outcome.stdout.lines().find(|line| line.starts_with(&format!("{host} "))).map(str::to_owned);
        found.unwrap_or_else(|| panic!("no {host} in {}", outcome.stdout))
    };
    assert!(row("attic_pi").contains("nixosConfigurations.attic_pi.config.system.build.sdImage"));
    assert!(row("pc3").contains("none: nixosConfigurations.pc3 makes no image for a card"));
    assert!(row("broken").contains("none: nix failed on ") && row("broken").contains("broken on purpose"));
    let listed = fixture.run(&["hosts"]);
    listed.assert_code(0).assert_stdout_contains("nixosConfigurations.attic_pi.config.system.build.sdImage");
}
