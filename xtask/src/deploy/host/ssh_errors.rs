//! Why there is no connection, by the words of ssh.

use super::excerpt::brief;
use crate::base::failure::Kind;
use crate::deploy::desired::Connection;

/// Why ssh gave up, by its words (OpenSSH 8.4 to 10.0; ssh has one exit code for everything).
pub fn failure(host: &str, connection: &Connection, stderr: &str) -> anyhow::Error {
    let (has, destination) = (|text: &str| stderr.contains(text), &connection.destination);
    if has("REMOTE HOST IDENTIFICATION HAS CHANGED") {
        Kind::HostKey.error(changed_key(host, connection, stderr))
    } else if has("Host key verification failed") || has("host key is known for") {
        Kind::HostKey.error(format!(
            "the host key of {host} is not known here: compare it with the host's own, then accept it once with \
             `ssh {destination}`"
        ))
    } else if has("Permission denied (") {
        Kind::Permission.error(format!("{destination} refuses the login: {}", last_line(stderr)))
    } else {
        Kind::Unreachable.error(format!(
            "{host} cannot be reached as {destination}: {}\n  is it switched on and on this network, and is \
             its hostname in the flake right?",
            last_line(stderr)
        ))
    }
}

fn changed_key(host: &str, connection: &Connection, stderr: &str) -> String {
    let fingerprint = stderr.split_whitespace().find(|word| word.starts_with("SHA256:"));
    let fingerprint = brief(fingerprint.map_or("which ssh does not show", |word| word.trim_end_matches('.')));
    let offending =
        stderr.lines().find(|line| line.starts_with("Offending")).unwrap_or("it is in known_hosts");
    format!(
        "{host} answers with a host key that is not the one known for it ({fingerprint})\n  {}\n  the known key: {}",
        remedies(host, connection),
        brief(offending.trim())
    )
}

/// A pinned key came with the card: another one means another card, or another machine.
fn remedies(host: &str, Connection { destination, pin, .. }: &Connection) -> String {
    let name = destination.rsplit('@').next().unwrap_or(destination);
    match pin {
        Some(_) => format!(
            "either someone re-flashed it without this project's key: then flash it again with `cargo xtask flash \
             {host}`, which puts the key back\n  \
             or this is not your host, and another machine answers at {name}: then do not deploy to it"
        ),
        None => format!(
            "either its card was flashed again with new keys: then `ssh-keygen -R {name}` and accept the new key \
             with `ssh {destination}`\n  \
             or another machine answers at that address: then do not deploy to it"
        ),
    }
}

fn last_line(text: &str) -> String {
    brief(text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("ssh gives no reason"))
}

#[cfg(test)]
mod tests {
    use super::super::options::tests::{connection, pinned};
    use super::*;
    use crate::base::failure::kind;

    #[test]
    fn reasons() {
        let changed = "@@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n@@@@\n\
            The fingerprint for the ED25519 key sent by the remote host is\nSHA256:abc.\n\
            Offending ED25519 key in /root/.ssh/known_hosts:3\nHost key verification failed.\n";
        let (known, pin) = (connection(&[]), pinned(&[]));
        for (stderr, expected, words) in [
            (changed, Kind::HostKey, "(SHA256:abc)\n  either its card was flashed again"),
            (changed, Kind::HostKey, "the known key: Offending ED25519 key in /root/.ssh/known_hosts:3"),
            ("Host key verification failed.\r\n", Kind::HostKey, "accept it once with `ssh root@pi`"),
            (
                "root@pi: Permission denied (publickey).",
                Kind::Permission,
                "refuses the login: root@pi: Permission denied (publickey).",
            ),
            (
                "ssh: connect to host pi port 22: Connection refused\r\n",
                Kind::Unreachable,
                "cannot be reached as root@pi: ssh: connect to host pi port 22: Connection refused\n  is it",
            ),
            ("", Kind::Unreachable, "ssh gives no reason"),
        ] {
            let error = failure("stinky", &known, stderr);
            assert_eq!(kind(&error), expected, "{stderr}");
            assert!(error.to_string().contains(words), "{error}");
        }
        for begin in ["", "REMOTE HOST IDENTIFICATION HAS CHANGED SHA256:", "Permission denied ("] {
            let endless = format!("{begin}{0}\nOffending {0}\n{0}", "x".repeat(1 << 20));
            assert!(failure("stinky", &known, &endless).to_string().len() < 4096, "{begin}");
        }
        let error = failure("stinky", &pin, changed).to_string();
        for words in
            ["either someone re-flashed it", "or this is not your host, and another machine answers at pi"]
        {
            assert!(error.contains(words), "{error}");
        }
    }
}
