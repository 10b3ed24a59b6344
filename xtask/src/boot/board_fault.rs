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
    pub message: String,
    /// The remedy.
    pub hint: Option<String>,
    /// Whether the board does not boot with the fault. Otherwise it boots, but not with everything that is set.
    pub prevents_boot: bool,
}

impl BoardFault {
    /// A fault that prevents the boot.
    pub fn fatal(message: impl Into<String>) -> Self {
        Self { message: shorten(message.into(), MAX_MESSAGE), hint: None, prevents_boot: true }
    }

    /// A fault with which the board boots.
    pub fn tolerable(message: impl Into<String>) -> Self {
        Self { prevents_boot: false, ..Self::fatal(message) }
    }

    /// The fatal fault `error`, with its hint.
    pub fn of_error(error: &anyhow::Error) -> Self {
        let hint = failure::hint(error).map(str::to_owned);
        Self { hint, ..Self::fatal(format!("{error:#}")) }
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
