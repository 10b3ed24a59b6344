//! Fresh connections to the host: no shared socket, no waiting for ever, and errors told apart.

use std::io::IsTerminal;

use anyhow::Result;

use super::target::Connection;
use crate::failure::Kind;
use crate::process::Launcher;

/// ssh takes the first value it is given for an option: these come before those of the node.
const FRESH: [&str; 4] = ["-o", "ControlMaster=no", "-o", "ControlPath=none"];
/// Without a terminal nobody can answer a question.
const UNATTENDED: [&str; 2] = ["-o", "BatchMode=yes"];
/// How long a dead link is waited for: these come behind the options of the node, which may differ.
const PATIENCE: [&str; 6] =
    ["-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"];

/// The exit code of ssh itself, as opposed to that of the command on the host.
const SSH_FAILED: i32 = 255;

/// The host as commands are run on it.
pub struct Remote<'a> {
    launcher: &'a Launcher,
    host: &'a str,
    connection: &'a Connection,
}

impl<'a> Remote<'a> {
    pub fn new(launcher: &'a Launcher, host: &'a str, connection: &'a Connection) -> Self {
        Self { launcher, host, connection }
    }

    /// Runs `command` on a connection of its own and returns its stdout. Its stdin is empty; ssh may
    /// ask on the terminal, if there is one.
    ///
    /// # Errors
    /// `HostKey`, `Permission` or `Unreachable` where there was no connection, `Undecided` where the
    /// command failed on the host.
    pub fn run(&self, command: &str) -> Result<String> {
        let args = self.arguments(command, std::io::stdin().is_terminal());
        let output = self.launcher.capture("ssh", &args)?;
        match output.code {
            0 => Ok(output.stdout),
            SSH_FAILED => Err(failure(self.host, &self.connection.destination, &output.stderr)),
            code => {
                let said = output.stderr.trim();
                Err(Kind::Undecided.error(format!("{} answered with exit code {code}: {said}", self.host)))
            }
        }
    }

    fn arguments<'b>(&'b self, command: &'b str, attended: bool) -> Vec<&'b str> {
        let unattended: &[&str] = if attended { &[] } else { &UNATTENDED };
        let options = self.connection.options.iter().map(String::as_str);
        let mut args = [&FRESH[..], unattended].concat();
        args.extend(options);
        args.extend(PATIENCE);
        args.extend(["-T", "--", &self.connection.destination, command]);
        args
    }
}

/// The options that keep deploy-rs's own connections from hanging on a dead link, behind those of
/// the node. `None` where one of these has a space in it, at which deploy-rs would split it.
pub fn patient(connection: &Connection) -> Option<String> {
    let options = connection.options.iter().map(String::as_str).chain(PATIENCE);
    let whole = connection.options.iter().all(|option| !option.is_empty() && !option.contains(' '));
    whole.then(|| options.collect::<Vec<_>>().join(" "))
}

/// `word` as one word of the command line of a POSIX shell or fish.
pub fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=:@%,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Why ssh gave up, by its words (OpenSSH 8.4 to 10.0; ssh has one exit code for everything).
fn failure(host: &str, destination: &str, stderr: &str) -> anyhow::Error {
    let has = |text: &str| stderr.contains(text);
    if has("REMOTE HOST IDENTIFICATION HAS CHANGED") {
        Kind::HostKey.error(changed_key(host, destination, stderr))
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

fn changed_key(host: &str, destination: &str, stderr: &str) -> String {
    let fingerprint = stderr.split_whitespace().find(|word| word.starts_with("SHA256:"));
    let fingerprint = fingerprint.map_or("which ssh does not show", |word| word.trim_end_matches('.'));
    let name = destination.rsplit('@').next().unwrap_or(destination);
    let offending =
        stderr.lines().find(|line| line.starts_with("Offending")).unwrap_or("it is in known_hosts");
    format!(
        "{host} answers with a host key that is not the one known for it ({fingerprint})\n  \
         either its card was flashed again with new keys: then `ssh-keygen -R {name}` and accept the new key \
         with `ssh {destination}`\n  \
         or another machine answers at that address: then do not deploy to it\n  \
         the known key: {}",
        offending.trim()
    )
}

fn last_line(text: &str) -> &str {
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("ssh gives no reason")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::kind;

    fn connection(options: &[&str]) -> Connection {
        let options = options.iter().map(ToString::to_string).collect();
        Connection { destination: "root@pi".into(), options }
    }

    #[test]
    fn the_node_decides_what_is_not_a_matter_of_truth() {
        let (launcher, connection) = (Launcher::new("/"), connection(&["-p", "2222"]));
        let remote = Remote::new(&launcher, "stinky", &connection);
        let expected = "-o ControlMaster=no -o ControlPath=none -o BatchMode=yes -p 2222 -o ConnectTimeout=10 \
                        -o ServerAliveInterval=5 -o ServerAliveCountMax=3 -T -- root@pi true";
        assert_eq!(remote.arguments("true", false).join(" "), expected);
        assert_eq!(remote.arguments("true", true).join(" "), expected.replace("-o BatchMode=yes ", ""));
    }

    #[test]
    fn options_that_deploy_rs_would_break_are_left_alone() {
        let expected =
            "-p 22 -o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3".to_owned();
        assert_eq!(patient(&connection(&["-p", "22"])), Some(expected));
        assert_eq!(patient(&connection(&["-o", "ProxyCommand=a b"])), None);
    }

    #[test]
    fn words() {
        for (word, expected) in
            [("/tmp", "/tmp"), ("", "''"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("a;b", "'a;b'")]
        {
            assert_eq!(quoted(word), expected);
        }
    }

    #[test]
    fn reasons() {
        let changed = "@@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n@@@@\n\
            The fingerprint for the ED25519 key sent by the remote host is\nSHA256:abc.\n\
            Offending ED25519 key in /root/.ssh/known_hosts:3\nHost key verification failed.\n";
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
            let error = failure("stinky", "root@pi", stderr);
            assert_eq!(kind(&error), expected, "{stderr}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
