//! A card that is none: a file, on a loop device where this machine has them.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::context::Context;
use crate::debian::Lock;
use crate::process::Launcher;

/// A virtual card for as long as this lives; the file stays.
#[derive(Debug)]
pub struct VirtualCard {
    /// What to write to: the loop device, or the file.
    pub path: PathBuf,
    pub file: PathBuf,
    /// The loop device was told to detach itself at its last close. The kernel does that even if this
    /// process is killed.
    _open: Option<File>,
    _lock: Lock,
}

impl VirtualCard {
    /// Makes an empty card of `size` bytes under `home`. Two runs take turns.
    pub fn make(cx: &Context, home: &Path, size: u64) -> Result<Self> {
        let lock = Lock::take(&home.join("card.lock"), cx.reporter.as_ref())?;
        let file = home.join("card.img");
        let doing = || format!("making {}", file.display());
        make(&file, size).with_context(doing)?;
        let (path, open) = match attach(&cx.launcher, &file) {
            Ok((device, open)) => (device, Some(open)),
            Err(error) => {
                cx.note(format!("a plain file stands for the card, for want of a loop device: {error:#}"));
                (file.clone(), None)
            }
        };
        Ok(Self { path, file, _open: open, _lock: lock })
    }
}

/// Makes `file` new, so that whoever still looks at the last card through a loop device keeps that one.
fn make(file: &Path, size: u64) -> std::io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::create_new(file)?.set_len(size)
}

/// Attaches `file` to a free loop device, and keeps that open.
fn attach(launcher: &Launcher, file: &Path) -> Result<(PathBuf, File)> {
    let text = launcher.read("losetup", &["--find".as_ref(), "--show".as_ref(), file.as_os_str()])?;
    let device = PathBuf::from(text.trim());
    let open = OpenOptions::new().read(true).open(&device);
    // While it is open this only marks it: the kernel detaches it when nobody has it open any more.
    let marked = launcher.read("losetup", &["--detach".as_ref(), device.as_os_str()]);
    let open = open.with_context(|| format!("opening {}", device.display()))?;
    marked?;
    Ok((device, open))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_card_stays_for_who_has_it_open() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("card.img");
        make(&file, 4096).unwrap();
        let last = File::open(&file).unwrap();
        make(&file, 512).unwrap();
        assert_eq!((last.metadata().unwrap().len(), file.metadata().unwrap().len()), (4096, 512));
    }
}
