//! The file of an image that is not compressed, in the state folder. It has holes where the image has zeros.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Error, Result};
use tempfile::NamedTempFile;

use crate::bail;
use crate::base::failure::{self, ExitKind};
use crate::base::lock::Lock;
use crate::base::{Bytes, Phase, Reporter, memfd, room, state};
use crate::card::image::{self, Ext4Region, Image};
use crate::card::saved_state::{Survey, check_stop};

/// How the names of the files begin and end.
const PREFIX: &str = "image-";
const SUFFIX: &str = ".img";
/// The room that is left beside an image, in bytes: the files of one script, and other state.
const HEADROOM: u64 = 256 << 20;

/// The file of an image. Dropping this value removes the file.
pub struct RawFile {
    file: NamedTempFile,
    /// The same file, for children.
    inherited: File,
    _lock: Lock,
}

/// Fails where `folder` has no room for `size` bytes, the image with the state of `survey`.
///
/// # Errors
/// `Refused` with the room that is missing.
pub fn require_room(folder: &Path, size: u64, survey: &Survey) -> Result<()> {
    state::create_private_folder(folder)?;
    let found = rustix::fs::statvfs(folder).with_context(|| format!("measuring {}", folder.display()))?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let needed = size.saturating_add(HEADROOM);
    if needed <= free {
        return Ok(());
    }
    bail!(
        Refused,
        "the image with the state ({}) takes up to {} in {}, which has {} free",
        Bytes(survey.bytes), Bytes(needed), folder.display(), Bytes(free);
        hint: "make room there, or name another folder in XTASK_STATE, to which you copy the content of this one"
    )
}

impl RawFile {
    /// An empty file in `folder`, which only this user can read. Files that a killed run left there are removed.
    ///
    /// # Errors
    /// Where the file cannot be made.
    pub fn create(folder: &Path, reporter: &dyn Reporter) -> Result<Self> {
        state::create_private_folder(folder)?;
        let lock = Lock::take(&folder.join("lock"), "another restore", reporter)?;
        let doing = || format!("making a file in {}", folder.display());
        for entry in fs::read_dir(folder).with_context(doing)? {
            let path = entry.with_context(doing)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
                fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
            }
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX).suffix(SUFFIX).rand_bytes(12).permissions(Permissions::from_mode(0o600));
        let file = builder.tempfile_in(folder).with_context(doing)?;
        let inherited = memfd::inheritable(file.as_file()).with_context(doing)?;
        Ok(Self { file, inherited, _lock: lock })
    }

    /// The error for work on the file that ended with `error`: a full disk is the cause of many others, since
    /// e2fsprogs name none.
    pub fn explain(&self, error: Error) -> Error {
        let is_full = room::is_of_full_disk(&error) || room::full_folder(self.path()).is_some();
        if !is_full || failure::kind(&error) == ExitKind::Interrupted {
            return error;
        }
        crate::failure!(
            Io(NoRoom), "there is no room left for the image with the state in {}; the card is unchanged", self.folder().display();
            hint: "free some space there, or let XTASK_STATE name a folder on a larger disk"
        )
    }

    pub fn path(&self) -> &Path {
        self.file.path()
    }

    pub fn file(&self) -> &File {
        self.file.as_file()
    }

    /// The folder of the file.
    pub fn folder(&self) -> &Path {
        self.path().parent().unwrap_or(Path::new("/"))
    }

    /// The file system `region` of the file, as e2fsprogs name it.
    pub fn file_system(&self, region: &Ext4Region) -> String {
        format!("{}?offset={}", memfd::path(&self.inherited), region.start)
    }

    /// Writes the decompressed content of `image` to the file.
    ///
    /// # Errors
    /// `Interrupted` once `cancel` is set, and an image that is not whole.
    pub fn unpack(&self, image: &Image, cancel: &AtomicBool, phase: &mut Phase) -> Result<()> {
        image::unpack(image, self.file(), self.path(), |chunk| {
            phase.advance(chunk);
            check_stop(cancel)
        })
    }
}
