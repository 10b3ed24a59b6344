//! A checksum beside an image, as `sha256sum` writes it: the sum that its bytes must have.

use std::fmt;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::base::bounded::{self, Links};
use crate::base::failure::ExitKind;

/// The list of all files of a folder.
const LIST: &str = "SHA256SUMS";
/// The largest list that is read, in bytes: 40,000 files.
const LARGEST: u64 = 4 << 20;
/// How much of a sum is shown: enough to compare by eye, in hexadecimal digits.
const SHOWN: usize = 12;

/// What the file beside an image says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sidecar {
    pub path: PathBuf,
    /// The SHA-256 of the image file as it is stored, in lower-case hexadecimal digits.
    pub sum: String,
}

impl Sidecar {
    /// Looks for `IMAGE.sha256`, and then for a `SHA256SUMS` that names the image.
    ///
    /// # Errors
    /// A file that cannot be read, and an `IMAGE.sha256` without a sum for the image.
    pub fn find(image: &Path) -> Result<Option<Self>> {
        let name = image.file_name().unwrap_or_default().to_string_lossy();
        let (own, list) = (format!("{name}.sha256"), image.with_file_name(LIST));
        let own = image.with_file_name(own);
        if let Some(text) = read(&own)? {
            let sum = listed(&text, &name).or_else(|| only(&text)).ok_or_else(|| {
                let path = own.display();
                ExitKind::Refused
                    .error(format!("{path} holds no SHA-256 of {name}; download it again, or remove it"))
            })?;
            return Ok(Some(Self { path: own, sum }));
        }
        let sum = read(&list)?.and_then(|text| listed(&text, &name));
        Ok(sum.map(|sum| Self { path: list, sum }))
    }

    /// # Errors
    /// Of [`ExitKind::Refused`] where `found` is another sum than that for `image`.
    pub fn compare(&self, image: &Path, found: &str) -> Result<()> {
        if self.sum == found {
            return Ok(());
        }
        let (image, path) = (image.display(), self.path.display());
        let [found, meant] = [found, &self.sum].map(|sum| &sum[..SHOWN]);
        Err(ExitKind::Refused.error(format!(
            "the image {image} is not the one that {path} is for: its SHA-256 begins with {found}, not {meant}; \
             download both again, or remove {path} if the image is meant to be another"
        )))
    }
}

impl fmt::Display for Sidecar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the SHA-256 is that of {}", self.path.display())
    }
}

/// The text of a file that need not be there.
fn read(path: &Path) -> Result<Option<String>> {
    match bounded::read(path, LARGEST, Links::Follow) {
        // Some programs begin a text with a mark of its encoding.
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim_start_matches('\u{feff}').to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::FileTooLarge) => {
            let path = path.display();
            let text = format!("{path} is {error}, though its name says that it holds a checksum; remove it");
            Err(ExitKind::Refused.error(text))
        }
        Err(error) => Err(error).with_context(|| format!("reading the checksum {}", path.display())),
    }
}

/// The sum of the file `name` in a list.
fn listed(text: &str, name: &str) -> Option<String> {
    let named = || text.lines().filter_map(parse);
    // The file beside the list comes before one of the same name in another folder.
    let own = named().find(|(_, path)| path.strip_prefix("./").unwrap_or(path) == name);
    own.or_else(|| named().find(|(_, path)| path.rsplit('/').next() == Some(name))).map(|(sum, _)| sum)
}

/// The sum in a text that has only one: its image may have had another name, or none.
fn only(text: &str) -> Option<String> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let line = lines.next().filter(|_| lines.next().is_none())?;
    parse(line).map(|(sum, _)| sum).or_else(|| is_sum(line.trim()))
}

/// A sum and the path it is for: `SUM  PATH`, `SUM *PATH` for a file read as binary, or
/// `SHA256 (PATH) = SUM` as with `--tag`.
fn parse(line: &str) -> Option<(String, &str)> {
    let line = line.trim_end_matches('\r');
    // sha256sum marks a name in which it has written some characters otherwise.
    let line = line.strip_prefix('\\').unwrap_or(line);
    if let Some((path, sum)) = line.strip_prefix("SHA256 (").and_then(|rest| rest.rsplit_once(") = ")) {
        return Some((is_sum(sum)?, path));
    }
    let (sum, path) = line.split_once(' ')?;
    Some((is_sum(sum)?, path.strip_prefix([' ', '*'])?))
}

fn is_sum(text: &str) -> Option<String> {
    (text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| text.to_ascii_lowercase())
}

/// A reader that hashes what passes through it.
pub struct Hashing<R> {
    inner: R,
    hasher: Sha256,
}

impl<R> Hashing<R> {
    pub fn new(inner: R) -> Self {
        Self { inner, hasher: Sha256::new() }
    }

    /// The SHA-256 of all that has passed, in lower-case hexadecimal digits.
    pub fn finish(self) -> String {
        self.hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the text `abc` (FIPS 180-4).
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn beside(files: &[(&str, &str)]) -> Result<Option<(String, String)>> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let found = Sidecar::find(&dir.path().join("a.img.zst"))?;
        Ok(found.map(|it| (it.path.file_name().unwrap().to_str().unwrap().to_owned(), it.sum)))
    }

    #[test]
    fn a_list_with_a_mark_and_with_two_of_one_name() {
        let dir = tempfile::tempdir().unwrap();
        let (image, list) = (dir.path().join("x.img"), dir.path().join(LIST));
        let [own, other] = ["1", "2"].map(|digit| digit.repeat(64));
        for text in [
            format!("\u{feff}{own}  x.img\n"),
            format!("{other}  a/x.img\n{own}  x.img\n"),
            format!("{other}  a/x.img\n{own}  ./x.img\n"),
            format!("{own}  a/x.img\n"),
        ] {
            std::fs::write(&list, &text).unwrap();
            assert_eq!(Sidecar::find(&image).unwrap().unwrap().sum, own, "{text}");
        }
    }

    #[test]
    fn sums_beside_an_image() {
        let (own, list) = ("a.img.zst.sha256", LIST);
        let other = "0".repeat(64);
        for (files, expected) in [
            (vec![], None),
            (vec![(own, format!("{ABC}  a.img.zst\n"))], Some(own)),
            (vec![(own, format!("{} *./out/a.img.zst\r\n", ABC.to_uppercase()))], Some(own)),
            (vec![(own, format!("SHA256 (a.img.zst) = {ABC}\n"))], Some(own)),
            (vec![(own, format!("{ABC}\n"))], Some(own)),
            (vec![(own, format!("\\{ABC}  a\\\\b.img.zst\n"))], Some(own)),
            (vec![(own, format!("{ABC}  nixos-before-it-was-renamed.img.zst\n\n"))], Some(own)),
            (vec![(own, format!("{other}  b.img\n{ABC}  a.img.zst\n"))], Some(own)),
            (vec![(own, format!("{ABC}  a.img.zst\n")), (list, format!("{other}  a.img.zst\n"))], Some(own)),
            (vec![(list, format!("{other}  b.img\n{ABC}  a.img.zst\n"))], Some(list)),
            (vec![(list, format!("{other}  b.img\n"))], None),
            (vec![(list, format!("{other}  not-a.img.zst\n"))], None),
            (vec![(list, "no sums at all\n".to_owned())], None),
            (vec![("b.img.sha256", format!("{other}  b.img\n"))], None),
        ] {
            let files = files.iter().map(|(name, text)| (*name, text.as_str())).collect::<Vec<_>>();
            let found = beside(&files).unwrap();
            assert_eq!(found, expected.map(|name| (name.to_owned(), ABC.to_owned())), "{files:?}");
        }
    }

    #[test]
    fn a_file_of_its_own_without_its_sum() {
        let two = format!("{ABC}  b.img\n{ABC}  c.img\n");
        for text in ["", "not a sum\n", &ABC[1..], &two] {
            let error = beside(&[("a.img.zst.sha256", text)]).unwrap_err();
            let words = "a.img.zst.sha256 holds no SHA-256 of a.img.zst; download it again, or remove it";
            assert!(error.to_string().ends_with(words), "{error}");
            assert_eq!(crate::base::failure::kind(&error), ExitKind::Refused);
        }
    }

    #[test]
    fn what_is_no_file() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.img.sha256", LIST] {
            let path = dir.path().join(name);
            std::fs::create_dir(&path).unwrap();
            let error = Sidecar::find(&dir.path().join("a.img")).unwrap_err();
            let words = "is not a regular file, though its name says that it holds a checksum; remove it";
            assert!(error.to_string().ends_with(words), "{error}");
            std::fs::remove_dir(&path).unwrap();
        }
    }

    #[test]
    fn a_list_of_a_terabyte_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::File::create(dir.path().join(LIST)).unwrap().set_len(1 << 40).unwrap();
        let error = Sidecar::find(&dir.path().join("a.img")).unwrap_err();
        assert!(error.to_string().contains("is larger than 4.0 MiB"), "{error}");
        assert_eq!(crate::base::failure::kind(&error), ExitKind::Refused);
    }

    #[test]
    fn fuzz() {
        let own = format!("{ABC}  a.img.zst\nSHA256 (b.img) = {ABC}\n\\{ABC} *a\\\\b.img\n");
        crate::base::fuzz::check_text(&[&own], |text| (listed(text, "a.img.zst"), only(text)));
    }

    #[test]
    fn what_passes_is_hashed() {
        let mut reader = Hashing::new(&b"abc"[..]);
        let mut passed = Vec::new();
        reader.read_to_end(&mut passed).unwrap();
        assert_eq!((passed.as_slice(), reader.finish().as_str()), (&b"abc"[..], ABC));
    }
}
