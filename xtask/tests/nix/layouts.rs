//! The key of a host goes where the evaluated configuration of the host reads it.

use std::fs;

use crate::fixture::Fixture;
use crate::shapes::fixture_with;
use crate::support::Outcome;
use crate::support::image::stdout_of;

const MIB: usize = 1 << 20;

/// An image of 24 MiB, whose third partition is an ext4 with this label and these folders.
fn image(label: &str, folders: &[&str]) -> Vec<u8> {
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
fn fixture(options: &str, image: &[u8]) -> Fixture {
    let outputs = format!(
        "make: {{ nixosConfigurations.pi.config = {{ {options} system.build.sdImage = make.zst \"pi\"; }}; }}"
    );
    fixture_with(&outputs, image)
}

fn flash(fixture: &Fixture, more: &[&str]) -> Outcome {
    let card = fixture.path("virtual-card");
    fs::write(&card, vec![0xee; 32 * MIB]).expect("making a card");
    let device = card.display().to_string();
    let args = ["flash", "pi", &device, "--allow-virtual", "--yes", "--expect-size", "32MiB"];
    fixture.run(&[&args[..], more].concat())
}

/// What the partition of the card has at `path`.
fn on_card(fixture: &Fixture, path: &str) -> String {
    let card = format!("{}?offset=3145728", fixture.path("virtual-card").display());
    stdout_of("/usr/sbin/debugfs", &["-R", &format!("cat {path}"), &card])
}

#[track_caller]
fn assert_key_at(fixture: &Fixture, path: &str) {
    let name = format!("{path}.pub");
    let key = fs::read_to_string(fixture.path("state/identity/pi/ssh_host_ed25519_key.pub"));
    assert_eq!(on_card(fixture, &name), key.expect("reading the key"), "{name}");
    assert!(on_card(fixture, path).starts_with("-----BEGIN OPENSSH PRIVATE KEY-----"), "{path}");
}

const ROOT: &str = "fileSystems.\"/\" = { device = \"/dev/disk/by-label/LABEL\"; fsType = \"ext4\"; };";
const MEMORY: &str = "fileSystems.\"/\" = { device = \"none\"; fsType = \"tmpfs\"; };
    fileSystems.\"/nix\" = { device = \"/dev/disk/by-label/NIXOS_SD\"; fsType = \"ext4\"; };";

fn keys(path: &str) -> String {
    format!(
        "services.openssh.hostKeys = [ {{ type = \"rsa\"; path = \"/etc/rsa\"; bits = 4096; }}
           {{ type = \"ed25519\"; path = \"{path}\"; }} ];"
    )
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn a_key_goes_where_the_configuration_reads_it() {
    let stock = keys("/etc/ssh/ssh_host_ed25519_key");
    let kept = "environment.persistence.\"/nix/state\" = { files = [ { file = \"/etc/machine-id\"; } ];
        directories = [ { directory = \"/etc/ssh\"; } ]; };";
    let link = "environment.etc.\"ssh/ssh_host_ed25519_key\".source = \"/nix/keys/etc/ssh/host\";";
    for (label, folders, options, path) in [
        ("NIXOS_SD", &["nix/store"][..], format!("{ROOT} {stock}"), "/etc/ssh/ssh_host_ed25519_key"),
        ("nixos", &["nix/store"], format!("{ROOT} {stock}"), "/etc/ssh/ssh_host_ed25519_key"),
        ("root", &["nix/store"], format!("{ROOT} {}", keys("/persist/keys/host")), "/persist/keys/host"),
        (
            "NIXOS_SD",
            &["store"],
            format!("{MEMORY} {}", keys("/nix/persist/etc/ssh/k")),
            "/persist/etc/ssh/k",
        ),
        ("NIXOS_SD", &["store"], format!("{MEMORY} {stock} {kept}"), "/state/etc/ssh/ssh_host_ed25519_key"),
        ("NIXOS_SD", &["store"], format!("{MEMORY} {stock} {link}"), "/keys/etc/ssh/host"),
    ] {
        let fixture = fixture(&options.replace("LABEL", label), &image(label, folders));
        flash(&fixture, &[]).assert_code(0).assert_stdout_contains("the identity of pi");
        assert_key_at(&fixture, path);
    }
    // --files goes to the folder with `etc`.
    let fixture =
        fixture(&format!("{MEMORY} {}", keys("/nix/my/state/etc/ssh/k")), &image("NIXOS_SD", &["store"]));
    fs::create_dir(fixture.path("home/files")).expect("making a folder");
    fs::write(fixture.path("home/files/wifi"), "psk").expect("writing");
    flash(&fixture, &["--files", fixture.path("home/files").to_str().expect("a path")]).assert_code(0);
    assert_key_at(&fixture, "/my/state/etc/ssh/k");
    assert_eq!(on_card(&fixture, "/my/state/wifi"), "psk");
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn a_key_that_no_host_reads_is_left_out_with_a_word_or_refused() {
    let stock = keys("/etc/ssh/ssh_host_ed25519_key");
    let root = ROOT.replace("LABEL", "NIXOS_SD");
    for (folders, options, reason) in [
        (&["store", "persist"][..], format!("{root} {stock}"), "mounts NIXOS_SD at /, but in "),
        (&["persist"], String::new(), "has neither `store` nor `nix`: "),
        (&["nix", "store"], String::new(), "has both `store` and `nix`: "),
        (&["store"], format!("{MEMORY} {stock}"), "in memory (tmpfs at /)"),
        (&["nix"], ROOT.replace("LABEL", "other") + &stock, "has no partition other with ext4, which "),
        (
            &["nix"],
            format!("{root} services.openssh.hostKeys = [ ];"),
            "hostKeys of the host has no ed25519 key",
        ),
    ] {
        let fixture = fixture(&options, &image("NIXOS_SD", folders));
        let refused = flash(&fixture, &["--identity", "keep"]);
        refused.assert_code(3).assert_stderr_contains(reason);
        refused.assert_stderr_contains("hint: pass --identity none: the host then makes its own key\n");
        let outcome = flash(&fixture, &[]);
        outcome.assert_code(0).assert_stderr_contains(reason);
        outcome.assert_stderr_contains("warning: the card gets no host key, so its host makes its own: ");
        assert!(!fixture.path("state/identity/pi").exists(), "a key was made");
        // A host that has its key does not lose it with a word.
        fixture.run(&["identity", "make", "pi"]).assert_code(0);
        flash(&fixture, &[]).assert_code(3).assert_stderr_contains(reason);
        flash(&fixture, &["--identity", "none"]).assert_code(0);
    }
}
