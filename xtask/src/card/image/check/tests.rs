//! Checking whole, damaged, changing and hostile image files.

use super::super::chunk_hash::tests::hash;
use super::super::limits::Limits;
use super::*;
use crate::base::Silent;
use crate::base::failure::ExitKind;
use crate::card::inspect::mbr;

/// Checks an image file with the bytes `file`.
fn check_file(file: &[u8]) -> Result<Image> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.img.zst");
    std::fs::write(&path, file).unwrap();
    Source::open(&path).and_then(|source| examine(source, Depth::Whole, &Silent))
}

/// The SHA-256 of `bytes`, computed without the code under test.
fn sha256(bytes: &[u8]) -> String {
    sha2::Digest::finalize(<sha2::Sha256 as sha2::Digest>::new_with_prefix(bytes))
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// An image of 2 MiB with one partition.
pub(super) fn image() -> Vec<u8> {
    let mut bytes = mbr(&[(0x83, true, 2048, 2048)]).to_vec();
    bytes.resize(2 << 20, 7);
    bytes
}

#[test]
fn a_good_image_has_its_size_hash_and_partitions() {
    let bytes = image();
    for file in [bytes.clone(), zstd::encode_all(&bytes[..], 1).unwrap()] {
        let image = check_file(&file).unwrap();
        assert_eq!((image.size, image.hash), (2 << 20, Some(hash(&bytes))));
        assert_eq!(image.layout.partitions.len(), 1);
    }
}

#[test]
fn the_structure_is_enough_where_it_has_the_size() {
    let bytes = image();
    let dir = tempfile::tempdir().unwrap();
    let with_size = zstd::bulk::compress(&bytes, 1).unwrap();
    let without_size = zstd::encode_all(&bytes[..], 1).unwrap();
    for (file, hash) in [(&bytes, None), (&with_size, None), (&without_size, Some(hash(&bytes)))] {
        let path = dir.path().join("x");
        std::fs::write(&path, file).unwrap();
        let image = examine(Source::open(&path).unwrap(), Depth::Structure, &Silent).unwrap();
        assert_eq!((image.size, image.hash), (2 << 20, hash));
    }
}

#[test]
fn a_checksum_beside_the_image_is_of_the_stored_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = image();
    let file = dir.path().join("x.img");
    let list = dir.path().join("SHA256SUMS");
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 0);
    std::io::Write::write_all(&mut xz, &bytes).unwrap();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gz, &bytes).unwrap();
    let zst = zstd::encode_all(&bytes[..], 1).unwrap();
    for stored in [bytes.clone(), zst, xz.finish().unwrap(), gz.finish().unwrap()] {
        std::fs::write(&file, &stored).unwrap();
        let sum = sha256(&stored);
        std::fs::write(&list, format!("{sum}  x.img\n")).unwrap();
        assert_eq!(
            examine(Source::open(&file).unwrap(), Depth::Whole, &Silent).unwrap().hash,
            Some(hash(&bytes))
        );
        std::fs::write(&list, format!("{}  x.img\n", "0".repeat(64))).unwrap();
        let error = examine(Source::open(&file).unwrap(), Depth::Whole, &Silent).unwrap_err();
        let words = format!("its SHA-256 begins with {}, not 000000000000; download both again", &sum[..12]);
        assert!(crate::base::failure::with_hint(&error).contains(&words), "{error}");
        assert_eq!(crate::base::failure::kind(&error), ExitKind::Refused);
    }
}

#[test]
fn a_request_to_stop_ends_the_check() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), image()).unwrap();
    let source = Source::open(file.path()).unwrap();
    let file = source.stored_bytes().unwrap();
    let mut phase = Phase::begin(&Silent, "check", None);
    let error = read_content(&source, source.decode(file).unwrap(), &mut phase, &|| true).unwrap_err();
    assert_eq!(error.to_string(), "stopped while the image was checked; nothing was written");
    assert_eq!(crate::base::failure::kind(&error), ExitKind::Interrupted);
}

/// A hint to download the file again would be wrong.
#[test]
fn a_file_that_changes_while_it_is_checked_is_not_called_damaged() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for bytes in [image(), zstd::encode_all(&image()[..], 1).unwrap()] {
        std::fs::write(file.path(), bytes).unwrap();
        let source = Source::open(file.path()).unwrap();
        let reader = source.stored_bytes().unwrap();
        let mut phase = Phase::begin(&Silent, "check", None);
        std::thread::sleep(std::time::Duration::from_millis(30));
        let touched = std::fs::FileTimes::new().set_modified(SystemTime::now());
        std::fs::File::options().write(true).open(file.path()).unwrap().set_times(touched).unwrap();
        let stream = source.decode(reader).unwrap();
        let error = read_content(&source, stream, &mut phase, &|| false).unwrap_err();
        let expected =
            format!("the image {}: the file has changed since it was opened", file.path().display());
        assert!(format!("{error:#}").starts_with(&expected), "{error:#}");
        assert_eq!(crate::base::failure::kind(&error), ExitKind::Refused);
    }
}

/// A zstd file whose content is `first` and `gib` GiB of zeros. In the file, each GiB of zeros takes 32 KiB.
fn bomb(first: &[u8], gib: usize) -> Vec<u8> {
    let block = |kind: u32, size: usize| {
        let header = u32::try_from(size).unwrap() << 3 | kind << 1;
        header.to_le_bytes()[..3].to_vec()
    };
    let zeros = [block(1, 128 << 10), vec![0]].concat();
    let begin = [&[0x28, 0xb5, 0x2f, 0xfd, 0, 0x58][..], &block(0, first.len()), first].concat();
    [begin, zeros.repeat(gib << 13), vec![1, 0, 0]].concat()
}

/// Asserts that the check of `source` is refused with `expected`, without reading much of the image.
#[track_caller]
fn assert_refused_soon(source: Source, expected: &str) {
    let begin = std::time::Instant::now();
    let error = examine(source, Depth::Whole, &Silent).unwrap_err();
    assert!(format!("{error:#}").contains(expected), "{error:#}");
    assert_eq!(crate::base::failure::kind(&error), ExitKind::Refused);
    assert!(begin.elapsed().as_secs() < 5, "{:?}", begin.elapsed());
}

#[test]
fn errors_of_the_first_mib_come_before_all_is_decompressed() {
    let dir = tempfile::tempdir().unwrap();
    let table = mbr(&[(0x83, true, 2048, 2048)]);
    let file = dir.path().join("x.img.zst");
    let open = |bytes: Vec<u8>| {
        std::fs::write(&file, bytes).unwrap();
        Source::open(&file).unwrap()
    };
    let card = Limits::new(None, Some(64 << 20));
    assert_refused_soon(open(bomb(&[0; 512], 100)), "is no disk image: no partition table");
    let large = mbr(&[(0x83, true, 2048, 1 << 20)]);
    assert_refused_soon(
        open(bomb(&large, 100)).with_limits(card),
        "at least 513.0 MiB (537919488 bytes), the card has 64.0 MiB",
    );
    assert_refused_soon(
        open(bomb(&table, 100)).with_limits(card),
        "at least 65.0 MiB (68157440 bytes), the card has 64.0 MiB",
    );
}

#[test]
fn decompression_beyond_the_memory_limit_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let long = [0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3, 1, 0, 0];
    let file = dir.path().join("x.img.zst");
    let good = zstd::encode_all(&image()[..], 1).unwrap();
    let skippable = b"\x53\x2a\x4d\x18\x03\0\0\0abc";
    for bytes in [[&long[..], &good].concat(), [&good[..], skippable, &long].concat()] {
        std::fs::write(&file, bytes).unwrap();
        let source = Source::open(&file).unwrap();
        assert_refused_soon(source.clone(), "takes 2.0 GiB of memory, more than the limit of 256.0 MiB");
        let allowed = source.with_limits(Limits::new(Some(2 << 30), None));
        assert_eq!(examine(allowed, Depth::Whole, &Silent).unwrap().size, 2 << 20);
    }
}

/// A request to stop ends the check even where the decoder produces nothing, and so never completes a chunk.
#[test]
fn a_request_to_stop_ends_a_decoder_that_produces_nothing() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let head = [0x28, 0xb5, 0x2f, 0xfd, 0, 0x58];
    std::fs::write(file.path(), [&head[..], &vec![0; 3 << 20], &[1, 0, 0]].concat()).unwrap();
    let source = Source::open(file.path()).unwrap();
    let asked = std::sync::atomic::AtomicU32::new(0);
    let mut phase = Phase::begin(&Silent, "check", None);
    let is_stopped = || asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 1;
    let file = StoppableReader { file: source.stored_bytes().unwrap(), is_stopped: &is_stopped };
    let stream = source.decode(file).unwrap();
    let error = read_content(&source, stream, &mut phase, &is_stopped).unwrap_err();
    assert_eq!(crate::base::failure::kind(&error), ExitKind::Interrupted);
    assert!(asked.into_inner() < 10);
}

#[test]
fn bad_images_are_refused_with_the_reason() {
    let good = zstd::encode_all(&image()[..], 1).unwrap();
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    std::io::Write::write_all(&mut encoder, &image()).unwrap();
    let mut wrong_checksum = encoder.finish().unwrap();
    *wrong_checksum.last_mut().unwrap() ^= 1;
    for (file, expected) in [
        (&good[..good.len() - 1], "truncated or damaged"),
        (&wrong_checksum, "doesn't match checksum"),
        (b"only text", "is no disk image: its size, 9 bytes, is not a multiple of 512-byte sectors"),
        (&[0; 1024], "is no disk image: no partition table"),
    ] {
        let error = check_file(file).unwrap_err();
        assert!(format!("{error:#}").contains(expected), "{error:#}");
        assert_eq!(crate::base::failure::kind(&error), ExitKind::Refused);
    }
}

#[test]
fn checksums_beside_a_link_and_beside_its_target_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    let [target, link] = ["store/a.img", "home/latest.img"].map(|name| dir.path().join(name));
    for file in [&target, &link] {
        std::fs::create_dir(file.parent().unwrap()).unwrap();
    }
    std::fs::write(&target, image()).unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let right = sha256(&image());
    let wrong = "0".repeat(64);
    let check_with = |sums: &[(&str, &str)], named: &std::path::Path| {
        for (name, sum) in sums {
            let image = if name.starts_with("store") { "a.img" } else { "latest.img" };
            std::fs::write(dir.path().join(name), format!("{sum}  {image}\n")).unwrap();
        }
        let checked = Source::open(named).and_then(|source| examine(source, Depth::Whole, &Silent));
        for (name, _) in sums {
            std::fs::remove_file(dir.path().join(name)).unwrap();
        }
        checked.map(drop).map_err(|error| (crate::base::failure::kind(&error), format!("{error:#}")))
    };
    for name in ["home/latest.img.sha256", "home/SHA256SUMS", "store/a.img.sha256", "store/SHA256SUMS"] {
        assert_eq!(check_with(&[(name, &right)], &link), Ok(()), "{name}");
        let (kind, message) = check_with(&[(name, &wrong)], &link).unwrap_err();
        assert_eq!(kind, ExitKind::Refused);
        assert!(message.contains("does not match") && message.contains(name), "{message}");
    }
    let both = [("home/SHA256SUMS", right.as_str()), ("store/SHA256SUMS", &wrong)];
    let (_, message) = check_with(&both, &link).unwrap_err();
    assert!(message.contains("two different SHA-256"), "{message}");
    assert!(both.iter().all(|(name, _)| message.contains(name)), "{message}");
    // Who names the image itself is not concerned by a link elsewhere.
    assert_eq!(check_with(&[("home/SHA256SUMS", &wrong)], &target), Ok(()));
}
