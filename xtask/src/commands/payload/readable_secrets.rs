//! The files of `--files` that look like secrets, and that every user of the host could read.

use crate::base::Event;
use crate::identity::{EntryKind, PayloadEntry};

/// The most files that the warning lists.
const MAX_LISTED: usize = 3;
/// What only secrets contain.
const CONTENTS: &[&str] = &["PRIVATE KEY-----", "AGE-SECRET-KEY-1", "PuTTY-User-Key-File"];
/// The names of secrets in the files of `wpa_supplicant`, iwd, `NetworkManager` and hostapd, before a `=`.
const SETTINGS: &[&str] =
    &["psk", "sae_password", "password", "Passphrase", "PreSharedKey", "wpa_passphrase", "wpa_psk"];
/// The endings of the names of secrets.
const ENDINGS: &[&str] = &[".env", ".key", ".psk", ".nmconnection", "shadow", "_rsa", "_ed25519"];
/// The words in paths of secrets.
const WORDS: &[&str] = &["password", "passwd", "secret", "token", "credential"];

/// The warning of secrets among `entries`, the content of `--files`, that every user of the host could read.
pub fn warning(entries: &[PayloadEntry]) -> Option<Event> {
    let found = entries.iter().filter(|entry| is_open(entry, entries) && is_secret(entry));
    let found = found.map(|entry| entry.path.as_str()).collect::<Vec<_>>();
    let listed = found.iter().take(MAX_LISTED).copied().collect::<Vec<_>>().join(", ");
    let text = match found.len() {
        0 => return None,
        1 => format!("every user of the host can read a file of --files that looks secret: {listed}"),
        count if count <= MAX_LISTED => {
            format!("every user of the host can read {count} files of --files that look secret: {listed}")
        }
        count => format!(
            "every user of the host can read {count} files of --files that look secret: {listed} and {} more",
            count - MAX_LISTED
        ),
    };
    Some(Event::warning_with_hint(text, "run `chmod go= FILE` for each, so that only its owner can read it"))
}

/// Whether every user can read the file `entry`: by its own mode and by those of its folders among `entries`.
fn is_open(entry: &PayloadEntry, entries: &[PayloadEntry]) -> bool {
    let is_folder_of_it = |folder: &&PayloadEntry| {
        let rest = entry.path.strip_prefix(&folder.path);
        folder.kind == EntryKind::Folder && rest.is_some_and(|rest| rest.starts_with('/'))
    };
    let mut folders = entries.iter().filter(is_folder_of_it);
    entry.mode & 0o004 != 0 && folders.all(|folder| folder.mode & 0o001 != 0)
}

/// Whether the file `entry` looks like a secret, by its path or its content.
fn is_secret(entry: &PayloadEntry) -> bool {
    let EntryKind::File(content) = &entry.kind else { return false };
    let path = entry.path.to_lowercase();
    let name = path.rsplit('/').next().unwrap_or_default();
    let bytes = content.reveal();
    let has_content = |text: &&str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let ends_with = |ending: &&str| name.ends_with(*ending);
    !ends_with(&".pub")
        && (CONTENTS.iter().any(has_content)
            || bytes.split(|byte| *byte == b'\n').any(sets_secret)
            || ENDINGS.iter().any(ends_with)
            || WORDS.iter().any(|word| path.contains(word)))
}

/// Whether the `line` of a file sets a secret, such as `    psk="…"`. A name for a secret elsewhere is none.
fn sets_secret(line: &[u8]) -> bool {
    let mut parts = line.splitn(2, |byte| *byte == b'=');
    let [name, value] = [parts.next(), parts.next()].map(|part| part.unwrap_or_default().trim_ascii());
    SETTINGS.iter().any(|setting| setting.as_bytes() == name)
        && !value.is_empty()
        && !value.starts_with(b"ext:")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Owner, Secret};

    fn file(path: &str, mode: u16, content: &str) -> PayloadEntry {
        let kind = EntryKind::File(Secret::new(content.as_bytes().to_vec()));
        PayloadEntry { path: path.to_owned(), mode, owner: Owner::ROOT, kind }
    }

    fn text(entries: &[PayloadEntry]) -> Option<String> {
        match warning(entries) {
            Some(Event::Warning { text, .. }) => Some(text),
            _ => None,
        }
    }

    #[test]
    fn secrets_that_everybody_can_read_are_listed() {
        for (path, content) in [
            ("home/a/id", "-----BEGIN OPENSSH PRIVATE KEY-----\n"),
            ("var/age.txt", "# created\nAGE-SECRET-KEY-1XX\n"),
            ("etc/wpa.conf", "network={\npsk=\"x\"\n}"),
            ("etc/wpa.conf", "network={\n\tssid=\"x\"\n\tpsk=\"x\"\n}"),
            ("etc/wpa.conf", "network={\n    sae_password = \"x\"\r\n}"),
            ("etc/first", "Passphrase=x"),
            ("srv/app.ENV", ""),
            ("etc/passwords/admin", ""),
            ("etc/ssh/id_ed25519", ""),
            ("srv/api-token", ""),
        ] {
            let expected =
                format!("every user of the host can read a file of --files that looks secret: {path}");
            assert_eq!(text(&[file(path, 0o644, content)]), Some(expected));
            assert_eq!(text(&[file(path, 0o640, content)]), None, "{path}");
            let folder = |mode| PayloadEntry {
                kind: EntryKind::Folder,
                ..file(path.split('/').next().unwrap(), mode, "")
            };
            assert_eq!(text(&[folder(0o750), file(path, 0o644, content)]), None, "{path}");
            assert!(text(&[folder(0o751), file(path, 0o644, content)]).is_some(), "{path}");
        }
        let many = ["a.env", "b.env", "c.env", "d.env"].map(|path| file(path, 0o644, ""));
        let found = text(&many).unwrap();
        assert!(
            found.ends_with("4 files of --files that look secret: a.env, b.env, c.env and 1 more"),
            "{found}"
        );
    }

    #[test]
    fn other_files_are_not() {
        for (path, content) in [
            ("etc/ssh/authorized_keys.d/admin", "ssh-ed25519 AAAA x"),
            ("etc/ssh/id_ed25519.pub", "ssh-ed25519 AAAA x"),
            ("etc/motd", "hello"),
            ("etc/wpa.conf", "# no psk=here"),
            ("etc/wpa.conf", "network={\n\tpsk=ext:home\n\t#psk=\"x\"\n}"),
            ("etc/wpa.conf", "psk=\n"),
        ] {
            assert_eq!(text(&[file(path, 0o644, content)]), None, "{path}");
        }
    }
}
