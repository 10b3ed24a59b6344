//! The lines of a plan about the payload.

use std::fmt;

use super::{EntryKind, Identity, KeyOrigin, Owner, Payload, PayloadEntry};
use crate::base::{Bytes, Plain};

/// The maximum number of files that a plan lists.
const MAX_LISTED: usize = 12;

impl fmt::Display for Payload {
    /// Writes the lines of a plan, each with a newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Identity { host, fingerprint, origin }) = &self.identity {
            let origin = match origin {
                KeyOrigin::Kept => "kept",
                KeyOrigin::New => "new",
                KeyOrigin::Pending => "new, made for a flash that did not end",
            };
            writeln!(f, "key     {fingerprint} of {} ({origin})", Plain(host))?;
        }
        let mut label = "files";
        for entry in self.extra_files().take(MAX_LISTED) {
            writeln!(f, "{label:8}{entry}")?;
            label = "";
        }
        match self.extra_files().count().saturating_sub(MAX_LISTED) {
            0 => Ok(()),
            more => writeln!(f, "        and {more} more"),
        }
    }
}

impl fmt::Display for PayloadEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, mode, owner, kind } = self;
        let path = Plain(path);
        let owner = match *owner {
            Owner::ROOT => String::new(),
            Owner { user, group } => format!(", owner {user}:{group}"),
        };
        match kind {
            EntryKind::Folder => write!(f, "{path}/ (mode {mode:04o}{owner})"),
            EntryKind::File(content) => {
                let size = Bytes(content.reveal().len() as u64);
                write!(f, "{path} ({size}, mode {mode:04o}{owner})")
            }
            EntryKind::Link(target) => write!(f, "{path} (link to {})", Plain(target)),
        }
    }
}
