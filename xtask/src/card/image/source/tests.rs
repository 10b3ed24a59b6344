//! Opening and decompressing image files of every format.

use super::*;
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;

fn packed(format: Format, bytes: &[u8]) -> Vec<u8> {
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
    }
}

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
fn every_format_in_one_part_and_in_two() {
    let bytes = (0..200_000u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>();
    let (first, second) = bytes.split_at(333_333);
    for format in [Format::Raw, Format::Zstd, Format::Xz, Format::Gzip] {
        assert_eq!(read(&packed(format, &bytes)).unwrap(), (format, bytes.clone()));
        let parts = [packed(format, first), packed(format, second)].concat();
        assert_eq!(read(&parts).unwrap(), (format, bytes.clone()), "{format}");
    }
}

#[test]
fn a_large_window() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(28).unwrap();
    encoder.write_all(&[7; 1000]).unwrap();
    assert_eq!(read(&encoder.finish().unwrap()).unwrap(), (Format::Zstd, vec![7; 1000]));
}

/// Skippable frames of zstd, padding of xz, and members of gzip without content: reading them takes hours.
#[test]
fn a_file_of_padding() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("an image");
    for format in [Format::Zstd, Format::Xz, Format::Gzip] {
        let mut file = File::create(&path).unwrap();
        let skippable = [&b"\x50\x2a\x4d\x18"[..], &(3_u32 << 30).to_le_bytes()].concat();
        let begin = if format == Format::Zstd { skippable } else { packed(format, &[7; 512]) };
        file.write_all(&begin).unwrap();
        let len = if format == Format::Zstd { (3 << 30) + 8 } else { 3 << 30 };
        file.set_len(len).unwrap();
        let source = Source::open(&path).unwrap();
        assert_eq!(source.format, format);
        source.check_limits().unwrap();
        let error = source.within(Limits::new(None, Some(64 << 20))).check_limits().unwrap_err();
        let words = "it has 3.0 GiB compressed, more than the 64.0 MiB that its content may have";
        assert!(format!("{error:#}").contains(words), "{error:#}");
        assert_eq!(crate::base::failure::kind(&error), ExitKind::Refused);
    }
}

#[test]
fn sizes_that_the_structure_tells() {
    let (dir, bytes) = (tempfile::tempdir().unwrap(), [1; 3000]);
    let path = dir.path().join("an image");
    let framed = zstd::bulk::compress(&bytes, 1).unwrap();
    let (raw, gzip) = (packed(Format::Raw, &bytes), packed(Format::Gzip, &bytes));
    for (file, promised) in [(raw, Some(3000)), (framed, Some(3000)), (gzip, None)] {
        std::fs::write(&path, file).unwrap();
        assert_eq!(Source::open(&path).unwrap().size, promised);
    }
}

#[test]
fn damage_is_an_error() {
    let bytes = (0..200_000u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>();
    for format in [Format::Zstd, Format::Xz, Format::Gzip] {
        let whole = packed(format, &bytes);
        for cut in [whole.len() / 2, whole.len() - 1] {
            assert!(read(&whole[..cut]).is_err(), "{format} cut at {cut}");
        }
        assert!(read(&[&whole[..], b"garbage after it"].concat()).is_err(), "{format} with a tail");
    }
    assert!(read(b"").unwrap_err().to_string().ends_with("is empty"));
}

#[test]
fn what_is_no_image_file_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (fifo, named) = (dir.path().join("fifo"), dir.path().join(OsStr::from_bytes(b"\xff.img")));
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, 0o600.into()).unwrap();
    std::fs::write(&named, "x").unwrap();
    for (path, expected) in [
        (Path::new("/"), "/ is no file; an image file is needed"),
        (&fifo, "is no file; an image file is needed"),
        (&named, "is not UTF-8; rename it"),
        (Path::new("-"), "cannot come from stdin; save it to a file"),
        (&dir.path().join("absent"), "there is no such file; `cargo xtask sd-image HOST` builds an image"),
    ] {
        let error = Source::open(path).unwrap_err();
        assert!(format!("{error:#}").contains(expected), "{error:#}");
        assert_eq!(crate::base::failure::kind(&error), ExitKind::Refused, "{error:#}");
    }
}

#[test]
fn why_a_file_cannot_be_opened() {
    for (error, words, kind) in [
        (
            ErrorKind::PermissionDenied,
            "permission denied; make the file and the folders",
            ExitKind::Permission,
        ),
        (ErrorKind::NotFound, "there is no such file", ExitKind::Refused),
        (ErrorKind::TimedOut, "timed out", ExitKind::Io),
    ] {
        let error = closed(Path::new("a.img"), error.into());
        assert!(error.to_string().starts_with(words), "{error}");
        assert_eq!(crate::base::failure::kind(&error), kind, "{error}");
    }
}
