//! A host with nixpkgs' own layout of `NIXOS_SD`: its sshd reads the host key that the tool wrote to the card.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::guest::Guest;
use crate::guest::card::{make_image, make_key};
use crate::support::Sandbox;

/// The name of the image, as nixpkgs gives it.
const IMAGE: &str = "nixos-image-sd-card-25.05-aarch64-linux.img.zst";

/// Makes a folder for `--files` that lets the owner of the key `user` log in as root.
fn files(dir: &Path, user: &Path) -> PathBuf {
    let ssh = dir.join("files/root/.ssh");
    fs::create_dir_all(&ssh).unwrap();
    fs::copy(user.with_extension("pub"), ssh.join("authorized_keys")).unwrap();
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
    let [image, card, user, other] = [IMAGE, "pi.img", "user", "other"].map(|name| dir.path().join(name));
    make_image("stock.sh", &dir.path().join("work"), &image, &[]);
    make_key(&user);
    make_key(&other);
    fs::File::create(&card).unwrap().set_len(1 << 30).unwrap();
    let files = files(dir.path(), &user);
    let [image, card_path, files] = [&image, &card, &files].map(|path| path.to_str().unwrap());
    let flash = ["flash", "--image", image, card_path, "--identity-of", "pi", "--files", files];
    let agreed = ["--allow-virtual", "--yes", "--expect-size", "1GiB"];
    sandbox.run(&[&flash[..], &agreed].concat()).assert_code(0);
    let public = fs::read_to_string(sandbox.path("state/identity/pi/ssh_host_ed25519_key.pub")).unwrap();

    let guest = Guest::boot(&card);
    let known = sandbox.path("state/identity/known_hosts");
    let script = "cat /etc/ssh/ssh_host_ed25519_key.pub; findmnt -no SOURCE,FSTYPE /; findmnt -no SOURCE /nix; \
                  sshd -T | grep '^hostkey .*ed25519'; stat -c %a:%u /etc/ssh/ssh_host_ed25519_key";
    let (_, output) = guest.ssh("pi", &known, &user, script);
    let key = "/etc/ssh/ssh_host_ed25519_key";
    assert_eq!(output, format!("{public}/dev/vda2 ext4\nhostkey {key}\n600:0\n"));

    // Another key is not accepted.
    let others = dir.path().join("other_hosts");
    let line = fs::read_to_string(other.with_extension("pub")).unwrap();
    fs::write(&others, format!("pi {line}")).unwrap();
    let (code, output) = guest.ssh("pi", &others, &user, "true");
    assert!(code == Some(255) && output.contains("Host key verification failed."), "{output}");
}
