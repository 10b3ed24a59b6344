//! The card of the guests, made once for all tests: a Debian with systemd, its kernel, and the trial of the hosts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use xtask::dev::demo::PROGRAMS;

use super::{Guest, SavedGuest};

/// The first system, which is on the card.
pub const SYSTEM_1: &str = "/nix/store/11111111111111111111111111111111-nixos-system-demo-1";
/// The second system, which the tests install.
pub const SYSTEM_2: &str = "/nix/store/22222222222222222222222222222222-nixos-system-demo-2";

/// The folder that all tests of a run share.
pub struct Lab {
    dir: PathBuf,
}

impl Lab {
    /// The path of `name` in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A new empty file, which is removed when the path is dropped.
    pub fn new_file(&self) -> tempfile::TempPath {
        tempfile::NamedTempFile::new_in(&self.dir).unwrap().into_temp_path()
    }

    /// The private key that may log in as root.
    pub fn key(&self) -> PathBuf {
        self.path("user")
    }

    /// The path of the `known_hosts` with the host key of the guest.
    pub fn known_hosts(&self) -> PathBuf {
        self.path("known_hosts")
    }

    /// The path of the card, which is made at the first call.
    pub fn card(&self) -> &'static Path {
        static CARD: OnceLock<PathBuf> = OnceLock::new();
        CARD.get_or_init(|| {
            let [image, card] = ["card.img.zst", "card.img"].map(|name| self.path(name));
            let keys = [("HOST_KEY", self.path("host")), ("USER_KEY", self.path("user.pub"))];
            make_image("card.sh", &self.path("work"), &image, &keys);
            run("zstd", &["-q", "-d", "--sparse", image.to_str().unwrap(), "-o", card.to_str().unwrap()]);
            card
        })
    }

    /// Makes the keys of the user and of the host, and `known_hosts`.
    fn make_keys(&self) {
        for name in ["user", "host"] {
            make_key(&self.path(name));
        }
        let public = fs::read_to_string(self.path("host.pub")).unwrap();
        fs::write(self.known_hosts(), format!("guest {public}")).unwrap();
    }

    /// The folder with the parts of a guest.
    pub fn parts() -> PathBuf {
        folder_in_variable("XTASK_GUEST")
    }
}

/// The folder that the environment variable `name` names.
pub fn folder_in_variable(name: &str) -> PathBuf {
    std::env::var_os(name).unwrap_or_else(|| panic!("{name} is not set: run `cargo xtask test boot`")).into()
}

/// The name of the variable with the folder of the assembler's programs for this machine.
pub fn programs_variable() -> &'static str {
    let own_arch = std::env::consts::ARCH;
    let found = PROGRAMS.iter().find(|(_, arch)| arch.triplet().starts_with(own_arch));
    found.unwrap_or_else(|| panic!("there are no programs for {own_arch}")).0
}

/// The shared folder, which is made with its keys at the first call.
pub fn lab() -> &'static Lab {
    static LAB: OnceLock<Lab> = OnceLock::new();
    LAB.get_or_init(|| {
        let lab = Lab { dir: Path::new(env!("CARGO_TARGET_TMPDIR")).join(env!("CARGO_CRATE_NAME")) };
        let _ = fs::remove_dir_all(&lab.dir);
        fs::create_dir_all(&lab.dir).unwrap();
        lab.make_keys();
        lab
    })
}

/// The guest of the card, which is booted and saved at the first call.
pub fn saved() -> &'static SavedGuest {
    static SAVED: OnceLock<SavedGuest> = OnceLock::new();
    SAVED.get_or_init(|| Guest::boot(lab().card()).save(&lab().path("saved")))
}

/// Makes an ssh key pair, whose private key is `file`.
pub fn make_key(file: &Path) {
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", file.to_str().unwrap()]);
}

/// Makes the image `out` by `script`, a script of the folder `card`. `variables` are further variables of that script.
/// The folder `work` is created for the script and removed.
pub fn make_image(script: &str, work: &Path, out: &Path, variables: &[(&str, PathBuf)]) {
    fs::create_dir_all(work).unwrap();
    let manifest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = command("sh")
        .arg(manifest_dir.join("tests/guest/card").join(script))
        .env("WORK", work)
        .env("GUEST", Lab::parts())
        .env("PROGRAMS", folder_in_variable(programs_variable()))
        .env("RASPBERRY_PI", manifest_dir.join("../hosts/raspberry-pi"))
        .env("OUT", out)
        .envs(variables.iter().cloned())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::remove_dir_all(work).unwrap();
}

/// Runs `program` and returns its stdout. An exit code other than 0 fails the test.
#[track_caller]
pub fn run(program: &str, args: &[&str]) -> String {
    let output = command(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The command that runs `program`.
#[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
pub fn command(program: &str) -> Command {
    Command::new(program)
}
