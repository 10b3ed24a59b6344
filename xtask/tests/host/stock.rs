//! A host with nixpkgs' own layout of `NIXOS_SD`: its sshd reads the host key that the tool wrote to the card.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::guest::Guest;
use crate::guest::card::{Lab, make_image, make_key};
use crate::support::{Sandbox, sha256};

/// The name of the image, as nixpkgs gives it.
const IMAGE: &str = "nixos-image-sd-card-25.05-aarch64-linux.img.zst";

/// Makes a folder for `--files` that lets the owner of the key `user_key` log in as root, and returns its path.
fn make_files(dir: &Path, user_key: &Path) -> PathBuf {
    let ssh = dir.join("files/root/.ssh");
    fs::create_dir_all(&ssh).unwrap();
    fs::copy(user_key.with_extension("pub"), ssh.join("authorized_keys")).unwrap();
    for (path, mode) in [("", 0o700), (".ssh", 0o700), (".ssh/authorized_keys", 0o600)] {
        fs::set_permissions(dir.join("files/root").join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    dir.join("files")
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn the_first_ssh_to_a_card_with_the_layout_of_nixpkgs_asks_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::new();
    let [image, card, user_key, other_key] =
        [IMAGE, "pi.img", "user", "other"].map(|name| dir.path().join(name));
    make_image("stock.sh", &dir.path().join("work"), &image, &[]);
    make_key(&user_key);
    make_key(&other_key);
    fs::File::create(&card).unwrap().set_len(1 << 30).unwrap();
    let files = make_files(dir.path(), &user_key);
    let [image, card_path, files] = [&image, &card, &files].map(|path| path.to_str().unwrap());
    let flash = ["flash", "--image", image, card_path, "--identity-of", "pi", "--files", files];
    let confirmation = ["--allow-virtual", "--yes", "--expect-size", "1GiB"];
    sandbox.run(&[&flash[..], &confirmation].concat()).assert_code(0);
    let public = fs::read_to_string(sandbox.path("state/identity/pi/ssh_host_ed25519_key.pub")).unwrap();

    let guest = Guest::boot(&card);
    let known_hosts = sandbox.path("state/identity/known_hosts");
    let script = "cat /etc/ssh/ssh_host_ed25519_key.pub; findmnt -no SOURCE,FSTYPE /; findmnt -no SOURCE /nix; \
                  sshd -T | grep '^hostkey .*ed25519'; stat -c %a:%u /etc/ssh/ssh_host_ed25519_key";
    let (_, output) = guest.ssh("pi", &known_hosts, &user_key, script);
    let key = "/etc/ssh/ssh_host_ed25519_key";
    assert_eq!(output, format!("{public}/dev/vda2 ext4\nhostkey {key}\n600:0\n"));

    // Another key is not accepted.
    let known_hosts_with_other_key = dir.path().join("other_hosts");
    let line = fs::read_to_string(other_key.with_extension("pub")).unwrap();
    fs::write(&known_hosts_with_other_key, format!("pi {line}")).unwrap();
    let (code, output) = guest.ssh("pi", &known_hosts_with_other_key, &user_key, "true");
    assert!(code == Some(255) && output.contains("Host key verification failed."), "{output}");
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn an_image_with_the_layout_of_nixpkgs_boots_at_the_desk_to_its_login() {
    let dir = tempfile::tempdir().unwrap();
    let mut sandbox = Sandbox::new();
    sandbox.env("XTASK_UBOOT", Lab::parts().join("emulator/u-boot.bin"));
    let image = dir.path().join(IMAGE);
    make_image("stock.sh", &dir.path().join("work"), &image, &[]);
    let before = sha256(&fs::read(&image).unwrap());
    let outcome = sandbox.run(&["boot", "--image", image.to_str().unwrap(), "--json"]);
    let result = outcome.assert_code(0).json();
    let proof = serde_json::json!({ "by": "login", "prompt": "demo login:" });
    assert_eq!(result["proof"], proof, "{outcome:?}");
    assert_eq!(sha256(&fs::read(&image).unwrap()), before);
    assert_eq!(sandbox.path("state/boot").read_dir().unwrap().count(), 1, "only the lock is left");
}
