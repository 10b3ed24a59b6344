//! Calling the assembler.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::support::image::run;

pub const UUID: &str = "44444444-4444-4444-8888-888888888888";

/// The programs come from the folders that `cargo xtask test` names.
const NATIVE: &str =
    if cfg!(target_arch = "aarch64") { "XTASK_PROGRAMS_ARM64" } else { "XTASK_PROGRAMS_AMD64" };

/// With whose programs the assembler runs.
#[derive(Clone, Copy, Debug)]
pub enum Programs {
    /// Those that are on `PATH`.
    Machine,
    /// Debian's for this machine, in front of `PATH`: an mke2fs that takes an archive.
    Native,
    /// Debian's for a Pi and nothing else, which an emulator runs.
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

    /// The image, or what the assembler said.
    pub fn run(&self) -> Result<PathBuf, String> {
        self.tell().map(|(image, _)| image)
    }

    /// The image and what the assembler said; or only that.
    pub fn tell(&self) -> Result<(PathBuf, String), String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hosts/raspberry-pi/sd-image/assemble.sh");
        let text = |name: &str| self.dir.join(name).display().to_string();
        let (root, paths, firmware) = (text("root"), text("paths"), text("firmware"));
        let (out, temporary, path) = (text("new/x.img.zst"), text(""), self.programs.path());
        let mut env = vec![
            ("OUT", out.as_str()),
            ("ROOT_TREE", &root),
            ("STORE_PATHS", &paths),
            ("FIRMWARE_TREE", &firmware),
            ("FIRMWARE_MIB", "40"),
            ("ROOT_UUID", UUID),
            ("HEADROOM_MIB", "8"),
            ("SOURCE_DATE_EPOCH", "1700000000"),
            ("TMPDIR", &temporary),
            ("PATH", path.to_str().unwrap()),
        ];
        env.extend(self.changes);
        let shell = if matches!(self.programs, Programs::Emulated) { "dash" } else { "sh" };
        let mut words = self.by.to_vec();
        let script = script.display().to_string();
        words.extend([shell, &script]);
        // The variables reach the assembler by way of `env`, which is found on the PATH of this process.
        let pairs = env.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        let args = pairs.iter().map(String::as_str).chain(words).collect::<Vec<_>>();
        let output = run("env", &args, &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok((out.into(), said)) } else { Err(said) }
    }
}
