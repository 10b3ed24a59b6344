//! A user who may not write the card: only the writer is elevated, by what the machine has for it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

use crate::card::MIB;
use crate::image::{garbage, image, pack};
use crate::support::{Outcome, Sandbox, content_hash};

/// An ordinary user with a card that only root may write.
pub struct User {
    pub sandbox: Sandbox,
    card: PathBuf,
    image: Vec<u8>,
}

impl User {
    pub fn new() -> Self {
        Self::with(image(6), 9)
    }

    /// A user with this image, and a card of `room` MiB.
    pub fn with(image: Vec<u8>, room: usize) -> Self {
        let sandbox = Sandbox::with_fakes_only();
        let card = sandbox.path("virtual-card");
        std::fs::write(&card, garbage(room * MIB)).expect("making a card");
        set_mode(&card, 0o600);
        pack(&sandbox.path("home"), "img.zst", &image);
        // The binary may stand in a folder that the user cannot see. It is not copied by this process:
        // a child of another test could inherit the open copy, and then the kernel would not run it.
        run(&["cp", env!("CARGO_BIN_EXE_xtask"), sandbox.path("xtask").to_str().expect("a plain path")]);
        set_mode(&sandbox.path(""), 0o755);
        set_mode(&sandbox.path("calls"), 0o777);
        std::fs::create_dir(sandbox.path("state")).expect("making a folder");
        set_mode(&sandbox.path("state"), 0o777);
        Self { sandbox, card, image }
    }

    /// Flashes the virtual card as the user `nobody`.
    fn flash(&self) -> Outcome {
        self.flash_to(self.card(), "9MiB")
    }

    /// The path of the virtual card.
    pub fn card(&self) -> &str {
        self.card.to_str().expect("a plain path")
    }

    /// Flashes `device`, which has `size`, as the user `nobody`.
    pub fn flash_to(&self, device: &str, size: &str) -> Outcome {
        self.flash_with(device, size, &[])
    }

    /// The same with more options.
    pub fn flash_with(&self, device: &str, size: &str, more: &[&str]) -> Outcome {
        let file = self.sandbox.path("home").join("nixos-sd-image.img.zst");
        let file = file.to_str().expect("a plain path");
        let args = ["flash", "--image", file, device, "--allow-virtual", "--yes", "--expect-size", size];
        self.run(&[&args[..], more].concat())
    }

    /// Puts a sudo in place that hands the writer's streams on to a writer that runs as root, as the real one does.
    /// Returns how that writer ends.
    #[expect(clippy::disallowed_methods, reason = "the suites start the binary itself")]
    pub fn with_sudo(&self) -> JoinHandle<ExitStatus> {
        let [down, up] = ["down", "up"].map(|name| self.sandbox.path("calls").join(name));
        for fifo in [&down, &up] {
            run(&["mkfifo", "--mode=666", fifo.to_str().expect("a plain path")]);
        }
        let (from, into) = (down.display(), up.display());
        self.sandbox.fake("sudo", &format!("exec 3<&0\ncat <&3 >'{from}' &\nexec cat '{into}'"));
        std::thread::spawn(move || {
            let stdin = std::fs::File::open(down).expect("opening a FIFO");
            let stdout = std::fs::OpenOptions::new().write(true).open(up).expect("opening a FIFO");
            let mut writer = Command::new(env!("CARGO_BIN_EXE_xtask"));
            writer.arg("write-card").stdin(stdin).stdout(stdout).status().expect("running the writer")
        })
    }

    /// Runs the tool as the user `nobody`.
    #[expect(clippy::disallowed_methods, reason = "the suites start the binary itself")]
    fn run(&self, args: &[&str]) -> Outcome {
        let envs = self.sandbox.command(args);
        let envs = envs.get_envs().filter_map(|(name, value)| Some((name, value?)));
        let output = Command::new("/usr/bin/setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(self.sandbox.path("xtask"))
            .args(args)
            .envs(envs)
            // The checkout may be in a folder that this user cannot enter.
            .current_dir(self.sandbox.path("home"))
            .stdin(Stdio::null())
            .output()
            .expect("running the binary as another user");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        Outcome { code, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    pub fn writer(&self) -> Vec<String> {
        let own = self.sandbox.path("xtask").display().to_string();
        vec!["--".to_owned(), own, "write-card".to_owned()]
    }

    #[track_caller]
    fn card_is_unchanged(&self) {
        assert!(std::fs::read(&self.card).expect("reading the card") == garbage(9 * MIB));
    }
}

#[track_caller]
#[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
fn run(words: &[&str]) {
    let status = Command::new(words[0]).args(&words[1..]).status().expect(words[0]);
    assert!(status.success(), "{words:?} failed");
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("setting a mode");
}

#[test]
#[ignore = "needs root: run `cargo xtask test`"]
fn the_first_program_that_is_there_is_asked() {
    for (present, asked) in
        [(&["sudo", "run0", "doas"][..], "sudo"), (&["run0", "doas"], "run0"), (&["doas"], "doas")]
    {
        let user = User::new();
        for program in present {
            user.sandbox.fake(program, "echo 'a password is required' >&2; exit 1");
        }
        let outcome = user.flash();
        outcome.says(&format!("writing needs root: {asked} {}", user.writer().join(" ")));
        outcome.says("a password is required");
        outcome.says(&format!("{asked} ended with exit code 1 before the writer began; nothing was written"));
        outcome.exits(6);
        assert_eq!(user.sandbox.calls(asked), [user.writer()]);
        user.card_is_unchanged();
    }
}

#[test]
#[ignore = "needs root: run `cargo xtask test`"]
fn without_any_of_them_it_says_what_to_do() {
    let user = User::new();
    let outcome = user.flash();
    outcome.says("may not be written by this user, and there is none of sudo, run0, doas; run as root");
    // Nobody reads an image, or confirms, in vain.
    assert!(!outcome.stderr.contains("check"), "{}", outcome.stderr);
    outcome.exits(6);
    user.card_is_unchanged();
}

#[test]
#[ignore = "needs root: run `cargo xtask test`"]
fn an_image_that_this_user_may_not_read() {
    let user = User::new();
    user.sandbox.fake("sudo", "exit 99");
    let image = user.sandbox.path("home").join("nixos-sd-image.img.zst");
    set_mode(&image, 0o600);
    let outcome = user.flash();
    outcome.says("opening the image ").says(
        "Permission denied (os error 13); make the file and the folders above it readable for this user",
    );
    outcome.exits(6);
    assert!(user.sandbox.calls("sudo").is_empty());
    user.card_is_unchanged();
    // Neither a folder on the way to it.
    let closed = user.sandbox.path("home").join("closed");
    std::fs::create_dir(&closed).unwrap();
    set_mode(&closed, 0o700);
    std::fs::rename(&image, closed.join("image")).unwrap();
    set_mode(&closed.join("image"), 0o644);
    std::os::unix::fs::symlink(closed.join("image"), &image).unwrap();
    user.flash().says("Permission denied (os error 13); make the file and the folders").exits(6);
}

#[test]
#[ignore = "needs root: run `cargo xtask test`"]
fn reading_is_elevated_too_and_never_writes() {
    let user = User::new();
    user.sandbox.fake("sudo", "exit 1");
    let card = user.card.to_str().expect("a plain path");
    let own = user.sandbox.path("xtask").display().to_string();
    let reader = ["--", own.as_str(), "read-card"];
    for args in
        [&["card", "inspect", card][..], &["card", "verify", "--image", "nixos-sd-image.img.zst", card]]
    {
        let outcome = user.run(args);
        outcome.says(&format!("reading needs root: sudo {}\n", reader.join(" ")));
        outcome.says("sudo ended with exit code 1 before the reader began; nothing was read").exits(6);
    }
    assert_eq!(user.sandbox.calls("sudo"), [reader, reader]);
    std::fs::remove_file(user.sandbox.path("bin").join("sudo")).expect("removing a fake");
    let outcome = user.run(&["card", "inspect", card]);
    outcome.says("may not be read by this user, and there is none of sudo, run0, doas; run as root").exits(6);
    user.card_is_unchanged();
}

#[test]
#[ignore = "needs root: run `cargo xtask test`"]
fn the_elevated_writer_writes() {
    let user = User::new();
    let writer = user.with_sudo();
    let hash = content_hash(&user.image);
    let outcome = user.flash();
    assert!(outcome.exits(0).ends_with(&format!("holds the image: 6.0 MiB read back, hash {hash}\n")));
    assert!(writer.join().expect("no panic").success());
    assert!(std::fs::read(&user.card).expect("reading the card").starts_with(&user.image));
    // The receipt is the user's.
    let receipts = user.sandbox.path("state").join("receipts").metadata().expect("a folder of receipts");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&receipts), 65534);
}
