//! A card that dies: the state of its host is backed up by a real restic, the card is overwritten with random bytes,
//! and `restore` writes it again. The host then boots with the same state, and ssh asks nothing.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use xtask::Launcher;

use crate::guest::Guest;
use crate::guest::card::{SYSTEM_1, command, folder_in_variable, lab, programs_variable, run};
use crate::support::{Outcome, Sandbox};
use crate::workstation::BUSYBOX;

/// The size of the card.
const SIZE: u64 = 1 << 30;

/// Prints the names, modes, owners, times and targets of the state, and the hashes of its files.
const STATE: &str = "cd /nix/persist/var/lib/app && find . | sort | while read -r f; do stat -c '%n %f %u:%g %Y' \"$f\"; \
                     readlink \"$f\"; test ! -f \"$f\" -o -L \"$f\" || sha256sum <\"$f\"; done; true";

/// Prints the public key of the host.
const KEY: &str = "cat /nix/persist/etc/ssh/ssh_host_ed25519_key.pub";

/// Fills the folder of the state.
const FILL: &str = "set -e; mkdir -p /nix/persist/var/lib/app/sub; cd /nix/persist/var/lib/app
    head -c 3000000 /dev/urandom >sub/large; echo secret >key; chmod 600 key; chown 1234:567 key sub
    ln -s sub/large link; : >empty; chmod 2775 sub; mkdir many; cd many
    i=0; while test $i -lt 600; do echo $i >file-$i; i=$((i + 1)); done; touch -d @1500000000 ../key; sync";

/// A workstation whose flake is a git repository with the host `guest`.
struct Desk {
    sandbox: Sandbox,
    flake: PathBuf,
    card: PathBuf,
}

impl Desk {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let flake = sandbox.path("flake");
        let card = sandbox.path("card.img");
        fs::File::create(&card).unwrap().set_len(SIZE).unwrap();
        lab().card();
        fs::copy(lab().path("card.img.zst"), flake.join("card.img.zst")).unwrap();
        fs::create_dir(flake.join("busybox")).unwrap();
        fs::copy(folder_in_variable(programs_variable()).join("bin/busybox"), flake.join("busybox/busybox"))
            .unwrap();
        fs::write(flake.join("flake.nix"), include_str!("flake/image.nix")).unwrap();
        fs::write(
            flake.join("platform.json"),
            json!(format!("{}-linux", std::env::consts::ARCH)).to_string(),
        )
        .unwrap();
        let desk = Self { sandbox, flake, card };
        desk.git(&["init", "--quiet", "--initial-branch=main"]);
        desk.commit();
        desk
    }

    fn git(&self, args: &[&str]) -> String {
        let author = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
        Launcher::new(&self.flake).read("git", &[&author, args].concat()).unwrap()
    }

    /// Commits all changes, and returns the revision.
    fn commit(&self) -> String {
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "-m", "a"]);
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// Runs `COMMAND guest` on the card.
    fn write_card(&self, command: &str, more: &[&str]) -> Outcome {
        let [flake, card] = [&self.flake, &self.card].map(|path| path.to_str().unwrap());
        let args = [
            "--flake",
            flake,
            "--json",
            command,
            "guest",
            card,
            "--allow-virtual",
            "--yes",
            "--expect-size",
            "1GiB",
        ];
        self.sandbox.run(&[&args[..], more].concat())
    }

    /// Runs `script` on `guest` by ssh, which knows the host by the project's `known_hosts` alone.
    #[track_caller]
    fn ssh(&self, guest: &Guest, script: &str) -> String {
        let known_hosts = self.sandbox.path("state/identity/known_hosts");
        let (code, output) = guest.ssh("guest", &known_hosts, &lab().key(), script);
        assert_eq!(code, Some(0), "{output}");
        output
    }

    /// Copies the state of `guest` by ssh to a new folder, with its owners, and returns the folder of the persisted
    /// files.
    fn copy_state(&self, guest: &Guest) -> PathBuf {
        let root = self.sandbox.path("copied");
        fs::create_dir(&root).unwrap();
        let archive = root.join("state.tar");
        let known_hosts = self.sandbox.path("state/identity/known_hosts");
        let status = command("ssh")
            .args([
                "-F",
                "none",
                "-o",
                "BatchMode=yes",
                "-o",
                "StrictHostKeyChecking=yes",
                "-o",
                "HostKeyAlias=guest",
            ])
            .args([
                "-o",
                "GlobalKnownHostsFile=none",
                "-o",
                &format!("UserKnownHostsFile={}", known_hosts.display()),
            ])
            .arg("-i")
            .arg(lab().key())
            .args([
                "-p",
                &guest.port().to_string(),
                "root@127.0.0.1",
                &format!("{BUSYBOX} tar -C / -cf - nix/persist"),
            ])
            .stdout(fs::File::create(&archive).unwrap())
            .status()
            .unwrap();
        assert!(status.success());
        run("tar", &["-C", root.to_str().unwrap(), "-xpf", archive.to_str().unwrap(), "--numeric-owner"]);
        root.join("nix/persist")
    }

    /// Overwrites the card and removes `folder`, so that only the backup is left of the state. The flake moves on, and
    /// does not evaluate any more.
    fn lose(&self, folder: &Path) {
        fs::remove_dir_all(folder).unwrap();
        let card = format!("of={}", self.card.display());
        run("dd", &["if=/dev/urandom", &card, "bs=1M", "count=1024", "conv=notrunc", "status=none"]);
        fs::write(self.flake.join("flake.nix"), "throw \"later\"").unwrap();
        self.commit();
    }

    /// Backs `folder` up, and returns the options that restore the backup.
    fn back_up(&mut self, folder: &Path) -> Vec<String> {
        let [repository, password] =
            ["repository", "password"].map(|name| self.sandbox.path(name).display().to_string());
        fs::write(&password, "secret\n").unwrap();
        self.sandbox.env("RESTIC_CACHE_DIR", self.sandbox.path("cache"));
        let open = ["-q", "-r", &repository, "--password-file", &password, "--no-cache"];
        let folder = folder.to_str().unwrap();
        run("restic", &[&open[..], &["init"]].concat());
        run("restic", &[&open[..], &["backup", "--host", "guest", folder]].concat());
        let source = format!("restic:{repository}");
        ["--state", &source, "--state-path", folder, "--password-file", &password].map(str::to_owned).to_vec()
    }
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_card_that_died_is_restored_and_its_host_lives() {
    let mut desk = Desk::new();
    let revision = desk.git(&["rev-parse", "HEAD"]).trim().to_owned();
    desk.write_card("flash", &[]).assert_code(0);
    let guest = Guest::boot(&desk.card);
    desk.ssh(&guest, FILL);
    let before = [STATE, KEY].map(|script| desk.ssh(&guest, script));
    assert!(before[0].lines().count() > 1200, "{before:?}");
    let folder = desk.copy_state(&guest);
    guest.quit();
    let options = desk.back_up(&folder);
    desk.lose(&folder);

    let options = options.iter().map(String::as_str).collect::<Vec<_>>();
    let restored = desk.write_card("restore", &options);
    let result = restored.assert_code(0).json();
    assert_eq!((&result["revision"]["rev"], &result["planned_system"]), (&json!(revision), &json!(SYSTEM_1)));
    assert_eq!(result["report"]["system"], SYSTEM_1);

    let guest = Guest::boot(&desk.card);
    assert_eq!([STATE, KEY].map(|script| desk.ssh(&guest, script)), before);
}
