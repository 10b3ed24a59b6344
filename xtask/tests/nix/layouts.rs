//! The tool writes the key of a host to the path at which the evaluated configuration of the host reads it.

use std::fs;

use crate::fixture::Fixture;
use crate::shapes::fixture_with;
use crate::support::Outcome;
use crate::support::image::stdout_of;

const MIB: usize = 1 << 20;

/// The bytes of an image of 24 MiB whose third partition is an ext4 with `label` and `folders`.
pub fn image_with_ext4(label: &str, folders: &[&str]) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("making a folder");
    let root = dir.path().join("root");
    for folder in folders {
        fs::create_dir_all(root.join(folder)).expect("making a folder");
    }
    let file = dir.path().join("image");
    let mut bytes = vec![0; 24 * MIB];
    for (index, [start, size]) in [[1, 1], [2, 1], [3, 21]].into_iter().enumerate() {
        let entry = &mut bytes[446 + 16 * index..][..16];
        entry[4] = if index == 2 { 0x83 } else { 0x0b };
        entry[8..12].copy_from_slice(&(start * 2048_u32).to_le_bytes());
        entry[12..].copy_from_slice(&(size * 2048_u32).to_le_bytes());
    }
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    fs::write(&file, bytes).expect("writing an image");
    let args = ["-q", "-F", "-t", "ext4", "-L", label, "-b", "4096", "-m", "0", "-E", "offset=3145728", "-d"];
    let [root, file_path] = [&root, &file].map(|path| path.to_str().expect("a plain path"));
    stdout_of("/usr/sbin/mke2fs", &[&args[..], &[root, file_path, "21504k"]].concat());
    fs::read(&file).expect("reading an image")
}

/// A flake with the host `pi`, whose configuration has `options` and whose image holds `image`.
pub fn fixture_with_options(options: &str, image: &[u8]) -> Fixture {
    let outputs = format!(
        "make: {{ nixosConfigurations.pi.config = {{ {options} system.build.sdImage = make.zst \"pi\"; }}; }}"
    );
    fixture_with(&outputs, image)
}

/// Flashes the image of `pi` to a new card with the options `more`.
pub fn flash(fixture: &Fixture, more: &[&str]) -> Outcome {
    let args = flash_args(fixture, more);
    fixture.run(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The arguments of a flash of `pi` to a new card, with the options `more`.
pub fn flash_args(fixture: &Fixture, more: &[&str]) -> Vec<String> {
    let card = fixture.path("virtual-card");
    fs::write(&card, vec![0xee; 32 * MIB]).expect("making a card");
    let device = card.display().to_string();
    let args = ["flash", "pi", &device, "--allow-virtual", "--yes", "--expect-size", "32MiB"];
    args.iter().chain(more).map(|arg| (*arg).to_owned()).collect()
}

/// The content of the file `path` in the partition of the card.
pub fn read_from_card(fixture: &Fixture, path: &str) -> String {
    let card = format!("{}?offset=3145728", fixture.path("virtual-card").display());
    stdout_of("/usr/sbin/debugfs", &["-R", &format!("cat {path}"), &card])
}

/// Asserts that the card has the key of `pi` at `path`.
#[track_caller]
fn assert_key_at(fixture: &Fixture, path: &str) {
    let name = format!("{path}.pub");
    let key = fs::read_to_string(fixture.path("state/identity/pi/ssh_host_ed25519_key.pub"));
    assert_eq!(read_from_card(fixture, &name), key.expect("reading the key"), "{name}");
    assert!(read_from_card(fixture, path).starts_with("-----BEGIN OPENSSH PRIVATE KEY-----"), "{path}");
}

/// The configuration of a host whose / is on the card. LABEL stands for the label of the partition.
pub const ROOT_ON_CARD: &str =
    "fileSystems.\"/\" = { device = \"/dev/disk/by-label/LABEL\"; fsType = \"ext4\"; };";
/// The configuration of a host whose / is in memory and whose /nix is on the card.
pub const ROOT_IN_MEMORY: &str = "fileSystems.\"/\" = { device = \"none\"; fsType = \"tmpfs\"; };
    fileSystems.\"/nix\" = { device = \"/dev/disk/by-label/NIXOS_SD\"; fsType = \"ext4\"; };";

/// The configuration of a host whose ed25519 key is at `path`.
pub fn host_key_at(path: &str) -> String {
    format!(
        "services.openssh.hostKeys = [ {{ type = \"rsa\"; path = \"/etc/rsa\"; bits = 4096; }}
           {{ type = \"ed25519\"; path = \"{path}\"; }} ];"
    )
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn a_key_is_written_where_the_configuration_reads_it() {
    let stock = host_key_at("/etc/ssh/ssh_host_ed25519_key");
    let kept = "environment.persistence.\"/nix/state\" = { files = [ { file = \"/etc/machine-id\"; } ];
        directories = [ { directory = \"/etc/ssh\"; mode = throw \"unset\"; } ]; };";
    let link = "environment.etc.\"ssh/ssh_host_ed25519_key\".source = \"/nix/keys/etc/ssh/host\";";
    for (label, folders, options, path) in [
        ("NIXOS_SD", &["nix/store"][..], format!("{ROOT_ON_CARD} {stock}"), "/etc/ssh/ssh_host_ed25519_key"),
        ("nixos", &["nix/store"], format!("{ROOT_ON_CARD} {stock}"), "/etc/ssh/ssh_host_ed25519_key"),
        (
            "root",
            &["nix/store"],
            format!("{ROOT_ON_CARD} {}", host_key_at("/persist/keys/host")),
            "/persist/keys/host",
        ),
        (
            "NIXOS_SD",
            &["store"],
            format!("{ROOT_IN_MEMORY} {}", host_key_at("/nix/persist/etc/ssh/k")),
            "/persist/etc/ssh/k",
        ),
        (
            "NIXOS_SD",
            &["store"],
            format!("{ROOT_IN_MEMORY} {stock} {kept}"),
            "/state/etc/ssh/ssh_host_ed25519_key",
        ),
        ("NIXOS_SD", &["store"], format!("{ROOT_IN_MEMORY} {stock} {link}"), "/keys/etc/ssh/host"),
    ] {
        let fixture =
            fixture_with_options(&options.replace("LABEL", label), &image_with_ext4(label, folders));
        flash(&fixture, &[]).assert_code(0).assert_stdout_contains("the identity of pi");
        assert_key_at(&fixture, path);
    }
    // The files of --files go to the folder that contains `etc`.
    let fixture = fixture_with_options(
        &format!("{ROOT_IN_MEMORY} {}", host_key_at("/nix/my/state/etc/ssh/k")),
        &image_with_ext4("NIXOS_SD", &["store"]),
    );
    fs::create_dir(fixture.path("home/files")).expect("making a folder");
    fs::write(fixture.path("home/files/wifi"), "psk").expect("writing");
    flash(&fixture, &["--files", fixture.path("home/files").to_str().expect("a path")]).assert_code(0);
    assert_key_at(&fixture, "/my/state/etc/ssh/k");
    assert_eq!(read_from_card(&fixture, "/my/state/wifi"), "psk");
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn a_key_that_no_host_reads_is_left_out_with_a_warning_or_refused() {
    let stock = host_key_at("/etc/ssh/ssh_host_ed25519_key");
    let root = ROOT_ON_CARD.replace("LABEL", "NIXOS_SD");
    for (folders, options, reason) in [
        (&["store", "persist"][..], format!("{root} {stock}"), "mounts NIXOS_SD at /, but in "),
        (&["persist"], String::new(), "has neither `store` nor `nix`: "),
        (&["nix", "store"], String::new(), "has both `store` and `nix`: "),
        (&["store"], format!("{ROOT_IN_MEMORY} {stock}"), "in memory (tmpfs at /)"),
        (
            &["nix"],
            ROOT_ON_CARD.replace("LABEL", "other") + &stock,
            "has no partition other with ext4 (the configuration ",
        ),
        (
            &["nix"],
            format!("{root} services.openssh.hostKeys = [ ];"),
            "hostKeys of the host has no ed25519 key",
        ),
    ] {
        let fixture = fixture_with_options(&options, &image_with_ext4("NIXOS_SD", folders));
        let refused = flash(&fixture, &["--identity", "keep"]);
        refused.assert_code(3).assert_stderr_contains(reason);
        refused.assert_stderr_contains("hint: pass --identity none: the host then makes its own key\n");
        let outcome = flash(&fixture, &[]);
        outcome.assert_code(0).assert_stderr_contains(reason);
        outcome.assert_stderr_contains("warning: the card gets no host key, so its host makes its own: ");
        assert!(!fixture.path("state/identity/pi").exists(), "a key was made");
        // Where the host has a key already, a warning is not enough.
        fixture.run(&["identity", "make", "pi"]).assert_code(0);
        flash(&fixture, &[]).assert_code(3).assert_stderr_contains(reason);
        flash(&fixture, &["--identity", "none"]).assert_code(0);
    }
}

/// Options of modules that are not those of NixOS may have any type.
#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn options_of_another_type_count_as_unknown() {
    let stock = host_key_at("/etc/ssh/ssh_host_ed25519_key");
    let root = ROOT_ON_CARD.replace("LABEL", "NIXOS_SD");
    let image = image_with_ext4("NIXOS_SD", &["nix/store"]);
    for options in [
        "raspberryPi.boards = \"pi4\";",
        "raspberryPi.boards = { pi4 = true; };",
        "raspberryPi.boards = [ \"pi4\" (throw \"no\") ];",
        "raspberryPi.boards = [ 5 \"a board that no tool knows\" ];",
        "environment.persistence.\"/nix/state\".files = \"/etc/machine-id\";",
        "environment.persistence.\"/nix/state\".directories = [ 5 { } ];",
        "fileSystems.\"/srv\" = { device = \"/dev/sda1\"; options = \"bind\"; };",
    ] {
        let fixture = fixture_with_options(&format!("{root} {stock} {options}"), &image);
        flash(&fixture, &[]).assert_code(0);
        assert_key_at(&fixture, "/etc/ssh/ssh_host_ed25519_key");
    }
    for keys in ["\"/etc/key\"", "[ { type = \"ed25519\"; } ]"] {
        let options = format!("{root} services.openssh.hostKeys = {keys};");
        flash(&fixture_with_options(&options, &image), &[]).assert_code(0);
    }
}
