//! What a derivation is built for, from its file in the store.

use std::path::Path;

use crate::base::bounded::{self, Links};

/// The largest file of a derivation that is read, in bytes.
const MAX_DERIVATION: u64 = 4 << 20;

/// The systems whose programs a kernel of another system runs without emulation.
const NATIVE_PAIRS: &[(&str, &str)] = &[("x86_64", "i686"), ("aarch64", "armv7l"), ("aarch64", "armv6l")];

/// Whether a build of the derivation at `path` here runs under emulation. False where the file cannot be read: a
/// builder elsewhere may have it alone.
pub fn is_emulated(path: &str) -> bool {
    let text = bounded::read(Path::new(path), MAX_DERIVATION, Links::Follow).unwrap_or_default();
    system_of(&String::from_utf8_lossy(&text))
        .is_some_and(|system| is_foreign(&system, std::env::consts::ARCH))
}

/// Whether a machine of `architecture` runs programs for `system` by emulation alone.
fn is_foreign(system: &str, architecture: &str) -> bool {
    let Some(wanted) = system.strip_suffix("-linux") else { return false };
    wanted != architecture && !NATIVE_PAIRS.contains(&(architecture, wanted))
}

/// The system in the text of a derivation: `Derive([outputs],[derivations],[sources],"SYSTEM",…`.
fn system_of(text: &str) -> Option<String> {
    let mut rest = text.strip_prefix("Derive(")?;
    for _ in 0..3 {
        rest = behind_list(rest)?.strip_prefix(',')?;
    }
    let (system, _) = rest.strip_prefix('"')?.split_once('"')?;
    Some(system.to_owned())
}

/// What follows the list at the beginning of `text`.
fn behind_list(text: &str) -> Option<&str> {
    let mut depth = 0_usize;
    let mut is_in_string = false;
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_in_string => is_escaped = true,
            b'"' => is_in_string = !is_in_string,
            b'[' if !is_in_string => depth += 1,
            b']' if !is_in_string => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return text.get(at + 1..);
                }
            }
            _ if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = concat!(
        r#"Derive([("out","/nix/store/o-x","","")],[("/nix/store/d-y.drv",["out"])],"#,
        r#"["/nix/store/s-a]\"b"],"aarch64-linux","/bin/sh",[],[("name","x")])"#
    );

    #[test]
    fn the_system_is_read() {
        assert_eq!(system_of(TEXT).as_deref(), Some("aarch64-linux"));
        assert_eq!(system_of(r#"Derive([],[],[],"builtin","a",[],[])"#).as_deref(), Some("builtin"));
        for text in ["", "Derive(", "Derive([]", "Derive(],[],[]", r#"Derive([],[],"x","y""#] {
            assert_eq!(system_of(text), None, "{text}");
        }
    }

    #[test]
    fn a_foreign_system_is_emulated() {
        for (system, architecture, expected) in [
            ("aarch64-linux", "x86_64", true),
            ("aarch64-linux", "aarch64", false),
            ("i686-linux", "x86_64", false),
            ("armv7l-linux", "aarch64", false),
            ("builtin", "x86_64", false),
        ] {
            assert_eq!(is_foreign(system, architecture), expected, "{system} on {architecture}");
        }
        assert!(!is_emulated("/nix/store/no-such.drv"));
    }

    #[test]
    fn fuzz() {
        crate::base::fuzz::check_text(&[TEXT], system_of);
    }
}
