//! Writing the decompressed content of an image to a file.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Error, Result};

use super::Image;
use super::chunk_hash::{CHUNK, read_chunk};
use crate::base::is_all_zero;
use crate::{bail, failure};

/// Writes the content of `image` to the empty `file` at `path`, which gets the size of the image. Chunks of zeros take
/// no space. `on_chunk` is called with the size of each chunk, and ends the writing by an error.
///
/// # Errors
/// An image that is damaged or has another size than before, a full disk, and the error of `on_chunk`.
pub fn unpack(
    image: &Image,
    file: &File,
    path: &Path,
    mut on_chunk: impl FnMut(usize) -> Result<()>,
) -> Result<()> {
    file.set_len(image.size).with_context(|| format!("writing {}", path.display()))?;
    let mut stream = image.source.stream()?;
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    loop {
        let read = read_chunk(&mut stream, &mut chunk).map_err(|(_, error)| error);
        let size = read.with_context(|| image.source.decoding_context())?;
        if !is_all_zero(&chunk[..size]) {
            file.write_all_at(&chunk[..size], at).map_err(|error| write_error(path, error))?;
        }
        at += size as u64;
        on_chunk(size)?;
        if size < chunk.len() {
            break;
        }
    }
    if at != image.size {
        let name = image.source.path.display();
        bail!(Verification, "{name} has {at} bytes, and had {} before", image.size);
    }
    Ok(())
}

/// The error for `path`, to which nothing can be written because of `error`.
fn write_error(path: &Path, error: std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => failure!(
            Io(NoRoom), "there is no room for the decompressed image in {}", path.parent().unwrap_or(path).display();
            hint: "free some space there, or let XTASK_STATE name a folder on a larger disk"
        ),
        _ => Error::new(error).context(format!("writing {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_has_a_remedy() {
        use crate::base::failure::{ExitKind, hint, kind};
        let full = write_error(Path::new("/s/boot/run-1/card.img"), rustix::io::Errno::NOSPC.into());
        assert_eq!(kind(&full), ExitKind::Io);
        assert_eq!(full.to_string(), "there is no room for the decompressed image in /s/boot/run-1");
        assert!(hint(&full).unwrap().contains("XTASK_STATE"));
        let other = write_error(Path::new("/s/card.img"), rustix::io::Errno::IO.into());
        assert_eq!(other.to_string(), "writing /s/card.img");
    }
}
