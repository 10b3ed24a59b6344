//! A host whose only login key is that of `flash --ssh-key`: its sshd lets the owner of the key in, and nobody else.

use std::fs;
use std::path::Path;

use crate::guest::Guest;
use crate::guest::card::{folder_in_variable, make_image, make_key, programs_variable};
use crate::support::Sandbox;

/// A flake with the host `pi` in the layout of nixpkgs, as nixpkgs evaluates it.
const FLAKE: &str = r#"{
  outputs = { self }: {
    nixosConfigurations.pi.config = {
      fileSystems."/" = { device = "/dev/disk/by-label/NIXOS_SD"; fsType = "ext4"; };
      users.users.root = { };
      services.openssh = {
        enable = true;
        authorizedKeysFiles = [ "%h/.ssh/authorized_keys" "/etc/ssh/authorized_keys.d/%u" ];
        hostKeys = [ { type = "ed25519"; path = "/etc/ssh/ssh_host_ed25519_key"; } ];
        settings.PermitRootLogin = "prohibit-password";
      };
      system.build.sdImage = derivation {
        name = "nixos-sd-image-pi";
        system = "@system@";
        builder = "${./busybox}/busybox";
        args = [ "sh" "-c" "mkdir -p $out/sd-image; cp ${./image.zst} $out/sd-image/pi.img.zst" ];
      };
    };
  };
}"#;

/// Writes the flake, with the image, to the sandbox.
fn write_flake(sandbox: &Sandbox, image: &Path) {
    let flake = sandbox.path("flake");
    fs::create_dir(flake.join("busybox")).unwrap();
    let busybox = folder_in_variable(programs_variable()).join("bin/busybox");
    fs::copy(busybox, flake.join("busybox/busybox")).unwrap();
    fs::copy(image, flake.join("image.zst")).unwrap();
    let system = format!("{}-linux", std::env::consts::ARCH);
    fs::write(flake.join("flake.nix"), FLAKE.replace("@system@", &system)).unwrap();
}

#[test]
#[ignore = "needs QEMU, Nix and Debian's packages: run `cargo xtask test host`"]
fn the_owner_of_the_flashed_key_logs_in_at_the_first_boot() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::new();
    let [image, card, mine, other] =
        ["image.zst", "pi.img", "mine", "other"].map(|name| dir.path().join(name));
    make_image("stock.sh", &dir.path().join("work"), &image, &[]);
    make_key(&mine);
    make_key(&other);
    fs::File::create(&card).unwrap().set_len(1 << 30).unwrap();
    write_flake(&sandbox, &image);
    let [flake, public_key] = [sandbox.path("flake"), mine.with_extension("pub")];
    let [flake, card_path, public_key] = [&flake, &card, &public_key].map(|path| path.to_str().unwrap());
    let flash = ["--flake", flake, "flash", "pi", card_path, "--ssh-key", public_key];
    let confirmation = ["--allow-virtual", "--yes", "--expect-size", "1GiB"];
    let outcome = sandbox.run(&[&flash[..], &confirmation].concat());
    outcome.assert_code(0).assert_stderr_contains("logins  1 key (ed25519 ");

    let guest = Guest::boot(&card);
    let known_hosts = sandbox.path("state/identity/known_hosts");
    let file = "/etc/ssh/authorized_keys.d/root";
    let script = format!("stat -c %a:%u {file}; ls -A /root/.ssh 2>/dev/null | wc -l; cat {file}");
    let (code, output) = guest.ssh("pi", &known_hosts, &mine, &script);
    let line = fs::read_to_string(public_key).unwrap();
    assert_eq!((code, output), (Some(0), format!("644:0\n0\n{line}")));
    let (code, output) = guest.ssh("pi", &known_hosts, &other, "true");
    assert!(code == Some(255) && output.contains("Permission denied"), "{output}");
}
