//! The checksum files beside an image.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Result;

use super::algorithm::NamedAlgorithm;
use super::file::{ChecksumFile, Names, Scope};
use crate::bail;
use crate::nix::StorePath;

/// The largest number of checksum files that are read beside one image.
const MAX_FILES: usize = 64;
/// The names of lists that are tried in a folder that cannot be listed.
const USUAL_LISTS: &[&str] = &["SHA256SUMS", "SHA256SUMS.txt", "sha256sum.txt", "SHA512SUMS"];
/// The last words in names of lists of checksums, beside the names of algorithms.
const LIST_WORDS: &[&str] = &["checksum", "checksums", "hash", "hashes", "shasum", "digests"];
/// The words in names of checksum files of one image, beside the names of algorithms.
const OWN_WORDS: &[&str] = &["checksum", "checksums", "sha", "hash", "sum", "sums", "digest"];
/// The characters between the words of a name.
const SEPARATORS: [char; 3] = ['-', '_', '.'];
/// The greatest number of words in the name of an algorithm: `sha-3-256`.
const MAX_WORDS: usize = 3;
/// The endings of image files: `other.img.sha256` belongs to `other.img`, and is no list of checksums.
const IMAGE_ENDINGS: &[&str] =
    &[".img", ".raw", ".iso", ".zst", ".xz", ".gz", ".bz2", ".zip", ".7z", ".tar", ".qcow2", ".bmap"];

/// The checksum files for the image `names` in the folder of the image, those for the image alone first.
///
/// # Errors
/// `Refused` for more than [`MAX_FILES`].
pub fn checksum_files_beside(names: &Names) -> Result<Vec<ChecksumFile>> {
    if is_store_path(&names.image) {
        return Ok(Vec::new());
    }
    let folder = names.image.parent().unwrap_or(Path::new("/"));
    let candidates = file_names(folder, names).into_iter().filter_map(|name| {
        let Role { scope, algorithm } = role(&name, names)?;
        Some(ChecksumFile { path: folder.join(name), scope, algorithm })
    });
    let mut files = candidates.filter(is_readable_or_refused).collect::<Vec<_>>();
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

/// Whether `image` is a store path itself: beside it are other store paths, tens of thousands of them.
fn is_store_path(image: &Path) -> bool {
    let text = image.to_string_lossy();
    StorePath::containing(&text).is_some_and(|path| path.as_str() == text)
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

/// Whether `file` is to be read. Reading refuses whatever is not a file.
/// - With an algorithm in its name, it is to be read unless it is a folder. A folder is to be read too (and so refused)
///   if its name promises a file: `SHA256SUMS` or `IMAGE.sha256`, but not `sha256`.
/// - Without an algorithm in its name (`checksums`), it is to be read only if it is a file.
fn is_readable_or_refused(file: &ChecksumFile) -> bool {
    let name = file.path.to_string_lossy().to_ascii_lowercase();
    let promises_file =
        file.scope == Scope::One || name.trim_end_matches(".txt").trim_end_matches('s').ends_with("sum");
    file.path.is_file() || file.algorithm.is_some() && (promises_file || !file.path.is_dir())
}

/// The algorithm by the name of the checksum file at `path`; `None` where no words in the name are an algorithm.
pub fn algorithm_by_name(path: &Path) -> Option<NamedAlgorithm> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    let ends = name.match_indices(SEPARATORS).map(|(at, _)| at).chain([name.len()]).collect::<Vec<_>>();
    ends.iter().rev().find_map(|end| split_last_algorithm(&name[..*end])).map(|(_, algorithm)| algorithm)
}

/// The text before the algorithm at the end of `stem`, and this algorithm, named by as many words as possible:
/// `pi.sha3-256` is not of an algorithm called 256.
fn split_last_algorithm(stem: &str) -> Option<(&str, NamedAlgorithm)> {
    let starts = stem.rmatch_indices(SEPARATORS).map(|(at, _)| at + 1).chain([0]).take(MAX_WORDS);
    let named = starts.filter_map(|start| Some((&stem[..start], NamedAlgorithm::parse(&stem[start..])?)));
    named.last()
}

/// What a file is for an image, by its name.
struct Role {
    scope: Scope,
    algorithm: Option<NamedAlgorithm>,
}

/// The role of the file `name` for the image `names`; `None` for a file that is no checksum file, or that is the
/// checksum file of another image.
fn role(name: &str, names: &Names) -> Option<Role> {
    let lower = name.to_ascii_lowercase();
    let unsigned = lower.strip_suffix(".asc").unwrap_or(&lower);
    let stem = unsigned.strip_suffix(".txt").or(unsigned.strip_suffix(".md")).unwrap_or(unsigned);
    let own = names.own_prefixes().iter().find_map(|prefix| own_role(stem.strip_prefix(prefix.as_str())?));
    own.or_else(|| list_role(stem))
}

/// The role of a file whose name ends with `rest` behind the name of the image: `.sha256`, `.sha` (which names
/// no algorithm), `-checksum.sha256`. `None` for a file that is no checksum file.
fn own_role(rest: &str) -> Option<Role> {
    let rest = rest.strip_prefix(SEPARATORS)?;
    let words = rest.split(SEPARATORS).filter(|word| !OWN_WORDS.contains(word)).collect::<Vec<_>>().join("-");
    let algorithm = NamedAlgorithm::parse(rest).or_else(|| NamedAlgorithm::parse(&words));
    (algorithm.is_some() || words.is_empty()).then_some(Role { scope: Scope::One, algorithm })
}

/// The role of the file `stem`, whose last words may be those of a list of checksums; `None` where they are not, and
/// for a file of another image.
fn list_role(stem: &str) -> Option<Role> {
    let last_word = stem.rsplit(SEPARATORS).next().unwrap_or(stem);
    let (before, algorithm) = match split_last_algorithm(stem) {
        Some((before, algorithm)) => (before, Some(algorithm)),
        None if LIST_WORDS.contains(&last_word) || last_word.ends_with("sums") => {
            // A number in the word is that of an algorithm which is not known: `foo9sums`.
            let has_number = last_word.contains(|c: char| c.is_ascii_digit());
            (stem.strip_suffix(last_word)?, has_number.then_some(NamedAlgorithm::Other))
        }
        None => return None,
    };
    let before = before.trim_end_matches(SEPARATORS);
    let is_of_another = IMAGE_ENDINGS.iter().any(|ending| before.ends_with(ending));
    (!is_of_another).then_some(Role { scope: Scope::Many, algorithm })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_is_a_store_path_has_no_files_beside_it() {
        let path = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-pi.img";
        for (image, expected) in [
            (path, true),
            (&format!("{path}/pi.img"), false),
            ("/home/me/pi.img", false),
            ("/nix/store/pi.img", false),
        ] {
            assert_eq!(is_store_path(Path::new(image)), expected, "{image}");
        }
    }

    /// The names of checksum files for the image `Pi.img.zst`, and the scope and the algorithm of each.
    const ROLES: &[(&str, &str)] = &[
        ("Pi.img.zst.sha256", "One Some(Sha256)"),
        ("Pi.img.zst.SHA256SUM", "One Some(Sha256)"),
        ("Pi.img.zst.sha-256", "One Some(Sha256)"),
        ("Pi.img.zst.sha256.checksum", "One Some(Sha256)"),
        ("Pi.img.zst-checksum.SHA256", "One Some(Sha256)"),
        ("Pi.img.zst.b2", "One Some(Blake2b*)"),
        ("Pi.img.zst.blake2b-256", "One Some(ShortBlake2b(32))"),
        ("Pi.img.zst.b3", "One Some(Blake3)"),
        ("Pi.img.zst.b3sum", "One Some(Blake3)"),
        ("Pi.img.zst.sha3", "One Some(Other)"),
        ("Pi.img.zst.sha3-256", "One Some(Other)"),
        ("Pi.img.zst.SHA512_256", "One Some(Other)"),
        ("Pi.img.zst.crc32", "One Some(Other)"),
        ("Pi.img.zst.cksum", "One Some(Other)"),
        ("Pi.img.zst.sfv", "One Some(Other)"),
        ("pi.SFV", "One Some(Other)"),
        ("release.sfv", "Many Some(Other)"),
        ("Pi.img.rmd160", "One Some(Other)"),
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
        ("B2SUMS", "Many Some(Blake2b*)"),
        ("BLAKE3SUMS", "Many Some(Blake3)"),
        ("SHA3SUMS", "Many Some(Other)"),
        ("SHA3-256SUMS", "Many Some(Other)"),
        ("SHA2-256SUMS", "Many Some(Sha256)"),
        ("SHASUMS256.txt", "Many Some(Sha256)"),
        ("release-sha512_256.txt", "Many Some(Other)"),
        ("CRC32SUMS", "Many Some(Other)"),
        ("RMD160SUMS", "Many Some(Other)"),
        ("FOO9SUMS", "Many Some(Other)"),
        ("SHASUMS", "Many None"),
        ("sums.txt", "Many None"),
        ("shasum.txt", "Many None"),
        ("CHECKSUMS.md", "Many None"),
        ("CHECKSUM.SHA256", "Many Some(Sha256)"),
        ("Fedora-Server-43-aarch64-CHECKSUM", "Many None"),
        ("checksums.txt", "Many None"),
        ("images.sha256", "Many Some(Sha256)"),
    ];

    /// The names of files that are no checksum files for the image `Pi.img.zst`.
    const FILES_WITHOUT_ROLE: &[&str] = &[
        "Pi.img.zst",
        "b.img.sha256",
        "b.img.xz-CHECKSUM",
        "b.img.sha3-256",
        "b.img.b3",
        "b.img.sfv",
        "lorem-ipsum.txt",
        "Pi.img.zst.bmap",
        "Pi.img.zst.sig",
        "Pi.img.zst.asc",
        "sha256.sh",
        "SHA256SUMS.sig",
        "",
    ];

    #[test]
    fn the_name_of_a_file_decides_its_role() {
        let names = Names::new(Path::new("/srv/Pi.img.zst"), true);
        let role = |name: &str| {
            let Role { scope, algorithm } = role(name, &names)?;
            let text = format!("{scope:?} {algorithm:?}").replace("Blake2b)", "Blake2b*)");
            Some(text.replace("Known(", "").replace("))", ")"))
        };
        for &(name, expected) in ROLES {
            assert_eq!(role(name).as_deref(), Some(expected), "{name}");
        }
        for name in FILES_WITHOUT_ROLE {
            assert_eq!(role(name), None, "{name}");
        }
    }

    #[test]
    fn the_name_of_an_image_may_have_255_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join(format!("{}.img.zst", "ü".repeat(123)) + "x");
        std::fs::write(&image, "an image").unwrap();
        assert!(checksum_files_beside(&Names::new(&image, true)).unwrap().is_empty());
    }

    #[test]
    fn files_for_one_image_come_first_and_folders_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["SHA256SUMS", "a.img.sha256", "z.txt"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        for folder in ["checksums", "sha256", "sha3"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let names = Names::new(&dir.path().join("a.img"), false);
        let found =
            checksum_files_beside(&names).unwrap().into_iter().map(|file| file.path).collect::<Vec<_>>();
        assert_eq!(found, ["a.img.sha256", "SHA256SUMS"].map(|name| dir.path().join(name)));
    }

    #[test]
    fn too_many_checksum_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let names = Names::new(&dir.path().join("a.img"), false);
        for number in 0..=MAX_FILES {
            std::fs::write(dir.path().join(format!("{number}.md5")), "").unwrap();
        }
        assert!(checksum_files_beside(&names).unwrap_err().to_string().contains("has 65 checksum files"));
    }
}
