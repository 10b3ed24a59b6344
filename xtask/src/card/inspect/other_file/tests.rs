//! Files that are no images, by their first bytes.

use super::*;

fn head_with(offset: usize, magic: &[u8]) -> Vec<u8> {
    [&vec![0; offset], magic, &[0; 600]].concat()
}

/// The beginnings of files, with their names and hints.
const OTHERS: &[(&[u8], &str, &str)] = &[
    (b"PK\x03\x04rest", "a zip archive", "unpack it: `unzip '/d/my pi.img'`"),
    (b"7z\xbc\xaf\x27\x1c\0\x04", "a 7z archive", "unpack it: `7z x '/d/my pi.img'`"),
    (
        b"QFI\xfb\0\0\0\x03",
        "a qcow2 image of a virtual machine",
        "convert it: `qemu-img convert -O raw '/d/my pi.img' '/d/my pi'.raw.img`",
    ),
    (
        b"\x3a\xff\x26\xed\x01\0\0\0",
        "an Android sparse image",
        "convert it: `simg2img '/d/my pi.img' '/d/my pi'.raw.img`",
    ),
    (
        b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0",
        "an lzma file",
        "unpack it: `xz --format=lzma -dk '/d/my pi.img'`",
    ),
    (
        b"\n<!DOCTYPE HTML>\n<html>",
        "an HTML page",
        "download the file itself, such as by `curl -fLO ADDRESS`: the address leads to a page",
    ),
    (b"\xef\xbb\xbf<html lang=\"de\">", "an HTML page", PAGE.remedy),
    (b"<?xml version=\"1.0\"?><!DOCTYPE html><html>", "an HTML page", PAGE.remedy),
    (
        b"<?xml version=\"1.0\" ?>\n<!-- x -->\n<bmap version=\"2.0\">",
        "a block map for bmaptool",
        "name the image that it describes",
    ),
    (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
        "a git-lfs pointer",
        "fetch the file: `git lfs pull`",
    ),
    (b"-----BEGIN PGP SIGNATURE-----\n\niQ", "a signature", "name the image that it signs"),
    (
        b"<?xml version=\"1.0\"?><Error>",
        "an XML text, such as a server sends for an error",
        "download the file again",
    ),
];

#[test]
fn files_that_are_no_images_are_recognized() {
    let mut old_tar = [&b"pi.img"[..], &[0; 94], b"0000644\0", &[0; 40], b"        ", &[0; 356]].concat();
    let sum = old_tar.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    old_tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let tars = [head_with(257, b"ustar\x0000"), old_tar];
    let tars = tars.iter().map(|tar| (&tar[..], "a tar archive", "unpack it: `tar -xf '/d/my pi.img'`"));
    for (head, name, hint) in tars.chain(OTHERS.iter().copied()) {
        let found = OtherFile::sniff(head).expect(name);
        assert_eq!((found.name, found.hint(Path::new("/d/my pi.img")).as_str()), (name, hint));
    }
}

#[test]
fn a_path_may_contain_the_words_for_paths() {
    let hint = LZ4.hint(Path::new("/d/NAMEFILE.lz4"));
    assert_eq!(hint, "unpack it: `lz4 -d /d/NAMEFILE.lz4 /d/NAMEFILE`");
}

/// A command that writes to the file that it reads destroys it.
#[test]
fn no_hint_writes_to_the_file_itself() {
    let remedies = MAGIC.iter().chain(WHOLE_DISK).map(|(_, _, other)| *other);
    for other in remedies.chain(TEXTS.iter().map(|(_, other)| *other)) {
        for path in ["/d/pi", "/d/pi.img", "/d/pi.raw.img", "/d/pi.img.lz4", "/d/.pi"] {
            let hint = other.hint(Path::new(path));
            let words = hint.split([' ', '`', ':']).filter(|word| *word == path);
            assert!(words.count() <= 1, "{hint}");
        }
    }
    for path in ["/d/pi", "/d/.pi", "/d/pi.gz"] {
        assert_ne!(content_path(Path::new(path)), Path::new(path));
    }
}

#[test]
fn images_and_unknown_files_are_no_known_other_files() {
    let mut boot = head_with(0, b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff");
    boot[510..512].copy_from_slice(&[0x55, 0xaa]);
    for head in [&b""[..], b"text\n", &[0; 1024], &boot, &super::super::mbr(&[(0x83, true, 2048, 4096)])] {
        assert_eq!(OtherFile::sniff_without_table(head), None, "{head:?}");
    }
}

#[test]
fn a_file_system_is_not_a_card() {
    for (offset, magic, name) in
        [(1080, &b"\x53\xef"[..], "an ext4"), (32769, b"CD001", "an ISO"), (82, b"FAT32   ", "a FAT")]
    {
        let head = head_with(offset, magic);
        assert_eq!(OtherFile::sniff(&head), None);
        assert!(OtherFile::sniff_without_table(&head).is_some_and(|found| found.name.starts_with(name)));
    }
}

#[test]
fn fuzz() {
    let samples = MAGIC.iter().chain(WHOLE_DISK).map(|(offset, magic, _)| head_with(*offset, magic));
    let samples = samples.chain(TEXTS.iter().map(|(begin, _)| begin.as_bytes().to_vec())).collect::<Vec<_>>();
    let samples = samples.iter().map(Vec::as_slice).collect::<Vec<_>>();
    crate::base::fuzz::check(&samples, OtherFile::sniff_without_table);
}
