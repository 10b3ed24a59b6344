//! Checksum files beside an image, good and contradictory ones.

use super::*;
use crate::base::failure::{ExitKind, hint};

/// The SHA-256 of the text `abc` (FIPS 180-4).
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// The name of a list of checksums.
const LIST: &str = "SHA256SUMS";

/// The checksums of the compressed `image`.
fn find_checksums(image: &Path) -> Result<Checksums> {
    Checksums::find(image, None, true, &GivenSums::default())
}

/// The sums of the image `a.img.zst` in the `files` beside it, each as the name of its file and its digits. Each of
/// `files` is a name and a text.
fn sums_beside(files: &[(&str, &str)]) -> Result<Vec<(String, String)>> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let file_name = |origin: &Origin| origin.to_string().rsplit('/').next().unwrap().to_owned();
    let found = find_checksums(&dir.path().join("a.img.zst"))?;
    Ok(found.0.iter().map(|expected| (file_name(&expected.origin), expected.sum.hex.clone())).collect())
}

/// The digits of the only sum of `image`.
fn only_sum(image: &Path) -> String {
    let found = find_checksums(image).unwrap().0;
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].sum.hex.clone()
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
        assert_eq!(only_sum(&image), own, "{text}");
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
        (vec![(list, format!("SHA256 (a.img.zst) = {ABC}\n"))], Some(list)),
        (vec![(list, format!("{other}  b.img\n{ABC}  a.img.zst\n"))], Some(list)),
        (vec![(list, format!("{other}  b.img\n"))], None),
        (vec![(list, format!("{other}  not-a.img.zst\n"))], None),
        (vec![(list, "no sums at all\n".to_owned())], None),
        (vec![("b.img.sha256", format!("{other}  b.img\n"))], None),
    ] {
        let files = files.iter().map(|(name, text)| (*name, text.as_str())).collect::<Vec<_>>();
        let found = sums_beside(&files).unwrap();
        assert!(found.iter().all(|(_, sum)| sum == ABC), "{files:?}");
        assert_eq!(found.first().map(|(name, _)| name.as_str()), expected, "{files:?}");
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
        let error = sums_beside(&files).unwrap_err();
        assert!(error.to_string().starts_with("there are two different SHA-256 for "), "{error}");
        assert_eq!(hint(&error), Some("remove the wrong one"));
        assert_eq!(crate::base::failure::kind(&error), ExitKind::Refused);
    }
}

/// A list without a line for the image is ignored; one with a line that is not understood must not be.
#[test]
fn a_list_that_names_the_image_without_a_sum_is_refused() {
    let short = &ABC[1..];
    for text in [
        format!("{short}  a.img.zst\n"),
        format!("SHA512 (a.img.zst) = {ABC}\n"),
        format!("{short} *out/a.img.zst\r\n"),
        format!("SHA512 (a.img.zst) = 00\nSHA256 (a.img.zst) = {ABC}\n"),
    ] {
        let error = sums_beside(&[(LIST, &text)]).unwrap_err();
        let line = text.lines().next().unwrap();
        let words = format!("SHA256SUMS names a.img.zst in line 1, whose form is not understood: {line}");
        assert!(error.to_string().ends_with(&words), "{error}");
        assert!(hint(&error).is_some_and(|hint| hint.ends_with("SHA256SUMS")));
        assert_eq!(crate::base::failure::kind(&error), ExitKind::Refused);
    }
}

/// `sha256sum -c` reads these forms, too.
#[test]
fn one_space_a_tab_and_openssl_are_understood() {
    for text in [
        format!("{ABC}\ta.img.zst\n"),
        format!("{ABC} a.img.zst\n"),
        format!("SHA256(a.img.zst)= {ABC}\n"),
        format!("  {ABC}  a.img.zst\n"),
    ] {
        assert_eq!(sums_beside(&[(LIST, &text)]).unwrap(), [(LIST.to_owned(), ABC.to_owned())], "{text}");
    }
}

#[test]
fn an_escaped_name_is_found() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(LIST), format!("\\{ABC}  a\\\\b.img\n")).unwrap();
    assert_eq!(only_sum(&dir.path().join("a\\b.img")), ABC);
}

#[test]
fn a_sidecar_without_the_sum_is_refused() {
    let two = format!("{ABC}  b.img\n{ABC}  c.img\n");
    for text in ["", "not a sum\n", &ABC[1..], &two] {
        let error = sums_beside(&[("a.img.zst.sha256", text)]).unwrap_err();
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
        let error = find_checksums(&dir.path().join("a.img")).unwrap_err();
        let words = "has the name of a checksum file, but is a folder";
        assert!(error.to_string().ends_with(words), "{error}");
        assert!(hint(&error).is_some_and(|hint| !hint.contains("remove")));
        std::fs::remove_dir(&path).unwrap();
    }
}

#[test]
fn a_list_of_a_terabyte_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::File::create(dir.path().join(LIST)).unwrap().set_len(1 << 40).unwrap();
    let error = find_checksums(&dir.path().join("a.img")).unwrap_err();
    assert!(error.to_string().contains("larger than the limit of 4.0 MiB"), "{error}");
    assert_eq!(crate::base::failure::kind(&error), ExitKind::Refused);
}

/// The sums of `bytes`, one by each algorithm of [`every_sum_is_compared`].
fn sums(bytes: &[u8]) -> [Sum; 6] {
    [
        Algorithm::Sha256,
        Algorithm::Sha512,
        Algorithm::Md5,
        Algorithm::Blake2b,
        Algorithm::ShortBlake2b(32),
        Algorithm::Blake3,
    ]
    .map(|algorithm| {
        let mut digest = algorithm.digest();
        digest.update(bytes);
        Sum::new(algorithm, &digest.finish())
    })
}

/// A right `IMAGE.sha256` must not hide a wrong list, and neither the first line a later one.
#[test]
fn every_sum_is_compared() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().canonicalize().unwrap().join("a.img.zst");
    let [file, content] = [sums(b"stored"), sums(b"decompressed")];
    let computed = ImageSums { file: file.to_vec(), content: content.to_vec() };
    let [f256, f512, fmd5, fb2, fb256, fb3] = file.each_ref().map(|sum| &sum.hex);
    let [c256, c512, ..] = content.each_ref().map(|sum| &sum.hex);
    let wrong = "0".repeat(64);
    let wrong512 = "0".repeat(128);
    let right = format!("{f256}  a.img.zst\n");
    for (files, wrong_algorithm) in [
        (vec![("SHA256SUMS", right.clone())], None),
        (vec![("a.img.zst.sha256", right.clone()), ("SHA512SUMS", format!("{f512}  a.img.zst\n"))], None),
        (vec![("x-CHECKSUM", format!("# c\nMD5 (a.img.zst) = {fmd5}\nBLAKE2b (a.img.zst) = {fb2}\n"))], None),
        (vec![("B2SUMS", format!("{fb2}  a.img.zst\n"))], None),
        (vec![("B2SUMS", format!("{fb256}  a.img.zst\n"))], None),
        (vec![("a.img.zst.b2", fb256.clone())], None),
        (vec![("checksums.txt", format!("BLAKE2b-256 (a.img.zst) = {fb256}\n"))], None),
        (vec![("a.img.zst.b3", format!("{fb3}  a.img.zst\n"))], None),
        (vec![("BLAKE3SUMS", format!("{fb3}  a.img.zst\n"))], None),
        (vec![("B2SUMS", format!("{f256}  a.img.zst\n"))], Some("BLAKE2b-256")),
        (vec![("a.img.zst.b3", f256.clone())], Some("BLAKE3")),
        (vec![("BLAKE3SUMS", right.clone())], Some("BLAKE3")),
        (vec![("a.img.zst.sha256", c256.clone())], None),
        (vec![("a.img.sha256", format!("{c256}  a.img\n"))], None),
        (vec![("sha256sum.txt", format!("{c256}  a.img\n{right}"))], None),
        (
            vec![("a.img.zst.sha256", right.clone()), ("sha512sums.txt", format!("{wrong512}  a.img.zst\n"))],
            Some("SHA-512"),
        ),
        (vec![("checksums.txt", format!("{right}{wrong512}  a.img.zst\n"))], Some("SHA-512")),
        (vec![("SHA256SUMS.txt", format!("{right}{wrong}  a.img\n"))], Some("SHA-256")),
        (vec![("a.img.zst.sha256", format!("{right}MD5 (a.img.zst) = {}\n", &wrong[..32]))], Some("MD5")),
        (vec![("SHA512SUMS", format!("{c512}  a.img.zst\n"))], Some("SHA-512")),
        (vec![("SHA256SUMS", format!("{f256}  a.img\n"))], Some("SHA-256")),
    ] {
        assert_compared(&image, &computed, &files, wrong_algorithm);
    }
}

/// Asserts that the `computed` sums are those in the checksum `files` beside `image`, except the one of the algorithm
/// `wrong`, if any.
#[track_caller]
fn assert_compared(image: &Path, computed: &ImageSums, files: &[(&str, String)], wrong: Option<&str>) {
    let folder = image.parent().unwrap();
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let compared = find_checksums(image).and_then(|sums| sums.compare(image, computed));
    match wrong {
        None => assert!(!compared.unwrap().is_empty(), "{files:?}"),
        Some(algorithm) => {
            let error = compared.unwrap_err().to_string();
            assert!(error.contains(&format!(": its {algorithm} begins with ")), "{files:?}: {error}");
        }
    }
    for (name, _) in files {
        std::fs::remove_file(folder.join(name)).unwrap();
    }
}

#[test]
fn sums_of_the_command_line_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().canonicalize().unwrap();
    let image = folder.join("images/a.img");
    std::fs::create_dir(folder.join("images")).unwrap();
    let list = folder.join("LIST");
    let abc = parse_sha256(ABC).unwrap();
    let computed = ImageSums { file: vec![abc.clone()], content: Vec::new() };
    let compare = |given: &GivenSums| {
        let sums = Checksums::find(&image, None, false, given)?;
        sums.compare(&image, &computed).map(|notes| notes.into_iter().collect::<Vec<_>>())
    };
    let sum = |sha256: &Sum| GivenSums { sha256: Some(sha256.clone()), file: None };
    assert_eq!(compare(&sum(&abc)).unwrap(), ["the SHA-256 is that of --sha256"]);
    let error = compare(&sum(&Sum::new(Algorithm::Sha256, &[0; 32]))).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("does not match --sha256: its SHA-256 begins with ba7816bf8f01, not 000000000000")
    );
    assert_eq!(hint(&error), Some("download the image again, or correct the sum"));
    let given = GivenSums { sha256: None, file: Some(list.clone()) };
    assert!(format!("{:#}", compare(&given).unwrap_err()).contains("opening the checksum file "));
    let given = GivenSums { sha256: None, file: Some(folder.clone()) };
    let error = compare(&given).unwrap_err();
    assert!(
        error.to_string().ends_with(" is a folder") && !hint(&error).unwrap().contains("remove"),
        "{error}"
    );
    let given = GivenSums { sha256: None, file: Some(list.clone()) };
    let other = "0".repeat(64);
    for text in
        [format!("{other}  a.img\n{ABC}  images/a.img\n"), format!("{other}  b.img\n{ABC}  x/a.img\n")]
    {
        std::fs::write(&list, text).unwrap();
        assert_eq!(compare(&given).unwrap(), [format!("the SHA-256 is that of {}", list.display())]);
    }
    std::fs::write(&list, format!("{ABC}  b.img\n{ABC}  c.img\n")).unwrap();
    assert!(compare(&given).unwrap_err().to_string().ends_with("LIST has no checksum of a.img"));
}
