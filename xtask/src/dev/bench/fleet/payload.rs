//! The content of the path that changes.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use crate::bail;

/// The size of the path that changes, in MiB.
pub const MEBIBYTES: u32 = 20;

/// What the path that changes has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Payload {
    /// Programs of this machine, which a cache compresses as it does most packages
    Programs,
    /// What no compression makes smaller
    Random,
}

/// Where this machine has its programs.
const PROGRAMS: &str = "/usr/bin";

/// What a program of Linux begins with.
const ELF: &[u8] = b"\x7fELF";

impl Payload {
    /// Writes the content to `file`, which the flake adds to the path; nothing for random content, which each build
    /// makes by itself.
    ///
    /// # Errors
    /// `Refused` where this machine has too few programs.
    pub fn write(self, file: &Path) -> Result<()> {
        if self == Self::Random {
            return Ok(());
        }
        let bytes = programs(Path::new(PROGRAMS), (MEBIBYTES as usize) << 20)?;
        fs::write(file, bytes).with_context(|| format!("writing {}", file.display()))
    }
}

/// The first `size` bytes of the programs in `folder`, in the order of their names.
fn programs(folder: &Path, size: usize) -> Result<Vec<u8>> {
    let entries = fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))?;
    let mut files = entries.flatten().map(|entry| entry.path()).collect::<Vec<_>>();
    files.sort();
    let mut bytes = Vec::new();
    // A link may lead to a program that is in the folder too.
    for file in files.iter().filter(|file| !file.is_symlink() && is_program(file)) {
        bytes.extend(fs::read(file).with_context(|| format!("reading {}", file.display()))?);
        if bytes.len() >= size {
            bytes.truncate(size);
            return Ok(bytes);
        }
    }
    bail!(Refused, "{} has less than {MEBIBYTES} MiB of programs", folder.display(); hint: "pass --payload random")
}

/// Whether `file` can be read, and begins as a program does.
fn is_program(file: &Path) -> bool {
    let mut start = [0; ELF.len()];
    File::open(file).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == ELF
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_is_of_programs_alone() {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in [("a", "#!/bin/sh\n"), ("b", "\x7fELF of b"), ("c", "\x7fELF of c"), ("d", "")]
        {
            fs::write(dir.path().join(name), content).unwrap();
        }
        std::os::unix::fs::symlink("b", dir.path().join("bb")).unwrap();
        assert_eq!(programs(dir.path(), 13).unwrap(), b"\x7fELF of b\x7fELF");
        let error = programs(dir.path(), 100).unwrap_err();
        assert_eq!(crate::base::failure::hint(&error), Some("pass --payload random"));
    }
}
