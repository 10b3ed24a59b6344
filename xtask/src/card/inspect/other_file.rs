//! Files that are no disk images, recognized by their first bytes, with the command that makes an image of them.

use std::path::{Path, PathBuf};

use crate::base::shell;

/// The number of bytes from the start of a file that [`OtherFile::sniff`] takes.
pub const OTHER_HEAD: u64 = TEXT as u64;
/// The number of characters of a text that are searched.
const TEXT: usize = 4096;

/// A kind of file that is no disk image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherFile {
    /// With its article.
    pub name: &'static str,
    /// `FILE` stands for the path of the file, `NAME` for the path without its last ending.
    remedy: &'static str,
}

const fn other(name: &'static str, remedy: &'static str) -> OtherFile {
    OtherFile { name, remedy }
}

const ZIP: OtherFile = other("a zip archive", "unpack it: `unzip FILE`");
const TAR: OtherFile = other("a tar archive", "unpack it: `tar -xf FILE`");
const LZMA: OtherFile = other("an lzma file", "unpack it: `xz --format=lzma -dk FILE`");
const LZ4: OtherFile = other("an lz4 file", "unpack it: `lz4 -d FILE NAME`");
const SIGNATURE: OtherFile = other("a signature", "name the image that it signs");
const BMAP: OtherFile = other("a block map for bmaptool", "name the image that it describes");
const PAGE: OtherFile = other(
    "an HTML page",
    "download the file itself, such as by `curl -fLO ADDRESS`: the address leads to a page",
);
const FILE_SYSTEM: &str = "name the image of the whole card, which has a partition table";

/// A zstd file that needs a dictionary.
pub const WITH_DICTIONARY: OtherFile =
    other("a zstd file that needs a dictionary", "unpack it: `zstd -d -D DICTIONARY FILE`");

/// The first bytes that decide, with their offsets.
const MAGIC: &[(usize, &[u8], OtherFile)] = &[
    (0, b"PK\x03\x04", ZIP),
    (0, b"PK\x05\x06", ZIP),
    (0, b"PK\x07\x08", ZIP),
    (0, b"7z\xbc\xaf\x27\x1c", other("a 7z archive", "unpack it: `7z x FILE`")),
    (0, b"Rar!\x1a\x07", other("a RAR archive", "unpack it: `unrar x FILE`")),
    (257, b"ustar", TAR),
    (0, b"QFI\xfb", other("a qcow2 image of a virtual machine", CONVERT)),
    (0, b"KDMV", other("a VMDK image of a virtual machine", CONVERT)),
    (0, b"# Disk DescriptorFile", other("a VMDK description of a virtual disk", CONVERT)),
    (0, b"vhdxfile", other("a VHDX image of a virtual machine", CONVERT)),
    (0, b"conectix", other("a VHD image of a virtual machine", CONVERT)),
    (64, b"\x7f\x10\xda\xbe", other("a VDI image of a virtual machine", CONVERT)),
    (0, b"\x3a\xff\x26\xed", other("an Android sparse image", "convert it: `simg2img FILE NAME.raw.img`")),
    (0, b"\x04\x22\x4d\x18", LZ4),
    (0, b"\x02\x21\x4c\x18", LZ4),
    (0, b"\x89LZO\0\r\n\x1a\n", other("an lzop file", "unpack it: `lzop -d FILE`")),
    (0, b"LZIP", other("an lzip file", "unpack it: `lzip -dk FILE`")),
    (0, b"\x37\xa4\x30\xec", other("a dictionary of zstd", "name the image that was compressed with it")),
    (
        0,
        b"\x0d\0\0\0\0\0\0\0nix-archive-1",
        other("a Nix archive", "unpack it: `nix-store --restore DIR <FILE`"),
    ),
    (0, b"d8:announce", other("a torrent", "download what it describes, and name that file")),
];
const CONVERT: &str = "convert it: `qemu-img convert -O raw FILE NAME.raw.img`";

/// The beginnings of texts, in lower case, behind white space and a byte order mark.
const TEXTS: &[(&str, OtherFile)] = &[
    ("<!doctype html", PAGE),
    ("<html", PAGE),
    ("<bmap", BMAP),
    ("<?xml", other("an XML text, such as a server sends for an error", "download the file again")),
    (
        "version https://git-lfs.github.com/spec/",
        other("a git-lfs pointer", "fetch the file: `git lfs pull`"),
    ),
    ("/annex/objects/", other("a git-annex pointer", "fetch the file: `git annex get FILE`")),
    ("-----begin pgp message", other("an encrypted file", "decrypt it: `gpg --output NAME --decrypt FILE`")),
    ("-----begin pgp sign", SIGNATURE),
    ("-----begin ssh signature", SIGNATURE),
    ("untrusted comment:", SIGNATURE),
];

/// What a disk without a partition table can hold instead.
const WHOLE_DISK: &[(usize, &[u8], OtherFile)] = &[
    (
        32769,
        b"CD001",
        other("an ISO image of an optical disc, which a Pi does not boot", "name an image for SD cards"),
    ),
    (1080, b"\x53\xef", other("an ext4 file system without a partition table", FILE_SYSTEM)),
    (82, b"FAT32   ", other("a FAT file system without a partition table", FILE_SYSTEM)),
    (54, b"FAT16   ", other("a FAT file system without a partition table", FILE_SYSTEM)),
    (65600, b"_BHRfS_M", other("a btrfs file system without a partition table", FILE_SYSTEM)),
    (0, b"hsqs", other("a squashfs file system without a partition table", FILE_SYSTEM)),
];

impl OtherFile {
    /// What the file is that begins with `head`; `None` for one that may be an image.
    pub fn sniff(head: &[u8]) -> Option<Self> {
        let found = by_magic(MAGIC, head).or_else(|| text(head));
        found.or_else(|| is_old_tar(head).then_some(TAR)).or_else(|| is_lzma(head).then_some(LZMA))
    }

    /// The same for a file that begins with `head` and has no valid partition table.
    pub fn sniff_without_table(head: &[u8]) -> Option<Self> {
        Self::sniff(head).or_else(|| by_magic(WHOLE_DISK, head))
    }

    /// The remedy for the file at `path`.
    pub fn hint(self, path: &Path) -> String {
        let quoted = |path: &Path| shell::quote(&path.to_string_lossy());
        self.remedy.replace("NAME", &quoted(&content_path(path))).replace("FILE", &quoted(path))
    }
}

/// The path for the content of the packed file at `path`: without the ending, and never the path itself, which a
/// command that writes there would destroy.
pub fn content_path(path: &Path) -> PathBuf {
    let without_ending = path.with_extension("");
    if without_ending != path {
        return without_ending;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".content");
    name.into()
}

fn by_magic(table: &[(usize, &[u8], OtherFile)], head: &[u8]) -> Option<OtherFile> {
    let is_at = |(at, magic, _): &&(usize, &[u8], OtherFile)| {
        head.get(*at..).is_some_and(|rest| rest.starts_with(magic))
    };
    table.iter().find(is_at).map(|(_, _, found)| *found)
}

fn text(head: &[u8]) -> Option<OtherFile> {
    let text = String::from_utf8_lossy(&head[..head.len().min(TEXT)]).to_ascii_lowercase();
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let (_, found) = TEXTS.iter().find(|(begin, _)| text.starts_with(begin))?;
    // The declaration of XML stands before what the text is.
    let is_xml = text.starts_with("<?xml");
    if is_xml && text.contains("bmap") {
        return Some(BMAP);
    }
    Some(if is_xml && text.contains("<html") { PAGE } else { *found })
}

/// Whether `head` begins with the header of a tar of 1979, which has a checksum and no magic number.
fn is_old_tar(head: &[u8]) -> bool {
    let Some(header) = head.first_chunk::<512>() else { return false };
    let field = header[148..156].iter().map(|byte| char::from(*byte)).collect::<String>();
    let expected = u32::from_str_radix(field.trim_matches(['\0', ' ']), 8);
    let bytes = header.iter().enumerate();
    let sum =
        bytes.map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) }).sum::<u32>();
    header[0] != 0 && expected == Ok(sum)
}

/// Whether `head` begins with the header of an lzma file: usual properties, a usual dictionary, and a size. It has no
/// magic number, so a boot sector is excluded.
fn is_lzma(head: &[u8]) -> bool {
    let Some(header) = head.first_chunk::<13>() else { return false };
    let dictionary = u32::from_le_bytes([header[1], header[2], header[3], header[4]]);
    let size = u64::from_le_bytes([5, 6, 7, 8, 9, 10, 11, 12].map(|at| header[at]));
    let is_usual = dictionary == u32::MAX || (dictionary >= 4096 && dictionary.count_ones() <= 2);
    let is_boot_sector = head.get(510..512) == Some(&[0x55, 0xaa]);
    header[0] == 0x5d && is_usual && (size == u64::MAX || size < 1 << 42) && !is_boot_sector
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: usize, magic: &[u8]) -> Vec<u8> {
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
    fn files_that_are_no_images() {
        let mut old_tar = [&b"pi.img"[..], &[0; 94], b"0000644\0", &[0; 40], b"        ", &[0; 356]].concat();
        let sum = old_tar.iter().map(|byte| u32::from(*byte)).sum::<u32>();
        old_tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let tars = [at(257, b"ustar\x0000"), old_tar];
        let tars = tars.iter().map(|tar| (&tar[..], "a tar archive", "unpack it: `tar -xf '/d/my pi.img'`"));
        for (head, name, hint) in tars.chain(OTHERS.iter().copied()) {
            let found = OtherFile::sniff(head).expect(name);
            assert_eq!((found.name, found.hint(Path::new("/d/my pi.img")).as_str()), (name, hint));
        }
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
    fn images_and_unknown_files_are_nothing_else() {
        let mut boot = at(0, b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff");
        boot[510..512].copy_from_slice(&[0x55, 0xaa]);
        for head in [&b""[..], b"text\n", &[0; 1024], &boot, &super::super::mbr(&[(0x83, true, 2048, 4096)])]
        {
            assert_eq!(OtherFile::sniff_without_table(head), None, "{head:?}");
        }
    }

    #[test]
    fn a_file_system_is_not_a_card() {
        for (offset, magic, name) in
            [(1080, &b"\x53\xef"[..], "an ext4"), (32769, b"CD001", "an ISO"), (82, b"FAT32   ", "a FAT")]
        {
            let head = at(offset, magic);
            assert_eq!(OtherFile::sniff(&head), None);
            assert!(OtherFile::sniff_without_table(&head).is_some_and(|found| found.name.starts_with(name)));
        }
    }

    #[test]
    fn fuzz() {
        let samples = MAGIC.iter().chain(WHOLE_DISK).map(|(offset, magic, _)| at(*offset, magic));
        let samples =
            samples.chain(TEXTS.iter().map(|(begin, _)| begin.as_bytes().to_vec())).collect::<Vec<_>>();
        let samples = samples.iter().map(Vec::as_slice).collect::<Vec<_>>();
        crate::base::fuzz::check(&samples, OtherFile::sniff_without_table);
    }
}
