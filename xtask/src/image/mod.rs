//! SD images: finding the file in a build's output, and what it says about itself.

mod budget;
mod build;
mod check;
pub mod content;
mod contents;
pub mod digest;
mod ext4;
mod extlinux;
mod fat;
mod frames;
mod gpt;
mod inspection;
mod kernel;
mod known;
mod layout;
mod partition;
mod root;
mod sidecar;
mod source;
mod uboot;
mod unchanged;
mod xz;

pub use budget::{Budget, MEMORY};
pub use build::build;
pub use check::{Depth, Image, examine, examine_and_remember, examine_once};
pub use contents::{Contents, firmware_file};
#[cfg(test)]
pub(crate) use ext4::tests as ext4_tests;
pub use ext4::{Ext4, Superblock};
pub use inspection::{Inspection, Verdict, inspect};
pub use known::KnownImages;
pub use layout::Layout;
#[cfg(test)]
pub(crate) use layout::tests::mbr;
pub use root::{Root, root, root_on};
pub use source::Source;
pub use unchanged::Changed;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::failure::Kind;

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
}
