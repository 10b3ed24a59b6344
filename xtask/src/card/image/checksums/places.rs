//! The checksum files beside an image.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Result;

use super::file::{ChecksumFile, Names, Scope};
use super::sum::Algorithm;
use crate::bail;

/// The largest number of checksum files that are read beside one image.
const MAX_FILES: usize = 64;
/// The names that are tried in a folder that cannot be listed.
const USUAL: &[&str] = &["SHA256SUMS", "SHA256SUMS.txt", "sha256sum.txt", "SHA512SUMS"];
/// The words that end the name of a list of checksums. Names of algorithms do so too.
const LIST_WORDS: &[&str] = &["checksum", "checksums", "hashes"];
/// The words that end the name of a checksum file of one image. Names of algorithms do so too.
const OWN_WORDS: &[&str] = &["checksum", "checksums", "sha", "hash", "sum"];
/// The endings of image files. `other.img.sha256` belongs to `other.img`, and is no list with the image.
const IMAGE_ENDINGS: &[&str] =
    &[".img", ".raw", ".iso", ".zst", ".xz", ".gz", ".bz2", ".zip", ".7z", ".tar", ".qcow2", ".bmap"];

/// The checksum files for the image `names` in its folder.
///
/// # Errors
/// `Refused` for more than [`MAX_FILES`].
pub fn beside(names: &Names) -> Result<Vec<ChecksumFile>> {
    let folder = names.image.parent().unwrap_or(Path::new("/"));
    let found = entries(folder, names);
    let files = found.iter().filter_map(|name| {
        let (scope, algorithm) = role(name, names)?;
        let path = folder.join(name);
        // A folder called `checksums` is no checksum file.
        (algorithm.is_some() || path.is_file()).then_some(ChecksumFile { path, scope, algorithm })
    });
    let files = files.collect::<Vec<_>>();
    if files.len() > MAX_FILES {
        bail!(
            Refused,
            "{} has {} checksum files, more than the {MAX_FILES} that are read for one image",
            folder.display(),
            files.len();
            hint: "move the image into a folder of its own"
        );
    }
    Ok(files)
}

/// The names of the files in `folder`, in order: those for one image first.
fn entries(folder: &Path, names: &Names) -> Vec<String> {
    let listed = folder.read_dir().map(|entries| {
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.collect::<BTreeSet<_>>()
    });
    let mut found = match listed {
        Ok(found) => found.into_iter().collect::<Vec<_>>(),
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(_) => {
            let for_image = format!("{}.sha256", names.name());
            let usual = USUAL.iter().map(ToString::to_string).chain([for_image]);
            usual.filter(|name| folder.join(name).symlink_metadata().is_ok()).collect()
        }
    };
    found.sort_by_key(|name| role(name, names).map(|(scope, _)| scope != Scope::One));
    found
}

/// The algorithm by the name of the checksum file at `path`.
pub fn algorithm(path: &Path) -> Option<Algorithm> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    name.rsplit(['-', '_', '.']).find_map(Algorithm::named)
}

/// What the file `name` is for the image `names`; `None` for a file that is no checksum file, or one of another image.
fn role(name: &str, names: &Names) -> Option<(Scope, Option<Algorithm>)> {
    let lower = name.to_ascii_lowercase();
    let bare = lower.strip_suffix(".asc").unwrap_or(&lower);
    let bare = bare.strip_suffix(".txt").unwrap_or(bare);
    let separators = ['-', '_', '.'];
    let word = bare.rsplit(separators).next().unwrap_or(bare);
    let algorithm = Algorithm::named(word);
    let before = bare.strip_suffix(word)?.trim_end_matches(separators);
    if names.all().any(|name| name == before) {
        return (algorithm.is_some() || OWN_WORDS.contains(&word)).then_some((Scope::One, algorithm));
    }
    let is_of_another = IMAGE_ENDINGS.iter().any(|ending| before.ends_with(ending));
    let is_list = algorithm.is_some() || LIST_WORDS.contains(&word);
    (is_list && !is_of_another).then_some((Scope::Many, algorithm))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_checksum_files() {
        let names = Names::new(Path::new("/srv/Pi.img.zst"), true);
        let role =
            |name: &str| role(name, &names).map(|(scope, algorithm)| format!("{scope:?} {algorithm:?}"));
        for (name, expected) in [
            ("Pi.img.zst.sha256", "One Some(Sha256)"),
            ("Pi.img.zst.SHA256SUM", "One Some(Sha256)"),
            ("Pi.img.zst.sha512", "One Some(Sha512)"),
            ("Pi.img.zst.sha256.txt", "One Some(Sha256)"),
            ("Pi.img.zst.sha", "One None"),
            ("Pi.img.zst-CHECKSUM", "One None"),
            ("Pi.img.md5", "One Some(Md5)"),
            ("Pi.sha256", "One Some(Sha256)"),
            ("SHA256SUMS", "Many Some(Sha256)"),
            ("SHA256SUMS.txt", "Many Some(Sha256)"),
            ("SHA256SUMS.asc", "Many Some(Sha256)"),
            ("sha256sum.txt", "Many Some(Sha256)"),
            ("SHA512SUMS", "Many Some(Sha512)"),
            ("MD5SUMS", "Many Some(Md5)"),
            ("B2SUMS", "Many Some(Blake2b)"),
            ("CHECKSUM.SHA256", "Many Some(Sha256)"),
            ("Fedora-Server-43-aarch64-CHECKSUM", "Many None"),
            ("checksums.txt", "Many None"),
            ("images.sha256", "Many Some(Sha256)"),
        ] {
            assert_eq!(role(name).as_deref(), Some(expected), "{name}");
        }
        for name in [
            "Pi.img.zst",
            "b.img.sha256",
            "b.img.xz-CHECKSUM",
            "Pi.img.zst.asc",
            "sha256.sh",
            "SHA256SUMS.sig",
            "",
        ] {
            assert_eq!(role(name), None, "{name}");
        }
    }

    #[test]
    fn files_for_one_image_come_first() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["SHA256SUMS", "a.img.sha256", "z.txt"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        std::fs::create_dir(dir.path().join("checksums")).unwrap();
        let names = Names::new(&dir.path().join("a.img"), false);
        let found = beside(&names).unwrap().into_iter().map(|file| file.path).collect::<Vec<_>>();
        assert_eq!(found, ["a.img.sha256", "SHA256SUMS"].map(|name| dir.path().join(name)));
        for number in 0..MAX_FILES {
            std::fs::write(dir.path().join(format!("{number}.md5")), "").unwrap();
        }
        assert!(beside(&names).unwrap_err().to_string().contains("has 66 checksum files"));
    }
}
