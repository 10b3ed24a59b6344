//! Logs in to a host by ssh on its first boot: its host key and the user's key come with the card.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::mpsc;

use xtask::Launcher;
use xtask::qemu::{Machine, Script, Setup, Step, boot};

use crate::support::Sandbox;
use crate::{demo, read, virt_uboot};

/// The steps of a boot that ends after an ssh login.
const UNTIL_LOGIN: &[Step] = &[
    Step { awaited: "Starting kernel", input: None },
    Step { awaited: "demo: up", input: None },
    Step { awaited: "somebody was here", input: Some("reboot\n") },
];

/// Makes the ssh key pair `name` in `dir`, and returns the path of the private key.
fn make_key(dir: &Path, name: &str) -> PathBuf {
    let file = dir.join(name);
    read("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", file.to_str().unwrap()]);
    file
}

/// Makes a folder for `--files` that lets the owner of the key `user_key` log in as root, and returns its path.
fn make_files(dir: &Path, user_key: &Path) -> PathBuf {
    let ssh = dir.join("files/root/.ssh");
    fs::create_dir_all(&ssh).unwrap();
    fs::copy(user_key.with_extension("pub"), ssh.join("authorized_keys")).unwrap();
    for (path, mode) in [(ssh.parent().unwrap(), 0o700), (&ssh, 0o700), (&ssh.join("authorized_keys"), 0o600)]
    {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    dir.join("files")
}

/// Runs `command` on the host at `port` of 127.0.0.1, logged in with `user_key`. The host key must be that of `pi` in
/// `known_hosts`.
#[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
fn ssh(port: u16, user_key: &Path, known_hosts: &Path, command: &str) -> Output {
    let mut ssh = Command::new("ssh");
    ssh.args([
        "-F",
        "none",
        "-o",
        "BatchMode=yes",
        "-o",
        "StrictHostKeyChecking=yes",
        "-o",
        "HostKeyAlias=pi",
    ]);
    ssh.args(["-o", "IdentitiesOnly=yes", "-o", "GlobalKnownHostsFile=none", "-o", "ConnectTimeout=60"]);
    ssh.arg("-o").arg(format!("UserKnownHostsFile={}", known_hosts.display())).arg("-i").arg(user_key);
    ssh.args(["-p", &port.to_string(), "root@127.0.0.1", command]).output().unwrap()
}

#[test]
#[ignore = "needs Nix, AArch64 emulation and QEMU: run `cargo xtask test`"]
fn ssh_accepts_the_flashed_host_key_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::new();
    let (result, _) = demo(&[], dir.path());
    let image = result["image"]["image"].as_str().unwrap();
    let user_key = make_key(dir.path(), "user");
    let card = dir.path().join("pi.img");
    fs::File::create(&card).unwrap().set_len(256 << 20).unwrap();
    let files = make_files(dir.path(), &user_key);
    let [card_path, files] = [&card, &files].map(|path| path.to_str().unwrap());
    let flash = ["flash", "--image", image, card_path, "--identity-of", "pi", "--files", files];
    let confirmation = ["--allow-virtual", "--yes", "--expect-size", "256MiB"];
    sandbox.run(&[&flash[..], &confirmation].concat()).assert_code(0);

    let known_hosts = sandbox.path("state/identity/known_hosts");
    let known_hosts_with_other_key = dir.path().join("other_hosts");
    let other_key = fs::read_to_string(make_key(dir.path(), "other").with_extension("pub")).unwrap();
    fs::write(&known_hosts_with_other_key, format!("pi {other_key}")).unwrap();

    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let setup = Setup::new(Machine::Virt, &card, &virt_uboot()).unwrap().with_ssh(port);
    let (up_sender, up_receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        let host = scope.spawn(move || {
            boot(&Launcher::new("/"), &setup, &mut Script::new(UNTIL_LOGIN), |line| {
                if line.starts_with("demo: up") {
                    let _ = up_sender.send(());
                }
            })
        });
        up_receiver.recv().expect("a host that comes up");
        let refused = ssh(port, &user_key, &known_hosts_with_other_key, "true");
        assert_eq!(refused.status.code(), Some(255));
        let stderr = String::from_utf8_lossy(&refused.stderr);
        assert!(stderr.contains("Host key verification failed."), "{stderr}");
        let command =
            "cat /nix/persist/etc/ssh/ssh_host_ed25519_key.pub; echo somebody was here >/dev/console";
        let accepted = ssh(port, &user_key, &known_hosts, command);
        let stderr = String::from_utf8_lossy(&accepted.stderr);
        assert_eq!(accepted.status.code(), Some(0), "{stderr}");
        let public = fs::read_to_string(sandbox.path("state/identity/pi/ssh_host_ed25519_key.pub")).unwrap();
        assert_eq!(String::from_utf8_lossy(&accepted.stdout), public);
        host.join().unwrap().unwrap();
    });
}
