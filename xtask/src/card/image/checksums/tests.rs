//! Checksum files beside an image, good and contradictory ones.

use super::*;
use crate::base::failure::{ExitKind, hint};

/// Of the text `abc` (FIPS 180-4).
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn beside(files: &[(&str, &str)]) -> Result<Option<(String, String)>> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let found = Sidecar::find(&dir.path().join("a.img.zst"), None)?;
    Ok(found.map(|it| (it.path.file_name().unwrap().to_str().unwrap().to_owned(), it.sum)))
}

#[test]
fn a_list_may_have_a_byte_order_mark_and_equal_names() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("x.img");
    let list = dir.path().join(LIST);
    let [own, other] = ["1", "2"].map(|digit| digit.repeat(64));
    for text in [
        format!("\u{feff}{own}  x.img\n"),
        format!("{other}  a/x.img\n{own}  x.img\n"),
        format!("{other}  a/x.img\n{own}  ./x.img\n"),
        format!("{own}  a/x.img\n"),
    ] {
        std::fs::write(&list, &text).unwrap();
        assert_eq!(Sidecar::find(&image, None).unwrap().unwrap().sum, own, "{text}");
    }
}

#[test]
fn the_sum_of_the_image_is_found() {
    let own = "a.img.zst.sha256";
    let list = LIST;
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
        (vec![(own, format!("{ABC}  a.img.zst\n")), (list, format!("{ABC}  a.img.zst\n"))], Some(own)),
        (vec![(list, format!("{ABC}  a.img.zst\n").repeat(2))], Some(list)),
        (vec![(list, format!("# a.img.zst: 5 bytes\n{other}  b.img\n"))], None),
        (vec![(list, format!("SHA512 (a.img.zst) = 00\nSHA256 (a.img.zst) = {ABC}\n"))], Some(list)),
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
fn two_sums_for_one_image_are_refused() {
    let own = "a.img.zst.sha256";
    let list = LIST;
    let other = "0".repeat(64);
    let contradiction = format!("{ABC}  a.img.zst\n{other} *./a.img.zst\n");
    for files in [
        vec![(list, &contradiction)],
        vec![(own, &contradiction)],
        vec![(list, &format!("{ABC}  x/a.img.zst\n{other}  y/a.img.zst\n"))],
        vec![(list, &format!("{other}  a.img.zst\nSHA256 (a.img.zst) = {ABC}\n"))],
        vec![(own, &format!("{ABC}  a.img.zst\n")), (list, &format!("{other}  a.img.zst\n"))],
    ] {
        let files = files.iter().map(|(name, text)| (*name, text.as_str())).collect::<Vec<_>>();
        let error = beside(&files).unwrap_err();
        assert!(error.to_string().starts_with("there are two different SHA-256 for "), "{error}");
        assert_eq!(hint(&error), Some("remove the wrong one"));
        assert_eq!(crate::base::failure::kind(&error), ExitKind::Refused);
    }
}

/// Such a list must not be ignored as if it had no line for the image.
#[test]
fn a_list_that_names_the_image_without_a_sum_is_refused() {
    let short = &ABC[1..];
    for text in [
        format!("{short}  a.img.zst\n"),
        format!("{ABC}\ta.img.zst\n"),
        format!("{ABC} a.img.zst\n"),
        format!("SHA256(a.img.zst)= {ABC}\n"),
        format!("SHA512 (a.img.zst) = {ABC}\n"),
        format!("{short} *out/a.img.zst\r\n"),
    ] {
        let error = beside(&[(LIST, &text)]).unwrap_err();
        assert!(error.to_string().ends_with("SHA256SUMS lists a.img.zst without a SHA-256"), "{error}");
        assert!(hint(&error).is_some_and(|hint| hint.ends_with("SHA256SUMS again, or remove it")));
        assert_eq!(crate::base::failure::kind(&error), ExitKind::Refused);
    }
}

#[test]
fn an_escaped_name_is_found() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(LIST), format!("\\{ABC}  a\\\\b.img\n")).unwrap();
    let found = Sidecar::find(&dir.path().join("a\\b.img"), None).unwrap();
    assert_eq!(found.unwrap().sum, ABC);
}

#[test]
fn a_sidecar_without_the_sum_is_refused() {
    let two = format!("{ABC}  b.img\n{ABC}  c.img\n");
    for text in ["", "not a sum\n", &ABC[1..], &two] {
        let error = beside(&[("a.img.zst.sha256", text)]).unwrap_err();
        let words = "a.img.zst.sha256 has no SHA-256 of a.img.zst";
        assert!(error.to_string().ends_with(words), "{error}");
        assert!(hint(&error).is_some_and(|hint| hint.ends_with("a.img.zst.sha256 again, or remove it")));
        assert_eq!(crate::base::failure::kind(&error), ExitKind::Refused);
    }
}

#[test]
fn a_folder_with_the_name_of_a_checksum_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a.img.sha256", LIST] {
        let path = dir.path().join(name);
        std::fs::create_dir(&path).unwrap();
        let error = Sidecar::find(&dir.path().join("a.img"), None).unwrap_err();
        let words = "has the name of a checksum file, but is not a regular file";
        assert!(error.to_string().ends_with(words), "{error}");
        assert!(hint(&error).is_some_and(|hint| hint.starts_with("remove ")));
        std::fs::remove_dir(&path).unwrap();
    }
}

#[test]
fn a_list_of_a_terabyte_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::File::create(dir.path().join(LIST)).unwrap().set_len(1 << 40).unwrap();
    let error = Sidecar::find(&dir.path().join("a.img"), None).unwrap_err();
    assert!(error.to_string().contains("larger than 4.0 MiB"), "{error}");
    assert_eq!(crate::base::failure::kind(&error), ExitKind::Refused);
}

#[test]
fn fuzz() {
    let own = format!("{ABC}  a.img.zst\nSHA256 (b.img) = {ABC}\n\\{ABC} *a\\\\b.img\n");
    crate::base::fuzz::check_text(&[&own], |text| {
        (listed(text, "a.img.zst"), mentions(text, "a.img.zst"), only(text))
    });
}

#[test]
fn the_bytes_that_are_read_are_hashed() {
    let mut reader = HashingReader::new(&b"abc"[..]);
    let mut passed = Vec::new();
    reader.read_to_end(&mut passed).unwrap();
    assert_eq!((passed.as_slice(), reader.finish().as_str()), (&b"abc"[..], ABC));
}
