//! Runs the assembler.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::support::image::run;

/// The UUID of `NIXOS_SD`.
pub const UUID: &str = "44444444-4444-4444-8888-888888888888";

/// The variable in which `cargo xtask test` names the folder of the programs for this machine.
const NATIVE_PROGRAMS: &str =
    if cfg!(target_arch = "aarch64") { "XTASK_PROGRAMS_ARM64" } else { "XTASK_PROGRAMS_AMD64" };

/// The programs that the assembler uses.
#[derive(Clone, Copy, Debug)]
pub enum Programs {
    /// The programs on `PATH`.
    Machine,
    /// The programs of Debian for this machine, with an mke2fs that accepts an archive; then those on `PATH`.
    Native,
    /// Only the programs of Debian for a Pi, which an emulator runs.
    Emulated,
}

impl Programs {
    /// The value of `PATH` with these programs.
    fn path(self) -> OsString {
        let machine = || std::env::var_os("PATH").unwrap();
        let folder = |name: &str, part: &str| {
            let dir =
                std::env::var_os(name).unwrap_or_else(|| panic!("{name} has to name a folder of programs"));
            Path::new(&dir).join(part)
        };
        let (first_folder, rest) = match self {
            Self::Machine => return machine(),
            Self::Native => (folder(NATIVE_PROGRAMS, "programs"), machine()),
            Self::Emulated => {
                (folder("XTASK_PROGRAMS_ARM64", "programs"), folder("XTASK_PROGRAMS_ARM64", "applets").into())
            }
        };
        std::env::join_paths(std::iter::once(first_folder).chain(std::env::split_paths(&rest))).unwrap()
    }
}

/// One call of the assembler.
pub struct Call<'a> {
    /// A folder with `root`, `firmware` and the file `paths`; the image and working files go there too.
    pub dir: &'a Path,
    pub programs: Programs,
    /// The command that runs the shell of the assembler; empty to run the shell itself.
    pub wrapper: &'a [&'a str],
    /// Changes to the variables of the assembler.
    pub changes: &'a [(&'a str, &'a str)],
}

impl<'a> Call<'a> {
    /// A call with the native programs and without changes.
    pub fn new(dir: &'a Path) -> Self {
        Self { dir, programs: Programs::Native, wrapper: &[], changes: &[] }
    }

    /// Runs the assembler. Returns the path of the image, or stderr if the assembler fails.
    pub fn run(&self) -> Result<PathBuf, String> {
        self.run_with_stderr().map(|(image, _)| image)
    }

    /// Runs the assembler. Returns the path of the image and stderr, or stderr alone if the assembler fails.
    pub fn run_with_stderr(&self) -> Result<(PathBuf, String), String> {
        let output = run("env", &self.env_args(), &[]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok((self.out(), stderr)) } else { Err(stderr) }
    }

    /// The path of the image.
    pub fn out(&self) -> PathBuf {
        self.dir.join("new/x.img.zst")
    }

    /// The arguments of `env`, which sets the variables and runs the assembler.
    pub fn env_args(&self) -> Vec<String> {
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
        let words = self.wrapper.iter().chain([&shell]).map(|word| (*word).to_owned());
        variables.chain(words).chain([script.display().to_string()]).collect()
    }
}
