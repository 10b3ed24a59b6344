//! A user who may not write the card, and sudo does not let him either: what is said, to the letter, and
//! that nothing was written.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::flash::{image, is_all};
use crate::support::{Sandbox, content_hash};

const MIB: usize = 1 << 20;

/// A card that this user may only read, an image, and a copy of the binary where every user gets at it.
struct Place {
    sandbox: Sandbox,
    card: PathBuf,
    image: PathBuf,
    binary: PathBuf,
}

impl Place {
    fn new() -> Self {
        let sandbox = Sandbox::with_fakes_only();
        let (card, image_file) = (sandbox.path("virtual-card"), sandbox.path("home").join("a.img.zst"));
        std::fs::write(&card, vec![0xee; 4 * MIB]).expect("making a card");
        std::fs::write(&image_file, zstd::bulk::compress(&image(), 1).expect("compressing"))
            .expect("an image");
        let binary = sandbox.path("xtask");
        // Not copied by this process: a child of another test could inherit the open copy, and then the
        // kernel would not run it.
        let args = [Path::new(env!("CARGO_BIN_EXE_xtask")), &binary];
        assert!(program("cp").args(args).status().expect("copying the binary").success());
        // For `nobody` the card is that of root; its owner is barred from it where others are not.
        let card_mode = if rustix::process::geteuid().is_root() { 0o644 } else { 0o466 };
        for (path, mode) in
            [(sandbox.path(""), 0o755), (sandbox.path("calls"), 0o777), (card.clone(), card_mode)]
        {
            std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("setting a mode");
        }
        Self { sandbox, card, image: image_file, binary }
    }

    /// Flashes as a user whom modes bind: where the suite runs as root, as `nobody`.
    fn flash(&self) -> (Option<i32>, String) {
        let words = [&self.image, &self.card].map(|path| path.to_str().expect("a plain path"));
        let args =
            ["flash", "--image", words[0], words[1], "--allow-virtual", "--yes", "--expect-size", "4MiB"];
        let sandboxed = self.sandbox.command(&args);
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = program("/usr/bin/setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&self.binary);
            command
        } else {
            program(self.binary.to_str().expect("a plain path"))
        };
        command.args(args).stdin(Stdio::null()).current_dir(self.sandbox.path("home"));
        command.envs(sandboxed.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = command.output().expect("running the binary");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
fn program(name: &str) -> Command {
    Command::new(name)
}

#[test]
fn sudo_that_refuses() {
    for (body, code, words) in [
        (
            "echo 'sudo: 3 incorrect password attempts' >&2; exit 1",
            1,
            "sudo: 3 incorrect password attempts\n",
        ),
        ("echo 'nobody is not in the sudoers file.' >&2; exit 1", 1, "nobody is not in the sudoers file.\n"),
        ("exit 127", 127, ""),
        // Its words on stdout are none of the writer's.
        (
            "echo 'We trust you have received the usual lecture'; exit 1",
            1,
            "  | We trust you have received the usual lecture\n",
        ),
    ] {
        let place = Place::new();
        place.sandbox.fake("sudo", body);
        let (exit, said) = place.flash();
        // How long the check took is not always the same.
        let (check, said) = said.split_once('\n').expect("lines");
        assert!(check.starts_with("     check  2.0 MiB in "), "{check}");
        let [image, card, binary] = [&place.image, &place.card, &place.binary].map(|path| path.display());
        let hash = content_hash(&crate::flash::image());
        let expected = format!(
            "image   {image}\n        2.0 MiB (zstd), hash {hash}\n        1: Linux, 1.0 MiB\n\
             card    {card} (file, 4.0 MiB)\nlost    everything on it\n\
             writing needs root: sudo -- {binary} write-card\n{words}\
             error: sudo ended with exit code {code} before the writer began; nothing was written\n"
        );
        assert_eq!((exit, said), (Some(6), expected.as_str()), "{body}");
        assert!(is_all(&std::fs::read(&place.card).expect("reading the card"), 0xee), "{body}");
        let writer = ["--".to_owned(), binary.to_string(), "write-card".to_owned()];
        assert_eq!(place.sandbox.calls("sudo"), [writer], "{body}");
    }
}
