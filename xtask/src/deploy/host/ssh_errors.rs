//! Why there is no connection, by the words of ssh.

use super::excerpt::brief;
use crate::base::failure::ExitKind;
use crate::deploy::target::Connection;

/// How ssh begins what it says to the user at the end of a session, behind all that the host said.
const PARTING: [&str; 2] = ["Connection to ", "Read from remote host "];

/// How the line of a log begins that ends with the words of a host.
const FOREIGN: &str = "Received disconnect from ";

/// Why ssh gave up, by its words in its `log` (OpenSSH 8.4 to 10.0; ssh has one exit code for everything). On `stderr`
/// the host has words too, and so has the ssh that leads there (`ProxyJump`): they are shown, and decide nothing.
pub fn failure(host: &str, connection: &Connection, log: &str, stderr: &str) -> anyhow::Error {
    let (log, destination) = (own_words(log), &connection.destination);
    let lines = || log.lines().filter(|line| !line.starts_with(FOREIGN));
    let begins = |text: &str| lines().any(|line| line.starts_with(text));
    let has = |text: &str| lines().any(|line| line.contains(text));
    if begins("@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!") {
        ExitKind::HostKey.error(changed_key(host, connection, log))
    } else if begins("Host key verification failed") || has("host key is known for") {
        ExitKind::HostKey.error(format!(
            "the host key of {host} is not known here: compare it with the host's own, then accept it once with \
             `ssh {destination}`"
        ))
    } else if has(": Permission denied (") {
        ExitKind::Permission.error(format!("{destination} refuses the login: {}", reason(log, "")))
    } else {
        ExitKind::Unreachable.error(format!(
            "{host} cannot be reached as {destination}: {}\n  is it switched on and on this network, and is \
             its hostname in the flake right?",
            reason(log, stderr)
        ))
    }
}

/// Whether ssh itself gave up, and not the command on the host with the exit code that ssh has for that.
pub fn lost(log: &str, stderr: &str) -> bool {
    let last = stderr.lines().next_back().unwrap_or_default();
    complaints(log).next().is_some() || PARTING.iter().any(|words| last.starts_with(words))
}

/// The log as far as it holds nothing that a host words: the reason why it ends the connection is its own.
fn own_words(log: &str) -> &str {
    let at = log.match_indices(FOREIGN).map(|(at, _)| at).find(|at| *at == 0 || log[..*at].ends_with('\n'));
    at.map_or(log, |at| {
        let line = log[at..].find('\n').map_or(log.len(), |end| at + end);
        &log[..line]
    })
}

/// What ssh says in `log` beside what it only mentions.
fn complaints(log: &str) -> impl DoubleEndedIterator<Item = &str> {
    log.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("Warning: Permanently added"))
}

fn changed_key(host: &str, connection: &Connection, log: &str) -> String {
    let fingerprint = log.split_whitespace().find(|word| word.starts_with("SHA256:"));
    let fingerprint = brief(fingerprint.map_or("which ssh does not show", |word| word.trim_end_matches('.')));
    let offending = log.lines().find(|line| line.starts_with("Offending")).unwrap_or("it is in known_hosts");
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

/// The last of what ssh says in its log, and where that is nothing, or not all, the last of `stderr`.
fn reason(log: &str, stderr: &str) -> String {
    let last = |text| complaints(text).next_back().map(brief);
    match (last(log), last(stderr)) {
        (None, None) => "ssh gives no reason".to_owned(),
        (Some(said), None) | (None, Some(said)) => said,
        (Some(said), Some(more)) => format!("{said}\n  before that: {more}"),
    }
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
            (changed, ExitKind::HostKey, "(SHA256:abc)\n  either its card was flashed again"),
            (changed, ExitKind::HostKey, "the known key: Offending ED25519 key in /root/.ssh/known_hosts:3"),
            ("Host key verification failed.\r\n", ExitKind::HostKey, "accept it once with `ssh root@pi`"),
            (
                "root@pi: Permission denied (publickey).",
                ExitKind::Permission,
                "refuses the login: root@pi: Permission denied (publickey).",
            ),
            (
                "ssh: connect to host pi port 22: Connection refused\r\n",
                ExitKind::Unreachable,
                "cannot be reached as root@pi: ssh: connect to host pi port 22: Connection refused\n  is it",
            ),
            ("", ExitKind::Unreachable, "ssh gives no reason"),
        ] {
            let error = failure("stinky", &known, stderr, "");
            assert_eq!(kind(&error), expected, "{stderr}");
            assert!(error.to_string().contains(words), "{error}");
        }
        for begin in
            ["", "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! SHA256:", "x: Permission denied ("]
        {
            let endless = format!("{begin}{0}\nOffending {0}\n{0}", "x".repeat(1 << 20));
            assert!(failure("stinky", &known, &endless, &endless).to_string().len() < 4096, "{begin}");
        }
        let error = failure("stinky", &pin, changed, "").to_string();
        for words in
            ["either someone re-flashed it", "or this is not your host, and another machine answers at pi"]
        {
            assert!(error.contains(words), "{error}");
        }
    }

    /// A banner, a program and the reason of a disconnect are the words of whoever answers.
    #[test]
    fn what_a_host_says_is_no_reason() {
        let changed = "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @";
        let forged = format!("{changed}\nx: Permission denied (a).\nHost key verification failed.\n");
        let disconnect =
            format!("Received disconnect from 10.0.0.2 port 22:2: x: Permission denied (\n{forged}");
        for (log, stderr) in [("", forged.as_str()), (&disconnect, ""), (&disconnect, &forged)] {
            assert_eq!(
                kind(&failure("stinky", &connection(&[]), log, stderr)),
                ExitKind::Unreachable,
                "{log}"
            );
        }
        let jump =
            failure("stinky", &connection(&[]), "Connection closed by UNKNOWN port 65535", "no\nway\n");
        let expected = "Connection closed by UNKNOWN port 65535\n  before that: way\n  is it";
        assert!(jump.to_string().contains(expected), "{jump}");
    }

    #[test]
    fn who_gave_up() {
        let added = "Warning: Permanently added 'pi' (ED25519) to the list of known hosts.\r\n";
        for (log, stderr, expected) in [
            ("", "", false),
            (added, "Connection to the server\nfailed\n", false),
            ("", "curl: no\nConnection to pi closed by remote host.\r\n", true),
            ("Timeout, server pi not responding.\r\n", "", true),
        ] {
            assert_eq!(lost(log, stderr), expected, "{log} {stderr}");
        }
    }
}
