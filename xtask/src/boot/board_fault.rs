//! What is missing for the boot of a board.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::failure;

/// The longest message, in characters: names in hostile files are longer.
const MAX_MESSAGE: usize = 300;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BoardFault {
    /// What was found, for programs; `None` for what has no word of its own.
    // Check caches of earlier versions do not have it.
    #[serde(default)]
    pub kind: Option<FaultKind>,
    pub message: String,
    /// The remedy.
    pub hint: Option<String>,
    /// Whether the board does not boot with the fault. Otherwise it boots, but not with everything that is set.
    pub prevents_boot: bool,
}

/// What a proof found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The files of the card cannot be read.
    Unreadable,
    /// The firmware ignores a setting of `config.txt`, or a part of it.
    ConfigTxt,
    /// A file of the firmware itself is missing or empty.
    Firmware,
    /// The U-Boot or the kernel that the firmware starts is missing, empty or truncated.
    Program,
    /// The firmware starts the program in a mode of the processor that the program is not made for.
    ProcessorMode,
    /// The U-Boot does not know the board.
    UnknownBoard,
    /// A device tree of the board is missing.
    DeviceTree,
    /// An overlay is missing.
    Overlay,
    /// The armstub is missing or empty.
    Armstub,
    /// The initramfs is missing or empty.
    Initramfs,
    /// The command line of the kernel is missing, or names no root.
    CommandLine,
    /// The boot menu of U-Boot, or what it names, is missing or broken.
    BootMenu,
    /// The kernel does not fit where U-Boot loads it.
    KernelSize,
    /// A device that the system mounts is not on the card.
    MissingDevice,
    /// The file system of FIRMWARE is not one that all boards read.
    FileSystem,
}

impl BoardFault {
    /// A fault that prevents the boot.
    pub fn fatal(kind: FaultKind, message: impl Into<String>) -> Self {
        let message = shorten(message.into(), MAX_MESSAGE);
        Self { kind: Some(kind), message, hint: None, prevents_boot: true }
    }

    /// A fault with which the board boots.
    pub fn tolerable(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { prevents_boot: false, ..Self::fatal(kind, message) }
    }

    /// What a user should know of a board that boots, and for which there is no kind.
    pub fn remark(message: impl Into<String>) -> Self {
        let message = shorten(message.into(), MAX_MESSAGE);
        Self { kind: None, message, hint: None, prevents_boot: false }
    }

    /// The fatal fault `error`, with its hint.
    pub fn of_error(kind: FaultKind, error: &anyhow::Error) -> Self {
        let hint = failure::hint(error).map(str::to_owned);
        Self { hint, ..Self::fatal(kind, format!("{error:#}")) }
    }

    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// `text` without what exceeds `max` characters.
pub fn shorten(text: String, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

impl fmt::Display for BoardFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hint {
            Some(hint) => write!(f, "{}; {hint}", self.message),
            None => f.write_str(&self.message),
        }
    }
}
