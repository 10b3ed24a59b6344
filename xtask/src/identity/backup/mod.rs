//! A backup of identities: a tar archive, encrypted by age, in one file. `age -d` and `tar` open it without this tool.

mod archive;
mod open;
mod seal;
#[cfg(test)]
mod tests;

pub use archive::{pack, unpack};
pub use open::{AgeKeys, Opening, is_for_passphrase, open};
pub use seal::{Recipients, Sealing, check_passphrase, seal};

pub use age::secrecy::SecretString;

use std::fs::{File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Result;

use crate::base::bounded::{self, Links};
use crate::base::room;
use crate::failure;

/// The maximum size of a backup file, in bytes: thousands of hosts.
const MAX_SIZE: u64 = 16 << 20;
/// The scrypt work factor of a passphrase, as a power of 2: that of the program `age`, with 256 MiB of memory.
const WORK_FACTOR: u8 = 18;
/// The maximum scrypt work factor of a file: 1 GiB of memory.
const MAX_WORK_FACTOR: u8 = 20;

/// Reads the backup in `file`.
///
/// # Errors
/// `Refused` for what is no regular file, and for a larger one.
pub fn read_file(file: &Path) -> Result<Vec<u8>> {
    bounded::read(file, MAX_SIZE, Links::Follow).map_err(|error| match error.kind() {
        ErrorKind::FileTooLarge | ErrorKind::InvalidInput => {
            failure!(Refused, "{} is no backup of identities: it is {error}", file.display())
        }
        _ => bounded::named_file_error(file, error).context(format!("reading {}", file.display())),
    })
}

/// Writes the backup `content` to `file` atomically; only this user can read it. A file that exists is replaced if
/// `replaces`, else it stays. Returns whether the file was written.
///
/// # Errors
/// Where the file cannot be written.
pub fn write_file(file: &Path, content: &[u8], replaces: bool) -> Result<bool> {
    let doing = format!("writing {}", file.display());
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |error| room::write_error(error, &doing, folder, room::ANOTHER_FILE);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".identities.").suffix(".part").permissions(Permissions::from_mode(0o600));
    // The name is unpredictable, so the folder may be one of several users: the content is encrypted.
    let mut staged = builder.tempfile_in(folder).map_err(failed)?;
    staged.write_all(content).and_then(|()| staged.as_file().sync_all()).map_err(failed)?;
    if replaces {
        staged.persist(file).map_err(|persist| failed(persist.error))?;
    } else if let Err(persist) = staged.persist_noclobber(file) {
        return match persist.error.kind() {
            ErrorKind::AlreadyExists => Ok(false),
            _ => Err(failed(persist.error)),
        };
    }
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(true)
}
