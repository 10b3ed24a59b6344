//! An ordinary user with a card that only root may write, and sudo rules for that user.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::card::Card;
use crate::image::{image, pack};
use crate::support::xtask::command_that_heeds_interrupts;
use crate::support::{Outcome, Sandbox};

/// The user `nobody`, and their group.
pub const NOBODY: u32 = 65534;

/// An ordinary user with a card that only root may write: a loop device over a file of their own.
pub struct User {
    pub sandbox: Sandbox,
    pub card: Card,
    pub image: Vec<u8>,
}

impl User {
    /// A user with an image of 6 MiB and a card of 9 MiB.
    pub fn new() -> Self {
        Self::with_image(image(6), 9)
    }

    /// A user with `image`, and a card of `card_mib` MiB.
    pub fn with_image(image: Vec<u8>, card_mib: usize) -> Self {
        let sandbox = Sandbox::with_fakes_only();
        let card = Card::new(card_mib);
        give_to_user(&card.device.backing_file());
        pack(&sandbox.path("home"), "img.zst", &image);
        // The user may not be able to access the folder of the binary. cp copies it, not this process: a child of
        // another test could inherit the open copy, and the kernel would then refuse to run it.
        run(&["cp", env!("CARGO_BIN_EXE_xtask"), sandbox.path("xtask").to_str().expect("a plain path")]);
        set_mode(&sandbox.path(""), 0o755);
        set_mode(&sandbox.path("calls"), 0o777);
        std::fs::create_dir(sandbox.path("state")).expect("making a folder");
        give_to_user(&sandbox.path("state"));
        Self { sandbox, card, image }
    }

    /// Flashes the virtual card, which has 9 MiB, as the user `nobody`.
    pub fn flash(&self) -> Outcome {
        self.flash_to(self.card(), "9MiB")
    }

    /// The path of the virtual card.
    pub fn card(&self) -> &str {
        self.card.device.device()
    }

    /// Flashes `device`, which has `size`, as the user `nobody`.
    pub fn flash_to(&self, device: &str, size: &str) -> Outcome {
        self.flash_with(device, size, &[])
    }

    /// Flashes `device`, which has `size`, with the options `more`, as the user `nobody`.
    pub fn flash_with(&self, device: &str, size: &str, more: &[&str]) -> Outcome {
        let file = self.sandbox.path("home").join("nixos-sd-image.img.zst");
        let file = file.to_str().expect("a plain path");
        let args = ["flash", "--image", file, device, "--allow-virtual", "--yes", "--expect-size", size];
        self.run(&[&args[..], more].concat())
    }

    /// Flashes the card, which has `size`, with the options `more`. The tool is started by `wrapper`, a command that
    /// runs another one.
    #[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
    pub fn flash_wrapped_in(&self, wrapper: &[&str], size: &str, more: &[&str]) -> Outcome {
        let file = self.sandbox.path("home").join("nixos-sd-image.img.zst");
        let file = file.to_str().expect("a plain path");
        let args = ["flash", "--image", file, self.card(), "--allow-virtual", "--yes", "--expect-size", size];
        let inner = self.command(&[&args[..], more].concat());
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]).arg(inner.get_program()).args(inner.get_args());
        command.envs(
            inner
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?)))
                .filter(|(name, _)| *name != "PATH"),
        );
        let path = inner.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, path)| path);
        // The programs of `wrapper` are on the usual PATH.
        let path = format!("{}:/usr/bin:/bin", path.expect("PATH").display());
        command.env("PATH", path).current_dir(self.sandbox.path("home")).stdin(Stdio::null());
        Outcome::of(&command.output().expect("running the binary as another user"))
    }

    /// Puts the real sudo on `PATH`, and lets the user run the worker as root by sudo, and nothing else.
    pub fn install_sudo(&self) -> SudoRule {
        let sudo = self.sandbox.path("bin/sudo");
        let _ = std::fs::remove_file(&sudo);
        std::os::unix::fs::symlink("/usr/bin/sudo", sudo).expect("linking sudo");
        self.allow_worker("")
    }

    /// Lets the user run the worker as root by sudo, and nothing else. `lines` are further lines of sudoers.
    pub fn allow_worker(&self, lines: &str) -> SudoRule {
        let binary = self.sandbox.path("xtask");
        let commands = ["read-card", "write-card"].map(|name| format!("{} {name}", binary.display()));
        // The rule expires, because a killed test cannot remove it.
        let end = run(&["date", "--utc", "--date=+10 minutes", "+%Y%m%d%H%M%SZ"]);
        let end = end.trim();
        let commands = commands.join(", ");
        SudoRule::new(&format!("nobody ALL=(root) NOTAFTER={end} NOPASSWD: {commands}\n{lines}\n"))
    }

    /// The request that the tool sends to the worker for a flash of `device`, which has `size`. Leaves a fake sudo that
    /// keeps the request and fails.
    pub fn request(&self, device: &str, size: &str) -> Value {
        let file = self.sandbox.path("calls/request");
        let keep = format!("read -r line; printf '%s' \"$line\" >'{}'; exit 1", file.display());
        self.sandbox.fake("sudo", &keep);
        self.flash_to(device, size).assert_code(6);
        let request = std::fs::read_to_string(file).expect("the request on the stdin of sudo");
        serde_json::from_str(&request).expect("a request as JSON")
    }

    /// The image, open as the tool passes it to the worker.
    pub fn image_file(&self) -> File {
        File::open(self.sandbox.path("home/nixos-sd-image.img.zst")).expect("opening the image")
    }

    /// Runs the tool as the user `nobody`.
    pub fn run(&self, args: &[&str]) -> Outcome {
        Outcome::of(&self.command(args).output().expect("running the binary as another user"))
    }

    /// The tool as the user `nobody`.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.as_nobody(&self.sandbox.path("xtask"));
        command.args(args);
        command
    }

    /// The worker as root, started by the real sudo for the user `nobody`.
    pub fn worker(&self, name: &str) -> Command {
        let mut command = self.as_nobody(Path::new("/usr/bin/sudo"));
        command.arg("--non-interactive").arg("--").arg(self.sandbox.path("xtask")).arg(name);
        command
    }

    /// The command that runs `program` as the user `nobody`, with the environment of the sandbox.
    pub fn as_nobody(&self, program: &Path) -> Command {
        let envs = self.sandbox.command(&[]);
        let envs = envs.get_envs().filter_map(|(name, value)| Some((name, value?)));
        let mut command = command_that_heeds_interrupts("/usr/bin/setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(program)
            .envs(envs)
            // The checkout may be in a folder that this user cannot enter.
            .current_dir(self.sandbox.path("home"))
            .stdin(Stdio::null());
        command
    }

    /// The arguments by which the tool lets sudo start the worker that writes.
    pub fn worker_args(&self) -> Vec<String> {
        let own = self.sandbox.path("xtask").display().to_string();
        vec!["--".to_owned(), own, "write-card".to_owned()]
    }

    /// Asserts that the virtual card is unchanged.
    #[track_caller]
    pub fn assert_card_unchanged(&self) {
        self.card.assert_unchanged();
    }
}

/// A sudoers file, which is removed when this value is dropped.
pub struct SudoRule(PathBuf);

impl SudoRule {
    /// Writes a new sudoers file with `text`.
    fn new(text: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = std::process::id();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(format!("/etc/sudoers.d/xtask-test-{id}-{count}"));
        std::fs::write(&path, text).expect("writing a rule for sudo");
        set_mode(&path, 0o440);
        run(&["/usr/sbin/visudo", "--check", "--quiet", "--file", path.to_str().expect("a plain path")]);
        Self(path)
    }
}

impl Drop for SudoRule {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Makes the user the owner of `path`, and makes its folder accessible.
pub fn give_to_user(path: &Path) {
    std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).expect("giving a file away");
    set_mode(path.parent().expect("a folder"), 0o755);
}

/// Runs a program, asserts that it succeeds, and returns its stdout.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
pub fn run(command: &[&str]) -> String {
    let output = Command::new(command[0]).args(&command[1..]).output().expect(command[0]);
    assert!(output.status.success(), "{command:?} failed: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Sets the permissions of `path`.
pub fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("setting a mode");
}
