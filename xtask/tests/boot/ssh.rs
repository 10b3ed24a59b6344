//! Logs in to a host by ssh on its first boot: its host key and the user's key come with the card.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::mpsc;

use xtask::Launcher;
use xtask::dev::qemu::{Machine, Setup, Step, boot};

use crate::support::Sandbox;
use crate::{demo, emulator, read};

/// The steps of a boot that ends after an ssh login.
const UNTIL_LOGIN: &[Step] = &[
    Step { awaits: "Starting kernel", types: None },
    Step { awaits: "demo: up", types: None },
    Step { awaits: "somebody was here", types: Some("reboot\n") },
];

/// Makes an ssh key pair in `dir` and returns the private key.
fn key(dir: &Path, name: &str) -> PathBuf {
    let file = dir.join(name);
    read("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", file.to_str().unwrap()]);
    file
}

/// Makes a folder for `--files` that lets the owner of the key `user` log in as root.
fn files(dir: &Path, user: &Path) -> PathBuf {
    let ssh = dir.join("files/root/.ssh");
    fs::create_dir_all(&ssh).unwrap();
    fs::copy(user.with_extension("pub"), ssh.join("authorized_keys")).unwrap();
    for (path, mode) in [(ssh.parent().unwrap(), 0o700), (&ssh, 0o700), (&ssh.join("authorized_keys"), 0o600)]
    {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    dir.join("files")
}

/// Runs `command` on the host at `port`, whose host key must be that of `pi` in `known`.
#[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
fn ssh(port: u16, user: &Path, known: &Path, command: &str) -> Output {
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
    ssh.arg("-o").arg(format!("UserKnownHostsFile={}", known.display())).arg("-i").arg(user);
    ssh.args(["-p", &port.to_string(), "root@127.0.0.1", command]).output().unwrap()
}

#[test]
#[ignore = "needs Nix, AArch64 emulation and QEMU: run `cargo xtask test`"]
fn ssh_accepts_the_flashed_host_key_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::new();
    let (result, _) = demo(&[], dir.path());
    let image = result["image"]["source"]["path"].as_str().unwrap();
    let user = key(dir.path(), "user");
    let card = dir.path().join("pi.img");
    fs::File::create(&card).unwrap().set_len(256 << 20).unwrap();
    let files = files(dir.path(), &user);
    let [card_path, files] = [&card, &files].map(|path| path.to_str().unwrap());
    let flash = ["flash", "--image", image, card_path, "--identity-of", "pi", "--files", files];
    let agreed = ["--allow-virtual", "--yes", "--expect-size", "256MiB"];
    sandbox.run(&[&flash[..], &agreed].concat()).assert_code(0);

    let known = sandbox.path("state/identity/known_hosts");
    let other = dir.path().join("other_hosts");
    let line = fs::read_to_string(key(dir.path(), "other").with_extension("pub")).unwrap();
    fs::write(&other, format!("pi {line}")).unwrap();

    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let setup = Setup::new(Machine::Virt, &card, &emulator()).unwrap().with_ssh(port);
    let (up, is_up) = mpsc::channel();
    std::thread::scope(|scope| {
        let host = scope.spawn(move || {
            boot(&Launcher::new("/"), &setup, UNTIL_LOGIN, |line| {
                if line.starts_with("demo: up") {
                    let _ = up.send(());
                }
            })
        });
        is_up.recv().expect("a host that comes up");
        let refused = ssh(port, &user, &other, "true");
        assert_eq!(refused.status.code(), Some(255));
        let stderr = String::from_utf8_lossy(&refused.stderr);
        assert!(stderr.contains("Host key verification failed."), "{stderr}");
        let command =
            "cat /nix/persist/etc/ssh/ssh_host_ed25519_key.pub; echo somebody was here >/dev/console";
        let reached = ssh(port, &user, &known, command);
        let stderr = String::from_utf8_lossy(&reached.stderr);
        assert_eq!(reached.status.code(), Some(0), "{stderr}");
        let public = fs::read_to_string(sandbox.path("state/identity/pi/ssh_host_ed25519_key.pub")).unwrap();
        assert_eq!(String::from_utf8_lossy(&reached.stdout), public);
        host.join().unwrap().unwrap();
    });
}
