//! The assembler with programs out of Debian's packages, those of this machine or of a Pi: the same versions
//! everywhere, with an mke2fs that takes an archive.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::fetch;
use crate::base::lock::Lock;
use crate::base::{Context, project, state};
use crate::setup::debian::Arch;

/// Programs of one kind of machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    dir: PathBuf,
}

/// Where the suites are told the folders of the programs, and of which kind of machine they are.
pub const PROGRAMS: [(&str, Arch); 2] =
    [("XTASK_PROGRAMS_AMD64", Arch::Amd64), ("XTASK_PROGRAMS_ARM64", Arch::Arm64)];

/// Stages all of [`PROGRAMS`] in this checkout and returns where they are.
pub fn programs(cx: &Context) -> Result<Vec<(&'static str, PathBuf)>> {
    PROGRAMS.iter().map(|&(name, arch)| Ok((name, Tools::stage(cx, arch)?.dir))).collect()
}

/// Under which name the assembler calls a program, and what its file is called.
const NAMES: [(&str, &str); 9] = [
    ("dash", "dash"),
    ("debugfs", "debugfs"),
    ("mcopy", "mtools"),
    ("mke2fs", "mke2fs"),
    ("mkfs.vfat", "mkfs.fat"),
    ("mmd", "mtools"),
    ("sfdisk", "sfdisk"),
    ("tar", "tar"),
    ("zstd", "zstd"),
];

/// What the assembler calls beside them. Busybox has more, of which some are none of its business.
const APPLETS: [&str; 21] = [
    "awk", "basename", "cat", "chmod", "date", "dirname", "env", "find", "ln", "mkdir", "mktemp", "mv", "od",
    "rm", "sed", "sh", "sort", "stat", "tr", "truncate", "xargs",
];

impl Tools {
    /// Makes the folder with the programs of `arch` in this checkout, where it is not there yet.
    ///
    /// # Errors
    /// Refused where the machine has no Debian-like mirror; otherwise what went wrong on the way.
    pub fn stage(cx: &Context, arch: Arch) -> Result<Self> {
        let home = project::state_dir().join("tools");
        let dir = home.join(arch.name());
        state::private_folder(&home)?;
        let _lock =
            Lock::take(&home.join("stage.lock"), "another run that prepares the demo", cx.reporter.as_ref())?;
        if !fetch::is_current(&dir) {
            fetch::fetch_tools(cx, &home, &dir, arch, |fresh| make_callable(fresh, &dir, arch))?;
        }
        Ok(Self { dir })
    }

    /// The file of one of the programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.join("programs").join(name)
    }

    /// Copies the programs and their libraries into the new folder `into`, and returns their size in bytes.
    pub fn copy_files(&self, into: &Path) -> Result<u64> {
        let mut size = 0;
        for part in ["bin", "lib"] {
            let (from, to) = (self.dir.join(part), into.join(part));
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

    /// A `PATH` with nothing else on it.
    pub fn path(&self) -> String {
        format!("{0}/programs:{0}/applets", self.dir.display())
    }
}

/// Puts what is called into the folder `fresh`, which is going to be `dir`.
fn make_callable(fresh: &Path, dir: &Path, arch: Arch) -> Result<()> {
    let (programs, applets) = (fresh.join("programs"), fresh.join("applets"));
    for folder in [&programs, &applets] {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    for (name, file) in NAMES {
        let place = programs.join(name);
        let doing = || format!("writing {}", place.display());
        fs::write(&place, wrapper(dir, arch, name, file)).with_context(doing)?;
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).with_context(doing)?;
    }
    for name in APPLETS {
        symlink("../bin/busybox", applets.join(name)).with_context(|| format!("linking {name}"))?;
    }
    Ok(())
}

/// A script that calls a program by way of its own loader: the libraries of this machine are others.
fn wrapper(dir: &Path, arch: Arch, name: &str, file: &str) -> String {
    let (dir, loader) = (dir.display(), arch.loader());
    // mtools converts names to the code page 850 with the help of the C library.
    format!(
        "#!{dir}/bin/busybox sh\nexport GCONV_PATH={dir}/lib/gconv\n\
         exec {dir}/lib/{loader} --argv0 {name} --library-path {dir}/lib {dir}/bin/{file} \"$@\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_finds_its_own_libraries() {
        let dir = tempfile::tempdir().unwrap();
        make_callable(dir.path(), Path::new("/t/amd64"), Arch::Amd64).unwrap();
        let script = fs::read_to_string(dir.path().join("programs/mmd")).unwrap();
        let expected = "#!/t/amd64/bin/busybox sh\nexport GCONV_PATH=/t/amd64/lib/gconv\n\
            exec /t/amd64/lib/ld-linux-x86-64.so.2 --argv0 mmd --library-path /t/amd64/lib /t/amd64/bin/mtools \"$@\"\n";
        assert_eq!(script, expected);
        assert_eq!(fs::read_link(dir.path().join("applets/awk")).unwrap(), Path::new("../bin/busybox"));
        let tools = Tools { dir: "/t/amd64".into() };
        assert_eq!(tools.path(), "/t/amd64/programs:/t/amd64/applets");
    }
}
