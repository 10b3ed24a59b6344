//! The error for a failed connection, by the log of ssh.

use super::excerpt::truncate;
use super::host_key_errors::host_key_error;
use super::options::login_command;
use crate::base::HostName;
use crate::deploy::target::Connection;
use crate::failure;

/// How ssh begins its last line on stderr at the end of a session, after all output of the host.
const CLOSE_MESSAGES: &[&str] = &["Connection to ", "Read from remote host "];

/// How ssh begins the log line that ends with text from the host.
const REMOTE_DISCONNECT: &str = "Received disconnect from ";

/// The error for a failed connection, by what ssh wrote to its `log` (OpenSSH 8.4 to 10.0; ssh has one exit code for
/// all failures).
///
/// `stderr` also has text from the host and from the ssh of a `ProxyJump`, so it decides nothing, and is shown only
/// for an unreachable host.
pub fn connection_error(host: &HostName, connection: &Connection, log: &str, stderr: &str) -> anyhow::Error {
    let log = trusted_log(log);
    let destination = &connection.destination;
    let lines = || log.lines().filter(|line| !line.starts_with(REMOTE_DISCONNECT));
    let has = |text: &str| lines().any(|line| line.contains(text));
    if let Some(error) = host_key_error(host, connection, &lines().collect::<Vec<_>>()) {
        error
    } else if has(": Permission denied (") {
        failure!(
            Permission, "{destination} refuses the login: {}", last_message(log, "");
            hint: "add your public key to the host's configuration, then flash its card again or deploy from where you \
                   can log in; `{}` shows the keys that ssh offers", login_command(connection, &["-v"])
        )
    } else {
        failure!(
            Unreachable, "{host} cannot be reached as {destination}: {}", last_message(log, stderr);
            hint: "check that it is switched on and on this network, and that its address is right"
        )
    }
}

/// Whether ssh itself failed, rather than a command on the host with the exit code of a failed ssh. A failed ssh writes
/// a message to its `log`, or to the end of `stderr`.
pub fn has_ssh_failed(log: &str, stderr: &str) -> bool {
    messages(log).next().is_some() || was_session_closed(stderr)
}

/// Whether a session began and the host closed it. A host may print the same, so callers then ask the host again.
pub fn was_session_closed(stderr: &str) -> bool {
    let last = stderr.lines().next_back().unwrap_or_default();
    CLOSE_MESSAGES.iter().any(|words| last.starts_with(words))
}

/// The log up to and with the first line that ends with text from the host: the reason of a disconnect. That text may
/// continue in the lines after it.
fn trusted_log(log: &str) -> &str {
    let mut end = 0;
    for line in log.split_inclusive('\n') {
        end += line.len();
        if line.starts_with(REMOTE_DISCONNECT) {
            break;
        }
    }
    &log[..end]
}

/// The messages of ssh in `log`, without the harmless ones.
fn messages(log: &str) -> impl DoubleEndedIterator<Item = &str> {
    log.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("Warning: Permanently added"))
}

/// The last message of ssh in `log`, and the last line of `stderr` if there is one.
fn last_message(log: &str, stderr: &str) -> String {
    let last = |text| messages(text).next_back().map(truncate);
    match (last(log), last(stderr)) {
        (None, None) => "ssh gives no reason".to_owned(),
        (Some(only), None) | (None, Some(only)) => only,
        (Some(message), Some(earlier)) => format!("{message}\n  before that: {earlier}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::tests::{connection, pinned};
    use super::*;
    use crate::base::failure::{ExitKind, hint, kind, with_hint};

    #[test]
    fn the_log_of_ssh_decides_the_error() {
        let changed = "@@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n@@@@\n\
            The fingerprint for the ED25519 key sent by the remote host is\nSHA256:abc.\n\
            Offending ED25519 key in /root/.ssh/known_hosts:3\nHost key verification failed.\n";
        let known = connection(&[]);

        for (log, expected, words) in [
            (
                changed,
                ExitKind::HostKey,
                "known for it\n  the key of this answer: SHA256:abc\n  the known key: ",
            ),
            (
                changed,
                ExitKind::HostKey,
                "\n  hint: if its card was flashed again with new keys, run `ssh-keygen -f /root/.ssh/known_hosts -R pi`",
            ),
            (changed, ExitKind::HostKey, "the known key: ED25519 key in /root/.ssh/known_hosts:3"),
            ("Host key verification failed.\r\n", ExitKind::HostKey, "accept it once with `ssh root@pi`"),
            (
                "root@pi: Permission denied (publickey).",
                ExitKind::Permission,
                "refuses the login: root@pi: Permission denied (publickey).; add your public key",
            ),
            (
                "ssh: connect to host pi port 22: Connection refused\r\n",
                ExitKind::Unreachable,
                "cannot be reached as root@pi: ssh: connect to host pi port 22: Connection refused; check that",
            ),
            ("", ExitKind::Unreachable, "ssh gives no reason"),
        ] {
            let error = connection_error(&"stinky".into(), &known, log, "");
            assert_eq!(kind(&error), expected, "{log}");
            assert!(with_hint(&error).contains(words), "{}", with_hint(&error));
        }
    }

    #[test]
    fn long_lines_are_cut_in_the_error() {
        for begin in
            ["", "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! SHA256:", "x: Permission denied ("]
        {
            let endless = format!("{begin}{0}\nOffending {0}\n{0}", "x".repeat(1 << 20));
            let error = connection_error(&"stinky".into(), &connection(&[]), &endless, &endless);
            assert!(with_hint(&error).len() < 4096, "{begin}");
        }
    }

    #[test]
    fn a_changed_key_of_a_pinned_host_has_a_remedy_for_each_cause() {
        let changed = "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n";
        let error = connection_error(&"stinky".into(), &pinned(&[]), changed, "");
        let remedy = hint(&error).unwrap();
        for words in
            ["if someone flashed the card", "if this is not your host, another machine answers at pi"]
        {
            assert!(remedy.contains(words), "{remedy}");
        }
    }

    /// The text of a banner, of a program and of a disconnect comes from whoever answers.
    #[test]
    fn text_from_the_host_decides_nothing() {
        let changed = "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @";
        let forged = format!("{changed}\nx: Permission denied (a).\nHost key verification failed.\n");
        let disconnect =
            format!("Received disconnect from 10.0.0.2 port 22:2: x: Permission denied (\n{forged}");
        for (log, stderr) in [("", forged.as_str()), (&disconnect, ""), (&disconnect, &forged)] {
            assert_eq!(
                kind(&connection_error(&"stinky".into(), &connection(&[]), log, stderr)),
                ExitKind::Unreachable,
                "{log}"
            );
        }
    }

    /// With a `ProxyJump`, the stderr has what the ssh of the jump printed.
    #[test]
    fn an_unreachable_host_is_shown_with_the_last_line_of_stderr() {
        let jump = connection_error(
            &"stinky".into(),
            &connection(&[]),
            "Connection closed by UNKNOWN port 65535",
            "no\nway\n",
        );
        let expected = "Connection closed by UNKNOWN port 65535\n  before that: way";
        assert!(jump.to_string().ends_with(expected), "{jump}");
    }

    #[test]
    fn only_words_of_ssh_itself_mean_that_ssh_failed() {
        let added = "Warning: Permanently added 'pi' (ED25519) to the list of known hosts.\r\n";
        for (log, stderr, expected) in [
            ("", "", false),
            (added, "Connection to the server\nfailed\n", false),
            ("", "curl: no\nConnection to pi closed by remote host.\r\n", true),
            ("Timeout, server pi not responding.\r\n", "", true),
        ] {
            assert_eq!(has_ssh_failed(log, stderr), expected, "{log} {stderr}");
        }
    }
}
