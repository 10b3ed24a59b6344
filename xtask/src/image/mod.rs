//! SD images: finding the file in a build's output, and what it says about itself.

mod build;
mod check;
mod contents;
pub mod digest;
mod extlinux;
mod gpt;
mod layout;
mod sidecar;
mod source;

pub use build::build;
pub use check::{Image, check};
pub use contents::{Contents, contents};
pub use source::Source;

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::failure::Kind;
use crate::ui::Bytes;

/// The endings of image files, in the order in which one is preferred.
const ENDINGS: [&str; 4] = [".img.zst", ".img.xz", ".img.gz", ".img"];

/// The image in a build's output, `$out/sd-image/*.img[.zst|.xz|.gz]`; there must be exactly one.
pub fn find(out: &Path) -> Result<PathBuf> {
    let dir = out.join("sd-image");
    if !dir.is_dir() {
        let text = format!("what was built is no SD image: there is no folder {}", dir.display());
        return Err(Kind::Other.error(text));
    }
    let entries = dir.read_dir().with_context(|| format!("looking for an image in {}", dir.display()))?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut images = files.filter(|file| is_image(file)).collect::<Vec<_>>();
    match (images.pop(), images.is_empty()) {
        (Some(image), true) => Ok(image),
        (None, _) => Err(Kind::Other.error(format!("there is no image in {}", dir.display()))),
        (Some(_), false) => {
            Err(Kind::Other.error(format!("there is more than one image in {}", dir.display())))
        }
    }
}

fn is_image(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// What can be said about an image file without reading it whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub path: PathBuf,
    /// In bytes, as the frame header of a zstd file promises; other files do not tell.
    pub size: Option<u64>,
    /// The size of the file itself, in bytes.
    pub stored: u64,
}

impl Facts {
    /// Looks at `file`.
    pub fn load(file: &Path) -> Result<Self> {
        let opened = std::fs::File::open(file).with_context(|| format!("opening {}", file.display()))?;
        let stored = opened.metadata().with_context(|| format!("looking at {}", file.display()))?.len();
        let size = content_size(opened).with_context(|| format!("reading {}", file.display()))?;
        Ok(Self { path: file.to_owned(), size, stored })
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        match self.size {
            Some(size) => write!(f, "{name}: {}, {} compressed", Bytes(size), Bytes(self.stored)),
            None => write!(f, "{name}: {}", Bytes(self.stored)),
        }
    }
}

/// The size that the header of the first zstd frame promises (RFC 8878, section 3.1.1.1.4), in bytes.
fn content_size(mut source: impl Read) -> std::io::Result<Option<u64>> {
    let mut head = Vec::new();
    source.by_ref().take(18).read_to_end(&mut head)?;
    let known = head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
    Ok(if known { zstd::zstd_safe::get_frame_content_size(&head).ok().flatten() } else { None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_image_is_found() {
        let out = tempfile::tempdir().unwrap();
        assert!(find(out.path()).unwrap_err().to_string().starts_with("what was built is no SD image"));
        let dir = out.path().join("sd-image");
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("notes.txt"), "").unwrap();
        assert!(find(out.path()).unwrap_err().to_string().starts_with("there is no image in"));
        std::fs::write(dir.join("a.img.zst"), "").unwrap();
        assert_eq!(find(out.path()).unwrap(), dir.join("a.img.zst"));
        std::fs::write(dir.join("b.img"), "").unwrap();
        assert!(find(out.path()).unwrap_err().to_string().starts_with("there is more than one image"));
    }

    #[test]
    fn the_content_size_of_a_frame() {
        let frame = zstd::bulk::compress(&[0; 3000], 1).unwrap();
        assert_eq!(content_size(&frame[..]).unwrap(), Some(3000));
        assert_eq!(content_size(&b"no zstd at all"[..]).unwrap(), None);
        assert_eq!(content_size(&b""[..]).unwrap(), None);
    }
}
