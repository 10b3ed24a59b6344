//! Opening and decompressing image files of every format.

use super::*;
use crate::base::failure::{kind, with_hint};
use std::ffi::OsStr;
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;

/// The `bytes` as a file of `format`.
fn compress(format: Format, bytes: &[u8]) -> Vec<u8> {
    match format {
        Format::Raw => bytes.to_vec(),
        Format::Zstd => zstd::encode_all(bytes, 3).unwrap(),
        Format::Xz => {
            let mut writer = liblzma::write::XzEncoder::new(Vec::new(), 1);
            writer.write_all(bytes).unwrap();
            writer.finish().unwrap()
        }
        Format::Gzip => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            writer.write_all(bytes).unwrap();
            writer.finish().unwrap()
        }
        Format::Bzip2 => {
            let mut writer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            writer.write_all(bytes).unwrap();
            writer.finish().unwrap()
        }
    }
}

/// The format and the content of an image file with the bytes `file`.
fn read(file: &[u8]) -> Result<(Format, Vec<u8>)> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("an image");
    std::fs::write(&path, file).unwrap();
    let source = Source::open(&path)?;
    let mut bytes = Vec::new();
    source.stream()?.read_to_end(&mut bytes)?;
    Ok((source.format, bytes))
}

#[test]
fn every_format_is_decoded_in_one_part_and_in_two() {
    let bytes = (0..200_000u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>();
    let (first, second) = bytes.split_at(333_333);
    for format in [Format::Raw, Format::Zstd, Format::Xz, Format::Gzip, Format::Bzip2] {
        assert_eq!(read(&compress(format, &bytes)).unwrap(), (format, bytes.clone()));
        let parts = [compress(format, first), compress(format, second)].concat();
        assert_eq!(read(&parts).unwrap(), (format, bytes.clone()), "{format}");
    }
}

#[test]
fn a_window_of_the_memory_limit_is_decoded() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(28).unwrap();
    encoder.write_all(&[7; 1000]).unwrap();
    assert_eq!(read(&encoder.finish().unwrap()).unwrap(), (Format::Zstd, vec![7; 1000]));
}

/// Reading skippable frames of zstd, padding of xz, and members of gzip without content takes hours.
#[test]
fn a_file_of_padding_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("an image");
    for format in [Format::Zstd, Format::Xz, Format::Gzip, Format::Bzip2] {
        let mut file = File::create(&path).unwrap();
        let skippable = [&b"\x50\x2a\x4d\x18"[..], &(3_u32 << 30).to_le_bytes()].concat();
        let begin = if format == Format::Zstd { skippable } else { compress(format, &[7; 512]) };
        file.write_all(&begin).unwrap();
        let len = if format == Format::Zstd { (3 << 30) + 8 } else { 3 << 30 };
        file.set_len(len).unwrap();
        let source = Source::open(&path).unwrap();
        assert_eq!(source.format, format);
        source.check_limits().unwrap();
        let error = source.with_limits(Limits::new(None, Some(64 << 20))).check_limits().unwrap_err();
        let words =
            "the compressed file has 3.0 GiB, but its content may have only 64.0 MiB: the file is too large";
        assert!(format!("{error:#}").contains(words), "{error:#}");
        assert_eq!(kind(&error), ExitKind::Refused);
    }
}

#[test]
fn the_size_is_read_from_the_structure_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = [1; 3000];
    let path = dir.path().join("an image");
    let framed = zstd::bulk::compress(&bytes, 1).unwrap();
    let raw = compress(Format::Raw, &bytes);
    let gzip = compress(Format::Gzip, &bytes);
    for (file, size) in [(raw, Some(3000)), (framed, Some(3000)), (gzip, None)] {
        std::fs::write(&path, file).unwrap();
        assert_eq!(Source::open(&path).unwrap().size, size);
    }
}

#[test]
fn a_truncated_file_an_empty_one_and_one_with_garbage_at_its_end_are_errors() {
    let bytes = (0..200_000u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>();
    for format in [Format::Zstd, Format::Xz, Format::Gzip, Format::Bzip2] {
        let whole = compress(format, &bytes);
        for cut in [whole.len() / 2, whole.len() - 1] {
            assert!(read(&whole[..cut]).is_err(), "{format} cut at {cut}");
        }
        assert!(read(&[&whole[..], b"garbage after it"].concat()).is_err(), "{format} with a tail");
    }
    assert!(read(b"").unwrap_err().to_string().ends_with("is empty"));
}

#[test]
fn other_things_than_image_files_are_refused_on_opening() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    let named = dir.path().join(OsStr::from_bytes(b"\xff.img"));
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, 0o600.into()).unwrap();
    std::fs::write(&named, "x").unwrap();
    for (path, expected) in [
        (Path::new("/"), "/ is not a regular file; name an image file"),
        (Path::new("/dev/null"), "/dev/null is not a regular file; name an image file"),
        (&fifo, "is a pipe, and an image is read more than once; save what comes through it to a file"),
        (
            Path::new("https://example.org/pi.img.zst"),
            "opening the image https://example.org/pi.img.zst: it is an address, and an image is a file; \
             download it: `curl -fLO https://example.org/pi.img.zst`, and name the file",
        ),
        (Path::new("S3://b/my pi.img"), "; download it: `aws s3 cp 'S3://b/my pi.img' .`, and name the file"),
        (Path::new("gs://b/pi.img"), "; download it: `gcloud storage cp gs://b/pi.img .`, and name the file"),
        (Path::new("ipfs://b/pi.img"), "an image is a file; download it, and name the file"),
        (Path::new("https://example.org/"), "an image is a file; download it, and name the file"),
        (Path::new("https://example.org/dl/?f=pi.img"), "an image is a file; download it, and name the file"),
        (
            Path::new("file:///srv/my pi.img"),
            "it is an address, and an image is a file; name its path: '/srv/my pi.img'",
        ),
        (&named, "is not UTF-8; rename the file"),
        (Path::new("-"), "cannot come from stdin; save it to a file"),
        (
            &dir.path().join("absent"),
            "there is no such file; run `cargo xtask sd-image HOST` to build an image",
        ),
    ] {
        let error = Source::open(path).unwrap_err();
        assert!(with_hint(&error).contains(expected), "{}", with_hint(&error));
        assert_eq!(kind(&error), ExitKind::Refused, "{error:#}");
    }
}

/// The file is a zip archive, or a zstd file that needs a dictionary.
#[test]
fn the_refusal_names_the_kind_of_a_file_that_is_no_image() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap().join("pi.img.gz");
    let file = path.display();
    std::fs::write(&path, b"PK\x03\x04").unwrap();
    let error = Source::open(&path).unwrap_err();
    let expected =
        format!("{file} cannot be written to a card: it is a zip archive; unpack it: `unzip {file}`");
    assert_eq!(with_hint(&error), expected);
    assert_eq!(kind(&error), ExitKind::Refused);
    // The frame of no content names the dictionary 7.
    std::fs::write(&path, b"\x28\xb5\x2f\xfd\x01\x58\x07\x01\0\0").unwrap();
    let error = with_hint(&Source::open(&path).unwrap_err());
    let expected = format!(
        "{file} cannot be written to a card: it is a zstd file that needs a dictionary; \
         unpack it: `zstd -d -D DICTIONARY {file}`"
    );
    assert_eq!(error, expected);
}

#[test]
fn errors_of_opening_have_kinds_and_hints() {
    for (error, words, expected_kind) in [
        (
            ErrorKind::PermissionDenied,
            "permission denied; make the file and the folders",
            ExitKind::Permission,
        ),
        (ErrorKind::NotFound, "there is no such file", ExitKind::Refused),
        (ErrorKind::TimedOut, "timed out", ExitKind::Io),
    ] {
        let error = open::open_error(Path::new("a.img"), error.into());
        assert!(with_hint(&error).starts_with(words), "{}", with_hint(&error));
        assert_eq!(kind(&error), expected_kind, "{error}");
    }
}

/// The text and the hint of the warning of the name of a file with this content and name.
fn warning_of_name(dir: &Path, name: &str, content: &[u8]) -> Option<(String, String)> {
    let path = dir.canonicalize().unwrap().join(name);
    std::fs::write(&path, content).unwrap();
    let warning = Source::open(&path).unwrap().name_warning();
    std::fs::remove_file(&path).unwrap();
    warning.map(|event| match event {
        Event::Warning { text, hint: Some(hint) } => (text.replace(path.to_str().unwrap(), name), hint),
        other => panic!("{other:?}"),
    })
}

#[test]
fn a_name_of_another_format_is_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let raw = vec![7; 1024];
    let compressed = |format| compress(format, &raw);
    for (name, content) in [
        ("a.img", raw.clone()),
        ("a.raw", raw.clone()),
        ("a", raw.clone()),
        ("a.bin", compressed(Format::Xz)),
        ("a.img.zst", compressed(Format::Zstd)),
        ("A.IMG.XZ", compressed(Format::Xz)),
        ("a.raw.gz", compressed(Format::Gzip)),
        ("a.img.bz2", compressed(Format::Bzip2)),
    ] {
        assert_eq!(warning_of_name(dir.path(), name, &content), None, "{name}");
    }
    let (text, hint) = warning_of_name(dir.path(), "a.img.zst", &raw).unwrap();
    let words = "a.img.zst is not compressed, whatever its name says: programs that go by the name reject it";
    assert_eq!(text, words);
    assert!(hint.starts_with("rename it to `/") && hint.ends_with("/a.img`"), "{hint}");
    for (name, format, ending) in [
        ("a.img", Format::Zstd, ".img.zst"),
        ("a.img.xz", Format::Gzip, ".img.gz"),
        ("a.raw", Format::Bzip2, ".img.bz2"),
    ] {
        let (text, hint) = warning_of_name(dir.path(), name, &compressed(format)).unwrap();
        assert!(
            text.starts_with(&format!("{name} is compressed with {format}, whatever its name says: ")),
            "{text}"
        );
        assert_eq!(hint, format!("give it the ending {ending}"));
    }
    let [link, target] = ["latest.img", "a.img.xz"].map(|name| dir.path().join(name));
    std::fs::write(&target, compressed(Format::Xz)).unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    assert!(Source::open(&link).unwrap().name_warning().is_some());
    assert!(Source::open(&target).unwrap().name_warning().is_none());
}
