//! Files that are no disk images, recognized by their first bytes, with the command that turns them into an image.

use std::path::{Path, PathBuf};

use crate::base::shell;

/// The number of bytes from the start of a file that [`OtherFile::sniff`] takes.
pub const OTHER_HEAD: u64 = MAX_TEXT as u64;
/// The number of bytes of a text that are searched.
const MAX_TEXT: usize = 4096;

/// A kind of file that is no disk image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherFile {
    /// The name of the kind, with its article.
    pub name: &'static str,
    /// The text of the hint. `FILE` stands for the path of the file, `NAME` for the path without its last ending.
    remedy: &'static str,
}

/// A kind of file with this name and remedy.
const fn kind(name: &'static str, remedy: &'static str) -> OtherFile {
    OtherFile { name, remedy }
}

const ZIP: OtherFile = kind("a zip archive", "unpack it: `unzip FILE`");
const TAR: OtherFile = kind("a tar archive", "unpack it: `tar -xf FILE`");
const LZMA: OtherFile = kind("an lzma file", "unpack it: `xz --format=lzma -dk FILE`");
const LZ4: OtherFile = kind("an lz4 file", "unpack it: `lz4 -d FILE NAME`");
const SIGNATURE: OtherFile = kind("a signature", "name the image that it signs");
const BMAP: OtherFile = kind("a block map for bmaptool", "name the image that it describes");
const PAGE: OtherFile = kind(
    "an HTML page",
    "download the file itself, such as by `curl -fLO ADDRESS`: the address leads to a page",
);
/// The remedy for a file system without a partition table.
const NAME_WHOLE_CARD: &str = "name the image of the whole card, which has a partition table";

/// A zstd file that needs a dictionary.
pub const WITH_DICTIONARY: OtherFile =
    kind("a zstd file that needs a dictionary", "unpack it: `zstd -d -D DICTIONARY FILE`");

/// Kinds of files by magic bytes: the offset in bytes, the magic bytes there, and the kind.
const MAGIC: &[(usize, &[u8], OtherFile)] = &[
    (0, b"PK\x03\x04", ZIP),
    (0, b"PK\x05\x06", ZIP),
    (0, b"PK\x07\x08", ZIP),
    (0, b"7z\xbc\xaf\x27\x1c", kind("a 7z archive", "unpack it: `7z x FILE`")),
    (0, b"Rar!\x1a\x07", kind("a RAR archive", "unpack it: `unrar x FILE`")),
    (257, b"ustar", TAR),
    (0, b"QFI\xfb", kind("a qcow2 image of a virtual machine", CONVERT)),
    (0, b"KDMV", kind("a VMDK image of a virtual machine", CONVERT)),
    (0, b"# Disk DescriptorFile", kind("a VMDK description of a virtual disk", CONVERT)),
    (0, b"vhdxfile", kind("a VHDX image of a virtual machine", CONVERT)),
    (0, b"conectix", kind("a VHD image of a virtual machine", CONVERT)),
    (64, b"\x7f\x10\xda\xbe", kind("a VDI image of a virtual machine", CONVERT)),
    (0, b"\x3a\xff\x26\xed", kind("an Android sparse image", "convert it: `simg2img FILE NAME.raw.img`")),
    (0, b"\x04\x22\x4d\x18", LZ4),
    (0, b"\x02\x21\x4c\x18", LZ4),
    (0, b"\x89LZO\0\r\n\x1a\n", kind("an lzop file", "unpack it: `lzop -d FILE`")),
    (0, b"LZIP", kind("an lzip file", "unpack it: `lzip -dk FILE`")),
    (0, b"\x37\xa4\x30\xec", kind("a dictionary of zstd", "name the image that was compressed with it")),
    (
        0,
        b"\x0d\0\0\0\0\0\0\0nix-archive-1",
        kind("a Nix archive", "unpack it: `nix-store --restore DIR <FILE`"),
    ),
    (0, b"d8:announce", kind("a torrent", "download what it describes, and name that file")),
];
/// The remedy for the disk of a virtual machine.
const CONVERT: &str = "convert it: `qemu-img convert -O raw FILE NAME.raw.img`";

/// Kinds of texts by their beginnings, in lower case and behind white space and a byte order mark.
const TEXTS: &[(&str, OtherFile)] = &[
    ("<!doctype html", PAGE),
    ("<html", PAGE),
    ("<bmap", BMAP),
    ("<?xml", kind("an XML text, such as a server sends for an error", "download the file again")),
    ("version https://git-lfs.github.com/spec/", kind("a git-lfs pointer", "fetch the file: `git lfs pull`")),
    ("/annex/objects/", kind("a git-annex pointer", "fetch the file: `git annex get FILE`")),
    ("-----begin pgp message", kind("an encrypted file", "decrypt it: `gpg --output NAME --decrypt FILE`")),
    ("-----begin pgp sign", SIGNATURE),
    ("-----begin ssh signature", SIGNATURE),
    ("untrusted comment:", SIGNATURE),
];

const OPTICAL_DISC: OtherFile =
    kind("an ISO image of an optical disc, which a Pi does not boot", "name an image for SD cards");

/// Kinds of files without a partition table, in the form of [`MAGIC`].
const WHOLE_DISK: &[(usize, &[u8], OtherFile)] = &[
    (32769, b"CD001", OPTICAL_DISC),
    (32769, b"BEA01", OPTICAL_DISC),
    (1080, b"\x53\xef", kind("an ext4 file system without a partition table", NAME_WHOLE_CARD)),
    (82, b"FAT32   ", kind("a FAT file system without a partition table", NAME_WHOLE_CARD)),
    (54, b"FAT16   ", kind("a FAT file system without a partition table", NAME_WHOLE_CARD)),
    (65600, b"_BHRfS_M", kind("a btrfs file system without a partition table", NAME_WHOLE_CARD)),
    (0, b"hsqs", kind("a squashfs file system without a partition table", NAME_WHOLE_CARD)),
];

impl OtherFile {
    /// The kind of the file that begins with `head`; `None` for a file that may be an image.
    pub fn sniff(head: &[u8]) -> Option<Self> {
        find_by_magic(MAGIC, head)
            .or_else(|| find_by_text(head))
            .or_else(|| is_old_tar(head).then_some(TAR))
            .or_else(|| is_lzma(head).then_some(LZMA))
    }

    /// The kind of the file that begins with `head` and has no valid partition table; `None` for an unknown kind.
    pub fn sniff_without_table(head: &[u8]) -> Option<Self> {
        Self::sniff(head).or_else(|| find_by_magic(WHOLE_DISK, head))
    }

    /// The kind of the file that begins with `head`, where it is an ISO image, also one with a partition table for USB
    /// sticks; `None` for any other file.
    pub fn sniff_optical_disc(head: &[u8]) -> Option<Self> {
        find_by_magic(WHOLE_DISK, head).filter(|found| *found == OPTICAL_DISC)
    }

    /// Whether the remedy is a command that reads the file, so that a compressed one must be decompressed first.
    pub fn needs_file(self) -> bool {
        self.remedy.contains("FILE")
    }

    /// The remedy for the file at `path`.
    pub fn hint(self, path: &Path) -> String {
        let quoted = |path: &Path| shell::quote(&path.to_string_lossy());
        let name = quoted(&content_path(path));
        // The inserted paths may contain both words.
        let parts = self.remedy.split("FILE").map(|text| text.replace("NAME", &name));
        parts.collect::<Vec<_>>().join(&quoted(path))
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

/// The kind in `table` whose magic bytes `head` has.
fn find_by_magic(table: &[(usize, &[u8], OtherFile)], head: &[u8]) -> Option<OtherFile> {
    let is_at = |(at, magic, _): &&(usize, &[u8], OtherFile)| {
        head.get(*at..).is_some_and(|rest| rest.starts_with(magic))
    };
    table.iter().find(is_at).map(|(_, _, found)| *found)
}

/// The kind of the text that begins with `head`; `None` where [`TEXTS`] does not have its beginning.
fn find_by_text(head: &[u8]) -> Option<OtherFile> {
    let lower_case = String::from_utf8_lossy(&head[..head.len().min(MAX_TEXT)]).to_ascii_lowercase();
    let text = lower_case.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    // Block maps and pages in XML begin with the declaration of XML.
    let is_xml = text.starts_with("<?xml");
    if is_xml && text.contains("bmap") {
        return Some(BMAP);
    }
    if is_xml && text.contains("<html") {
        return Some(PAGE);
    }
    TEXTS.iter().find(|(begin, _)| text.starts_with(begin)).map(|(_, found)| *found)
}

/// Whether `head` begins with the header of a tar of 1979, which has a checksum and no magic number.
fn is_old_tar(head: &[u8]) -> bool {
    let Some(header) = head.first_chunk::<512>() else { return false };
    let field = header[148..156].iter().map(|byte| char::from(*byte)).collect::<String>();
    let expected = u32::from_str_radix(field.trim_matches(['\0', ' ']), 8);
    // The checksum is computed with blanks in its own place.
    let mut without_checksum = *header;
    without_checksum[148..156].fill(b' ');
    let sum = without_checksum.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    // The header begins with the name of a file, which is never empty.
    header[0] != 0 && expected == Ok(sum)
}

/// Whether `head` begins with the header of an lzma file: usual properties, a usual dictionary, and a size. The header
/// has no magic number, so a boot sector could be taken for such a header, and is excluded.
fn is_lzma(head: &[u8]) -> bool {
    let Some(header) = head.first_chunk::<13>() else { return false };
    let dictionary = u32::from_le_bytes([header[1], header[2], header[3], header[4]]);
    let size = u64::from_le_bytes([5, 6, 7, 8, 9, 10, 11, 12].map(|at| header[at]));
    let is_usual = dictionary == u32::MAX || (dictionary >= 4096 && dictionary.count_ones() <= 2);
    let is_boot_sector = head.get(510..512) == Some(&[0x55, 0xaa]);
    header[0] == 0x5d && is_usual && (size == u64::MAX || size < 1 << 42) && !is_boot_sector
}

#[cfg(test)]
mod tests;
