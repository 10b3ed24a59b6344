//! Connections to the host: fresh ones unless a line is shared, no waiting for ever, and errors told apart.

use std::fs::File;
use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::Result;
use rustix::process::Signal;

use super::line::Line;
use crate::deploy::meant::Connection;
use crate::failure::{Kind, kind};
use crate::interrupt;
use crate::process::{Background, Launcher, Output};

/// ssh takes the first value it is given for an option: these come before those of the node.
const FRESH: [&str; 4] = ["-o", "ControlMaster=no", "-o", "ControlPath=none"];
/// Without a terminal nobody can answer a question.
pub const UNATTENDED: [&str; 2] = ["-o", "BatchMode=yes"];
/// How long a dead link is waited for: these come behind the options of the node, which may differ.
const PATIENCE: [&str; 6] =
    ["-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"];

/// The host's own key as this project knows it: no other is accepted, whatever the user's own files say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The project's file of known hosts.
    pub file: PathBuf,
    /// The name of the host in that file, whatever its address is today.
    pub alias: String,
}

impl Pin {
    fn options(&self) -> Vec<String> {
        let values = [
            format!("UserKnownHostsFile={}", self.file.display()),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
            format!("HostKeyAlias={}", self.alias),
            "StrictHostKeyChecking=yes".to_owned(),
        ];
        values.into_iter().flat_map(|value| ["-o".to_owned(), value]).collect()
    }
}

/// The exit code of ssh itself, as opposed to that of the command on the host.
const SSH_FAILED: i32 = 255;

/// The host as commands are run on it.
pub struct Remote<'a> {
    launcher: &'a Launcher,
    host: &'a str,
    connection: &'a Connection,
    line: Option<&'a Line>,
}

impl<'a> Remote<'a> {
    pub fn new(launcher: &'a Launcher, host: &'a str, connection: &'a Connection) -> Self {
        Self { launcher, host, connection, line: None }
    }

    /// The same, and what is asked goes over `line`, if there is one.
    #[must_use]
    pub fn over(self, line: Option<&'a Line>) -> Self {
        Self { line, ..self }
    }

    /// Starts `command` and keeps it running in the background. `options` come first; what ssh says goes to `log`.
    pub fn start(&self, options: &[String], command: &str, log: File) -> Result<Background> {
        let args = self.arguments(options.to_vec(), command);
        self.launcher.start("ssh", &args, log)
    }

    /// Runs `command`, on a connection of its own unless there is a line, and returns its stdout. Its stdin is empty; ssh may
    /// ask on the terminal, if there is one.
    ///
    /// # Errors
    /// `HostKey`, `Permission` or `Unreachable` where there was no connection, `Undecided` where the
    /// command failed on the host.
    pub fn run(&self, command: &str) -> Result<String> {
        let output = self.attempt(command)?;
        match output.code {
            0 => Ok(output.stdout),
            code => {
                let said = output.stderr.trim();
                Err(Kind::Undecided.error(format!("{} answered with exit code {code}: {said}", self.host)))
            }
        }
    }

    /// Like [`Self::run`], and that the command fails is no error. `Interrupted` where the user stops it; what is asked
    /// after that is to tell how things stand, and goes on unless ssh itself is stopped once more.
    pub fn attempt(&self, command: &str) -> Result<Output> {
        let args = self.arguments(self.first_options(std::io::stdin().is_terminal()), command);
        let hold = interrupt::hold()?;
        let output =
            if hold.requested() { self.launcher.capture("ssh", &args)? } else { self.stoppable(&args)? };
        match output.code {
            _ if hold.requested() && was_stopped(&output) => Err(self.stopped()),
            SSH_FAILED => Err(failure(self.host, self.connection, &output.stderr)),
            _ => Ok(output),
        }
    }

    fn stoppable(&self, args: &[String]) -> Result<Output> {
        let mut stderr = String::new();
        let ended = self.launcher.follow("ssh", args, |line| stderr.extend([line, "\n"]));
        match ended {
            Err(error) if kind(&error) == Kind::Interrupted => Err(self.stopped()),
            ended => Ok(Output { stderr, ..ended? }),
        }
    }

    fn stopped(&self) -> anyhow::Error {
        Kind::Interrupted.error(format!("stopped while {} was asked", self.host))
    }

    fn first_options(&self, attended: bool) -> Vec<String> {
        let unattended: &[&str] = if attended { &[] } else { &UNATTENDED };
        let shared = self.line.map_or(FRESH.map(str::to_owned), Line::options);
        shared.into_iter().chain(unattended.iter().map(ToString::to_string)).collect()
    }

    fn arguments(&self, mut args: Vec<String>, command: &str) -> Vec<String> {
        args.extend(self.connection.all_options());
        args.extend(["-T", "--", &self.connection.destination, command].map(str::to_owned));
        args
    }
}

/// Whether ssh was ended by the signal of a terminal. Once it is connected it ends with its own exit code, without a word.
fn was_stopped(output: &Output) -> bool {
    let signals = [Signal::HUP, Signal::INT, Signal::TERM];
    let by_signal = signals.iter().any(|signal| output.code == 128 + signal.as_raw());
    by_signal || output.code == SSH_FAILED && output.stderr.trim().is_empty()
}

impl Connection {
    /// The options for every ssh: the pinned key, then what the node asks for, then patience.
    fn all_options(&self) -> Vec<String> {
        let pin = self.pin.as_ref().map(Pin::options).unwrap_or_default();
        let patience = PATIENCE.map(str::to_owned);
        pin.into_iter().chain(self.options.iter().cloned()).chain(patience).collect()
    }
}

/// The options in one line for Nix, which splits it as a shell does.
pub fn words(connection: &Connection, line: Option<&Line>) -> String {
    let shared = line.map(Line::options).into_iter().flatten();
    let options = shared.chain(connection.all_options()).collect::<Vec<_>>();
    options.iter().map(|option| quoted(option)).collect::<Vec<_>>().join(" ")
}

/// The options in one line, as deploy-rs splits it at each space. `None` where one of them has a space
/// in it: deploy-rs then takes the node's own.
///
/// # Errors
/// Refused where that would leave a pinned key out.
pub fn whole(host: &str, connection: &Connection) -> Result<Option<String>> {
    let options = connection.all_options();
    match options.iter().find(|option| option.is_empty() || option.contains(' ')) {
        None => Ok(Some(options.join(" "))),
        Some(option) if connection.pin.is_some() => Err(Kind::Refused.error(format!(
            "the key of {host} is pinned, and deploy-rs would split `{option}` at its spaces: put that option into \
             ~/.ssh/config, or name a state folder without spaces in XTASK_STATE"
        ))),
        Some(_) => Ok(None),
    }
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
fn failure(host: &str, connection: &Connection, stderr: &str) -> anyhow::Error {
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
    let fingerprint = fingerprint.map_or("which ssh does not show", |word| word.trim_end_matches('.'));
    let offending =
        stderr.lines().find(|line| line.starts_with("Offending")).unwrap_or("it is in known_hosts");
    format!(
        "{host} answers with a host key that is not the one known for it ({fingerprint})\n  {}\n  the known key: {}",
        remedies(host, connection),
        offending.trim()
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

fn last_line(text: &str) -> &str {
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("ssh gives no reason")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(options: &[&str]) -> Connection {
        let options = options.iter().map(ToString::to_string).collect();
        Connection { destination: "root@pi".into(), options, pin: None }
    }

    fn pinned(options: &[&str]) -> Connection {
        let pin = Pin { file: "/s/known_hosts".into(), alias: "stinky".into() };
        Connection { pin: Some(pin), ..connection(options) }
    }

    #[test]
    fn the_node_decides_what_is_not_a_matter_of_truth() {
        let launcher = Launcher::new("/");
        let fresh = "-o ControlMaster=no -o ControlPath=none";
        let rest = "-p 2222 -o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3 -T -- root@pi true";
        let pin = "-o UserKnownHostsFile=/s/known_hosts -o GlobalKnownHostsFile=/dev/null -o HostKeyAlias=stinky \
                   -o StrictHostKeyChecking=yes";
        let batch = "-o BatchMode=yes";
        for (connection, attended, expected) in [
            (connection(&["-p", "2222"]), false, format!("{fresh} {batch} {rest}")),
            (connection(&["-p", "2222"]), true, format!("{fresh} {rest}")),
            (pinned(&["-p", "2222"]), false, format!("{fresh} {batch} {pin} {rest}")),
        ] {
            let remote = Remote::new(&launcher, "stinky", &connection);
            assert_eq!(remote.arguments(remote.first_options(attended), "true").join(" "), expected);
        }
    }

    #[test]
    fn options_that_deploy_rs_would_break() {
        let expected = "-p 22 -o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3";
        assert_eq!(whole("h", &connection(&["-p", "22"])).unwrap().as_deref(), Some(expected));
        assert_eq!(whole("h", &connection(&["-o", "ProxyCommand=a b"])).unwrap(), None);
        let options = whole("h", &pinned(&["-p", "22"])).unwrap().unwrap();
        assert!(options.starts_with("-o UserKnownHostsFile=/s/known_hosts -o Global"), "{options}");
        let error = whole("h", &pinned(&["-o", "ProxyCommand=a b"])).unwrap_err();
        let expected = "the key of h is pinned, and deploy-rs would split `ProxyCommand=a b` at its spaces: put \
                        that option into ~/.ssh/config, or name a state folder without spaces in XTASK_STATE";
        assert_eq!((kind(&error), error.to_string().as_str()), (Kind::Refused, expected));
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
        let error = failure("stinky", &pin, changed).to_string();
        for words in
            ["either someone re-flashed it", "or this is not your host, and another machine answers at pi"]
        {
            assert!(error.contains(words), "{error}");
        }
    }
}
