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
/// The names of lists that are tried in a folder that cannot be listed.
const USUAL_LISTS: &[&str] = &["SHA256SUMS", "SHA256SUMS.txt", "sha256sum.txt", "SHA512SUMS"];
/// The last words in names of lists of checksums, beside the names of algorithms.
const LIST_WORDS: &[&str] = &["checksum", "checksums", "hashes"];
/// The last words in names of checksum files of one image, beside the names of algorithms.
const OWN_WORDS: &[&str] = &["checksum", "checksums", "sha", "hash", "sum"];
/// The endings of image files: `other.img.sha256` belongs to `other.img`, and is no list of checksums.
const IMAGE_ENDINGS: &[&str] =
    &[".img", ".raw", ".iso", ".zst", ".xz", ".gz", ".bz2", ".zip", ".7z", ".tar", ".qcow2", ".bmap"];

/// The checksum files for the image `names` in the folder of the image, those for the image alone first.
///
/// # Errors
/// `Refused` for more than [`MAX_FILES`].
pub fn checksum_files_beside(names: &Names) -> Result<Vec<ChecksumFile>> {
    let folder = names.image.parent().unwrap_or(Path::new("/"));
    let candidates = file_names(folder, names).into_iter().filter_map(|name| {
        let Role { scope, algorithm } = role(&name, names)?;
        Some(ChecksumFile { path: folder.join(name), scope, algorithm })
    });
    // A folder called `checksums` is no checksum file.
    let mut files =
        candidates.filter(|file| file.algorithm.is_some() || file.path.is_file()).collect::<Vec<_>>();
    files.sort_by_key(|file| file.scope == Scope::Many);
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

/// The names of the files in `folder`, sorted. Where the folder of the image `names` cannot be listed: the usual names
/// of checksum files that exist.
fn file_names(folder: &Path, names: &Names) -> Vec<String> {
    match folder.read_dir() {
        Ok(entries) => {
            let found = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            found.collect::<BTreeSet<_>>().into_iter().collect()
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(_) => {
            let for_image = format!("{}.sha256", names.image_name());
            let usual = USUAL_LISTS.iter().map(ToString::to_string).chain([for_image]);
            usual.filter(|name| folder.join(name).symlink_metadata().is_ok()).collect()
        }
    }
}

/// The algorithm by the name of the checksum file at `path`; `None` where no word in the name is an algorithm.
pub fn algorithm_by_name(path: &Path) -> Option<Algorithm> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    name.rsplit(['-', '_', '.']).find_map(Algorithm::by_name)
}

/// What a file is for an image, by its name.
struct Role {
    scope: Scope,
    algorithm: Option<Algorithm>,
}

/// The role of the file `name` for the image `names`; `None` for a file that is no checksum file, or that is one of
/// another image.
fn role(name: &str, names: &Names) -> Option<Role> {
    const SEPARATORS: [char; 3] = ['-', '_', '.'];
    let lower = name.to_ascii_lowercase();
    let unsigned = lower.strip_suffix(".asc").unwrap_or(&lower);
    let stem = unsigned.strip_suffix(".txt").unwrap_or(unsigned);
    let last_word = stem.rsplit(SEPARATORS).next().unwrap_or(stem);
    let before = stem.strip_suffix(last_word)?.trim_end_matches(SEPARATORS);
    let algorithm = Algorithm::by_name(last_word);
    if names.own_prefixes().iter().any(|prefix| prefix == before) {
        let is_own = algorithm.is_some() || OWN_WORDS.contains(&last_word);
        return is_own.then_some(Role { scope: Scope::One, algorithm });
    }
    let is_of_another = IMAGE_ENDINGS.iter().any(|ending| before.ends_with(ending));
    let is_list = algorithm.is_some() || LIST_WORDS.contains(&last_word);
    (is_list && !is_of_another).then_some(Role { scope: Scope::Many, algorithm })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_decides_its_role() {
        let names = Names::new(Path::new("/srv/Pi.img.zst"), true);
        let role = |name: &str| {
            role(name, &names).map(|Role { scope, algorithm }| format!("{scope:?} {algorithm:?}"))
        };
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
        let found =
            checksum_files_beside(&names).unwrap().into_iter().map(|file| file.path).collect::<Vec<_>>();
        assert_eq!(found, ["a.img.sha256", "SHA256SUMS"].map(|name| dir.path().join(name)));
        for number in 0..MAX_FILES {
            std::fs::write(dir.path().join(format!("{number}.md5")), "").unwrap();
        }
        assert!(checksum_files_beside(&names).unwrap_err().to_string().contains("has 66 checksum files"));
    }
}
