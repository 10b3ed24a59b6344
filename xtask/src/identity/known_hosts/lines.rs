//! The lines of a `known_hosts` file (sshd(8), section on the format): names, then a key. Lines in other
//! forms, such as hashed names and markers, are nobody's here and stay as they are.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::HostName;
use crate::identity::folder_name::can_name_folder;

/// The new keys of each host, such as `ssh-ed25519 AAAA…`; an empty list for a host that is to have no key.
pub type NewKeys = BTreeMap<HostName, Vec<String>>;

/// The key in `line`, without a comment; `None` for a line without a key of `host`.
pub fn key_in_line(line: &[u8], host: &str) -> Option<String> {
    let (names, key) = split_line(line)?;
    names.split(',').any(|name| name == host).then(|| without_comment(key))
}

/// The keys of `host` in `text`, in order.
pub fn keys_of(text: &[u8], host: &str) -> Vec<String> {
    text.split(|byte| *byte == b'\n').filter_map(|line| key_in_line(line, host)).collect()
}

/// The names in `text` that can be those of hosts with a key.
pub fn hosts(text: &[u8]) -> BTreeSet<HostName> {
    let lines = text.split(|byte| *byte == b'\n').filter_map(split_line);
    let names = lines.flat_map(|(names, _)| names.split(',')).map(HostName::from);
    names.filter(can_name_folder).collect()
}

/// `text` with each host of `keys` having only its new keys, in place of its first line or at the end, or none. Lines
/// of other hosts stay, and so do the other names of a line.
pub fn with_keys(text: &[u8], keys: &NewKeys) -> Vec<u8> {
    keys.iter().fold(text.to_vec(), |text, (host, keys)| with_keys_of(&text, host, keys))
}

/// `text` with `keys` as the only keys of `host`.
fn with_keys_of(text: &[u8], host: &str, keys: &[String]) -> Vec<u8> {
    let mut new_lines = keys.iter().map(|key| format!("{host} {key}\n")).collect::<String>();
    let mut new = Vec::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if key_in_line(line, host).is_some() {
            new.extend(std::mem::take(&mut new_lines).into_bytes());
            new.extend(without_name(line, host).unwrap_or_default().into_bytes());
            continue;
        }
        new.extend_from_slice(line);
        if !line.ends_with(b"\n") {
            new.push(b'\n');
        }
    }
    new.extend(new_lines.into_bytes());
    new
}

/// `line` without the name of `host`; `None` where it has no other name.
fn without_name(line: &[u8], host: &str) -> Option<String> {
    let (names, key) = split_line(line)?;
    let others = names.split(',').filter(|name| !name.is_empty() && *name != host).collect::<Vec<_>>();
    (!others.is_empty()).then(|| format!("{} {key}\n", others.join(",")))
}

/// The names and the key of `line`, with its comment.
fn split_line(line: &[u8]) -> Option<(&str, &str)> {
    let (names, key) = std::str::from_utf8(line).ok()?.trim().split_once(char::is_whitespace)?;
    let is_other = names.starts_with(['#', '@', '|']);
    (!is_other).then(|| (names, key.trim()))
}

/// The algorithm and the key in `text`, which a comment may follow.
fn without_comment(text: &str) -> String {
    text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `text` with `key` as the only key of `host`, or without a key of it.
    fn with_key(text: &[u8], host: &str, key: Option<&str>) -> Vec<u8> {
        with_keys_of(text, host, &key.map(str::to_owned).into_iter().collect::<Vec<_>>())
    }

    const KEY: &str = "ssh-ed25519 AAAAC3";

    #[test]
    fn each_host_has_one_line() {
        let line = format!("pi {KEY}\n");
        for (text, key, expected) in [
            ("", Some(KEY), line.clone()),
            ("", None, String::new()),
            ("pi ssh-ed25519 old\n", Some(KEY), line.clone()),
            ("pi ssh-ed25519 old", None, String::new()),
            ("# note\npi a b\npi c d\nother e f", Some(KEY), format!("# note\n{line}other e f\n")),
            ("pi2 a b\n", Some(KEY), format!("pi2 a b\n{line}")),
        ] {
            let new = with_key(text.as_bytes(), "pi", key);
            assert_eq!(String::from_utf8(new).unwrap(), expected, "{text}");
        }
        let others = b"caf\xe9 a b\nsome\r\n";
        let new = with_key(others, "pi", Some(KEY));
        assert_eq!(new, [&others[..], line.as_bytes()].concat());
    }

    #[test]
    fn the_other_names_of_a_line_keep_its_key() {
        let text = b"alias,pi,10.0.0.5 a b me@here\n";
        let without = "alias,10.0.0.5 a b me@here\n";
        assert_eq!(with_key(text, "pi", None), without.as_bytes());
        assert_eq!(with_key(text, "pi", Some(KEY)), format!("pi {KEY}\n{without}").as_bytes());
    }

    #[test]
    fn keys_and_hosts_are_found_in_plain_lines_alone() {
        let text = b"# pi a b\n@revoked pi c d\n|1|x|y e f\npi ssh-ed25519 A one\npi,x ssh-rsa B\n10.0.0.5,[h]:22 g h\n";
        assert_eq!(keys_of(text, "pi"), ["ssh-ed25519 A", "ssh-rsa B"]);
        assert_eq!(hosts(text), ["10.0.0.5", "pi", "x"].map(HostName::from).into());
    }

    #[test]
    fn fuzz() {
        let line =
            "pi,alias ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKCcGufY3wZYjbxCpm9xo3W2XeGl1+70HxLJuItPZBaw pi\n";
        let hashed = "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= ssh-rsa AAAAB3\n@revoked * ssh-rsa x\n";
        crate::base::fuzz::check(&[line.as_bytes(), hashed.as_bytes()], |bytes| {
            let new = with_key(bytes, "pi", Some(KEY));
            assert_eq!(keys_of(&new, "pi"), [KEY], "{}", new.escape_ascii());
            assert_eq!(keys_of(&with_key(bytes, "pi", None), "pi"), [""; 0]);
            assert_eq!(with_key(&new, "pi", Some(KEY)), new);
            hosts(bytes)
        });
    }
}
