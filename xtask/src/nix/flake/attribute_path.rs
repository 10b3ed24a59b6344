//! Attribute paths, as users write them behind the `#` of an installable.

use crate::base::{escape, percent_encoding};
use crate::nix;

/// `path` as Nix reads it behind the `#` of an installable, where `%` begins an encoded byte, `^` ends the path, and no
/// character escapes another. A path that has a quotation mark in a name cannot stand there, and is written as in the
/// language of Nix.
pub fn attribute_path(path: &[String]) -> String {
    let part = |name: &String| {
        if nix::is_plain_name(name) {
            return name.clone();
        }
        if !is_readable(name) {
            return nix::quote(name);
        }
        let needs_encoding = name.contains(['%', '^']) || escape::line(name) != *name;
        let name =
            if needs_encoding { percent_encoding::encode(name.as_bytes(), b" ") } else { name.clone() };
        format!("\"{name}\"")
    };
    path.iter().map(part).collect::<Vec<_>>().join(".")
}

/// Whether an attribute of this name can stand behind the `#` of an installable.
pub fn is_readable(name: &str) -> bool {
    !name.contains('"')
}
