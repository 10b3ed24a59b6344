//! The compression format of a file.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The compression format of an image file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    Raw,
    Zstd,
    Xz,
    Gzip,
    Bzip2,
}

impl Format {
    /// The format of the file that begins with `beginning`. The name of the file does not matter.
    pub fn sniff(beginning: &[u8]) -> Self {
        // Skippable zstd frames (RFC 8878, section 3.1.2) may stand before the first real one.
        let is_skippable = matches!(beginning, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]);
        match beginning {
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A block, or the end of a stream without content.
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => Self::Bzip2,
            _ if is_skippable => Self::Zstd,
            _ => Self::Raw,
        }
    }

    /// The format that programs expect of a file with the name `name`; `None` for a name with another ending.
    pub fn of_name(name: &str) -> Option<Self> {
        let (_, ending) = name.rsplit_once('.')?;
        match ending.to_ascii_lowercase().as_str() {
            "img" | "raw" => Some(Self::Raw),
            "zst" | "zstd" => Some(Self::Zstd),
            "xz" => Some(Self::Xz),
            "gz" => Some(Self::Gzip),
            "bz2" => Some(Self::Bzip2),
            _ => None,
        }
    }

    /// The ending of the name of an image file in this format.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Raw => ".img",
            Self::Zstd => ".img.zst",
            Self::Xz => ".img.xz",
            Self::Gzip => ".img.gz",
            Self::Bzip2 => ".img.bz2",
        }
    }

    /// The command that decompresses a file in this format to stdout; `None` for [`Self::Raw`].
    pub fn decompress_command(self) -> Option<&'static str> {
        match self {
            Self::Raw => None,
            Self::Zstd => Some("zstd -dc"),
            Self::Xz => Some("xz -dc"),
            Self::Gzip => Some("gzip -dc"),
            Self::Bzip2 => Some("bzip2 -dc"),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Raw => "not compressed",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
        })
    }
}
