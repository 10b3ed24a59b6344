//! Runs the assembler.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::support::image::run;

pub const UUID: &str = "44444444-4444-4444-8888-888888888888";

/// `cargo xtask test` names the folders of the programs in these variables.
const NATIVE: &str =
    if cfg!(target_arch = "aarch64") { "XTASK_PROGRAMS_ARM64" } else { "XTASK_PROGRAMS_AMD64" };

/// The programs that the assembler uses.
#[derive(Clone, Copy, Debug)]
pub enum Programs {
    /// The programs on `PATH`.
    Machine,
    /// Programs of Debian for this machine before `PATH`, with an mke2fs that takes an archive.
    Native,
    /// Programs of Debian for a Pi alone, which an emulator runs.
    Emulated,
}

impl Programs {
    fn path(self) -> OsString {
        let machine = || std::env::var_os("PATH").unwrap();
        let folder = |name: &str, part: &str| {
            let dir =
                std::env::var_os(name).unwrap_or_else(|| panic!("{name} has to name a folder of programs"));
            Path::new(&dir).join(part)
        };
        let (front, rest) = match self {
            Self::Machine => return machine(),
            Self::Native => (folder(NATIVE, "programs"), machine()),
            Self::Emulated => {
                (folder("XTASK_PROGRAMS_ARM64", "programs"), folder("XTASK_PROGRAMS_ARM64", "applets").into())
            }
        };
        std::env::join_paths(std::iter::once(front).chain(std::env::split_paths(&rest))).unwrap()
    }
}

/// One call of the assembler.
pub struct Call<'a> {
    /// A folder with `root`, `firmware` and the file `paths`; the image and working files go there too.
    pub dir: &'a Path,
    pub programs: Programs,
    /// The command that runs the shell.
    pub by: &'a [&'a str],
    /// Changes to the variables.
    pub changes: &'a [(&'a str, &'a str)],
}

impl<'a> Call<'a> {
    pub fn new(dir: &'a Path) -> Self {
        Self { dir, programs: Programs::Native, by: &[], changes: &[] }
    }

    /// Returns the image or stderr.
    pub fn run(&self) -> Result<PathBuf, String> {
        self.run_with_stderr().map(|(image, _)| image)
    }

    /// Returns the image and stderr, or stderr alone.
    pub fn run_with_stderr(&self) -> Result<(PathBuf, String), String> {
        let output = run("env", &self.command(), &[]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok((self.out(), stderr)) } else { Err(stderr) }
    }

    /// The path of the image.
    pub fn out(&self) -> PathBuf {
        self.dir.join("new/x.img.zst")
    }

    /// The command as arguments of `env`, by way of which the variables reach the assembler: the shell is
    /// found on the `PATH` of this process.
    pub fn command(&self) -> Vec<String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../hosts/raspberry-pi/sd-image/assembler/assemble.sh");
        let text = |name: &str| self.dir.join(name).display().to_string();
        let mut env = vec![
            ("OUT", self.out().display().to_string()),
            ("ROOT_TREE", text("root")),
            ("STORE_PATHS", text("paths")),
            ("FIRMWARE_TREE", text("firmware")),
            ("FIRMWARE_MIB", "40".into()),
            ("ROOT_UUID", UUID.into()),
            ("HEADROOM_MIB", "8".into()),
            ("SOURCE_DATE_EPOCH", "1700000000".into()),
            ("TMPDIR", text("")),
            ("PATH", self.programs.path().into_string().unwrap()),
        ];
        env.extend(self.changes.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let shell = if matches!(self.programs, Programs::Emulated) { "dash" } else { "sh" };
        let variables = env.into_iter().map(|(name, value)| format!("{name}={value}"));
        let words = self.by.iter().chain([&shell]).map(|word| (*word).to_owned());
        variables.chain(words).chain([script.display().to_string()]).collect()
    }
}
