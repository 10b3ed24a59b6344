//! The assembler's programs from Debian's packages, for this machine or for a Pi: the same versions everywhere, with
//! an mke2fs that accepts an archive. And the parts of a guest.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::fetch;
use crate::base::lock::Lock;
use crate::base::{Context, state};
use crate::setup::debian::Arch;

/// The folder with the assembler's programs for one architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    dir: PathBuf,
}

/// The environment variables by which the suites find the folders of the programs, and the architectures of the
/// programs.
pub const PROGRAMS: &[(&str, Arch)] =
    &[("XTASK_PROGRAMS_AMD64", Arch::Amd64), ("XTASK_PROGRAMS_ARM64", Arch::Arm64)];

/// Stages the programs for all of [`PROGRAMS`] in the state folder, and returns the variables with their folders.
///
/// # Errors
/// Those of [`Tools::stage`].
pub fn stage_programs(cx: &Context) -> Result<Vec<(&'static str, PathBuf)>> {
    PROGRAMS.iter().map(|&(name, arch)| Ok((name, Tools::stage(cx, arch)?.dir))).collect()
}

/// The environment variable by which the suites find the parts of a guest: kernel, U-Boot, and a Debian with systemd.
pub const GUEST: &str = "XTASK_GUEST";

/// Stages the parts of a guest in the state folder, and returns their folder.
///
/// # Errors
/// `Refused` where the machine has no Debian-like mirror, and any failure to fetch or copy.
pub fn stage_guest(cx: &Context) -> Result<PathBuf> {
    let home = cx.state.join("tools");
    let dir = home.join("guest");
    state::create_private_folder(&home)?;
    let _lock =
        Lock::take(&home.join("stage.lock"), "another run that prepares the demo", cx.reporter.as_ref())?;
    if !fetch::is_current(&dir) {
        fetch::fetch_guest(cx, &home, &dir)?;
    }
    Ok(dir)
}

/// The names by which the assembler calls programs, and the names of the programs' files.
const NAMES: &[(&str, &str)] = &[
    ("dash", "dash"),
    ("debugfs", "debugfs"),
    ("e2fsck", "e2fsck"),
    ("mcopy", "mtools"),
    ("mke2fs", "mke2fs"),
    ("mkfs.vfat", "mkfs.fat"),
    ("mmd", "mtools"),
    ("sfdisk", "sfdisk"),
    ("tar", "tar"),
    ("tune2fs", "tune2fs"),
    ("zstd", "zstd"),
];

/// The applets of busybox that the assembler calls.
const APPLETS: &[&str] = &[
    "awk", "basename", "cat", "chmod", "date", "dirname", "env", "find", "ln", "mkdir", "mktemp", "mv", "od",
    "rm", "sed", "sh", "sort", "stat", "tr", "truncate", "xargs",
];

impl Tools {
    /// Makes the folder with the programs for `arch` in the state folder, unless a current one is there.
    ///
    /// # Errors
    /// `Refused` where the machine has no Debian-like mirror, and any failure to fetch or copy.
    pub fn stage(cx: &Context, arch: Arch) -> Result<Self> {
        let home = cx.state.join("tools");
        let dir = home.join(arch.name());
        state::create_private_folder(&home)?;
        let _lock =
            Lock::take(&home.join("stage.lock"), "another run that prepares the demo", cx.reporter.as_ref())?;
        if !fetch::is_current(&dir) {
            fetch::fetch_tools(cx, &home, &dir, arch, |fresh| add_wrappers(fresh, &dir, arch))?;
        }
        Ok(Self { dir })
    }

    /// The path of the program that the assembler calls `name`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.join("programs").join(name)
    }

    /// Copies the programs and their libraries to the new folder `into`, and returns their size in bytes.
    pub fn copy_files(&self, into: &Path) -> Result<u64> {
        let mut size = 0;
        for folder in ["bin", "lib"] {
            let from = self.dir.join(folder);
            let to = into.join(folder);
            fs::create_dir_all(&to).with_context(|| format!("creating {}", to.display()))?;
            for entry in from.read_dir().with_context(|| format!("reading {}", from.display()))? {
                let file = entry.with_context(|| format!("reading {}", from.display()))?.path();
                if file.is_file() {
                    let copy = to.join(file.file_name().unwrap_or_default());
                    size += fs::copy(&file, &copy).with_context(|| format!("copying {}", file.display()))?;
                }
            }
        }
        Ok(size)
    }

    /// The value of `PATH` with only these programs.
    pub fn path(&self) -> String {
        format!("{0}/programs:{0}/applets", self.dir.display())
    }
}

/// Adds wrappers of the programs for `arch` and links to the applets to the folder `fresh`, which will be renamed to
/// `dir`.
fn add_wrappers(fresh: &Path, dir: &Path, arch: Arch) -> Result<()> {
    let programs = fresh.join("programs");
    let applets = fresh.join("applets");
    for folder in [&programs, &applets] {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    for (name, file) in NAMES {
        let path = programs.join(name);
        let doing = || format!("writing {}", path.display());
        fs::write(&path, wrapper_script(dir, arch, name, file)).with_context(doing)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).with_context(doing)?;
    }
    for name in APPLETS {
        symlink("../bin/busybox", applets.join(name)).with_context(|| format!("linking {name}"))?;
    }
    Ok(())
}

/// The script that runs the program `file` in the folder `dir` as `name`, by the loader and the libraries there
/// instead of this machine's.
fn wrapper_script(dir: &Path, arch: Arch, name: &str, file: &str) -> String {
    let dir = dir.display();
    let loader = arch.loader();
    // mtools converts names to code page 850 by the C library.
    format!(
        "#!{dir}/bin/busybox sh\nexport GCONV_PATH={dir}/lib/gconv\n\
         exec {dir}/lib/{loader} --argv0 {name} --library-path {dir}/lib {dir}/bin/{file} \"$@\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_applets_are_found_with_their_libraries() {
        let dir = tempfile::tempdir().unwrap();
        add_wrappers(dir.path(), Path::new("/t/amd64"), Arch::Amd64).unwrap();
        let script = fs::read_to_string(dir.path().join("programs/mmd")).unwrap();
        let expected = "#!/t/amd64/bin/busybox sh\nexport GCONV_PATH=/t/amd64/lib/gconv\n\
            exec /t/amd64/lib/ld-linux-x86-64.so.2 --argv0 mmd --library-path /t/amd64/lib /t/amd64/bin/mtools \"$@\"\n";
        assert_eq!(script, expected);
        assert_eq!(fs::read_link(dir.path().join("applets/awk")).unwrap(), Path::new("../bin/busybox"));
        let tools = Tools { dir: "/t/amd64".into() };
        assert_eq!(tools.path(), "/t/amd64/programs:/t/amd64/applets");
    }
}
