//! Kept connections: those of `status` that ssh keeps open for the next `status` (`ControlPersist`).
//!
//! A kept connection says what the host runs now. It does not say that the host would still accept a login, nor that it
//! still has the host key that is known: that was so when the connection was made. So nothing but `status` uses one.

use std::fs::{self, OpenOptions};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sha2::{Digest, Sha256};

use super::first_contact::{first_contact, first_contact_within};
use super::options::{BATCH_MODE, RARE_KEEPALIVE, owned_options};
use super::query::PROBE_TIMEOUT;
use super::ssh::{Remote, SSH_FAILED};
use super::ssh_mux::{MAX_LOG, POLL_INTERVAL, control_path, is_plain_path};
use crate::base::failure::{ExitKind, kind};
use crate::base::process::{Bounds, Launcher};
use crate::base::{Context, Event, bounded, hex, interrupt, parallel, state};
use crate::deploy::target::Connection;

/// The folder of the sockets in the state folder.
const FOLDER: &str = "kept";

/// The number of hexadecimal digits in the name of a socket.
const NAME_LENGTH: usize = 20;

/// How long a host may take to begin its answer over a kept connection. One that takes longer is asked over a new one.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a host may then take to accept the new connection: together with [`ANSWER_TIMEOUT`] no longer than one
/// without a kept connection.
const TIMEOUT_AFTER_KEPT: Duration = Duration::from_secs(3);

/// The limits of an ssh that talks to no host.
const LOCAL: Bounds = Bounds { output: 1 << 20, time: Duration::from_secs(10) };

/// The limits of an ssh that ends a kept connection. A process that is stopped does not answer.
const END: Bounds = Bounds { time: Duration::from_millis(500), ..LOCAL };

/// How many connections are ended at once.
const MAX_ENDS: usize = 8;

/// Overrides of settings with which an open connection gives a host more than answers to questions.
const OVERRIDES: &[&str] =
    &["-o", "ClearAllForwardings=yes", "-o", "ForwardAgent=no", "-o", "ForwardX11=no", "-o", "Tunnel=no"];

/// The settings of ssh, as `ssh -G` prints them, that name files with host keys.
const KEY_FILES: &[&str] = &["userknownhostsfile ", "globalknownhostsfile ", "revokedhostkeys "];

/// The largest file with host keys whose content is compared, in bytes.
const MAX_KEY_FILE: u64 = 64 << 20;

/// The connections that are kept in a state folder.
#[derive(Clone, Debug)]
pub struct KeptConnections {
    folder: PathBuf,
    /// How long a connection that is made is kept after its last use, in seconds. One that is there keeps its own time.
    seconds: u32,
}

impl KeptConnections {
    /// The connections of the state folder; those that are made are kept for `seconds` after their last use. For 0
    /// seconds all are ended. `None` where none are to be kept, or where none can be, which a warning says.
    pub fn of(cx: &Context, seconds: u32) -> Option<Self> {
        let folder = cx.state.join(FOLDER);
        if seconds == 0 {
            end_all(cx, &folder);
            return None;
        }
        let kept = Self { folder, seconds };
        match kept.check_folder() {
            Ok(()) => Some(kept),
            Err(error) => {
                let text = format!("no connection is kept: {error:#}");
                let hint =
                    "name a state folder with a short path without spaces, on a local disk: `XTASK_STATE`";
                cx.reporter.report(&Event::warning_with_hint(text, hint));
                None
            }
        }
    }

    /// Makes the folder, and a socket in it.
    fn check_folder(&self) -> Result<()> {
        state::create_private_folder(&self.folder)?;
        let longest = self.folder.join("x".repeat(NAME_LENGTH));
        anyhow::ensure!(is_plain_path(&longest), "ssh takes no socket in {}", self.folder.display());
        let socket = self.folder.join(format!("test-{}", std::process::id()));
        let made = UnixListener::bind(&socket);
        let _ = fs::remove_file(&socket);
        made.map(drop).with_context(|| format!("making a socket in {}", self.folder.display()))
    }

    /// Asks the host of `remote` by `ask`: over its kept connection if that answers, else over a new one, which is then
    /// kept.
    ///
    /// # Errors
    /// Those of `ask`.
    pub fn ask<T>(&self, remote: &Remote, ask: impl Fn(&Remote) -> Result<T>) -> Result<T> {
        let Some(socket) = self.socket(remote) else { return first_contact(remote, ask) };
        let open_and_ask = |remote: &Remote| {
            self.open(remote, &socket)?;
            ask(&remote.clone().over(options(&socket), None))
        };
        if !is_open(&socket) {
            let _ = fs::remove_file(&socket);
            return first_contact(remote, open_and_ask);
        }
        match ask(&remote.clone().over(options(&socket), Some(ANSWER_TIMEOUT))) {
            Err(error) if is_lost(&error) => {
                end(remote.launcher, &socket);
                first_contact_within(TIMEOUT_AFTER_KEPT, remote, open_and_ask)
            }
            answer => answer,
        }
    }

    /// The socket for `remote`: of one name for all connections that ssh would make alike. `None` where that is
    /// unknown.
    fn socket(&self, remote: &Remote) -> Option<PathBuf> {
        let args = remote.connection.arguments(vec!["-G".to_owned()], "true");
        let output = remote.launcher.run_bounded("ssh", &args, LOCAL, &|| Ok(())).ok()?;
        let name = output.success().then(|| name(remote.connection, &output.stdout))?;
        Some(self.folder.join(name))
    }

    /// Makes the connection of `socket`, which ssh keeps in the background. ssh may ask the user on the terminal.
    fn open(&self, remote: &Remote, socket: &Path) -> Result<()> {
        let log = socket.with_extension(std::process::id().to_string());
        let opened = self.run_master(remote, socket, &log);
        let text = bounded::read(&log, MAX_LOG, bounded::Links::Refuse).unwrap_or_default();
        let _ = fs::remove_file(&log);
        if opened? { Ok(()) } else { Err(remote.connection_error(&String::from_utf8_lossy(&text), "")) }
    }

    /// Runs the ssh that makes the connection and goes to the background. Returns whether there is a connection.
    ///
    /// Its outputs are no pipes: older versions of ssh keep them open in the background.
    fn run_master(&self, remote: &Remote, socket: &Path, log: &Path) -> Result<bool> {
        let silent = OpenOptions::new().write(true).open("/dev/null").context("opening /dev/null")?;
        let args = remote.arguments(self.master_options(socket, log), "true");
        let signals = interrupt::guard()?;
        let begin = Instant::now();
        let ssh = remote.launcher.start("ssh", &args, silent)?;
        loop {
            match ssh.exit_code() {
                _ if signals.is_stop_requested() => return Err(remote.stopped_error()),
                Some(code) => return Ok(code != SSH_FAILED),
                None if begin.elapsed() > PROBE_TIMEOUT => return Ok(false),
                None => std::thread::sleep(POLL_INTERVAL),
            }
        }
    }

    /// The options of the ssh that makes the connection. Where another run has made the same one meanwhile, ssh uses
    /// that.
    fn master_options(&self, socket: &Path, log: &Path) -> Vec<String> {
        let [path, log] = [control_path(socket), log.display().to_string()];
        let persist = format!("ControlPersist={}", self.seconds);
        let control = ["-o", "ControlMaster=auto", "-o", &path, "-o", &persist, "-n", "-E", &log];
        let is_interactive = std::io::IsTerminal::is_terminal(&std::io::stdin());
        let batch_mode: &[&str] = if is_interactive { &[] } else { BATCH_MODE };
        owned_options(&[&control[..], OVERRIDES, RARE_KEEPALIVE, batch_mode].concat())
    }
}

/// The options with which ssh uses the connection of `socket`.
fn options(socket: &Path) -> Vec<String> {
    vec!["-o".into(), "ControlMaster=no".into(), "-o".into(), control_path(socket)]
}

/// Whether the `error` of a question over a kept connection means that the connection is of no use.
fn is_lost(error: &anyhow::Error) -> bool {
    matches!(kind(error), ExitKind::Unreachable | ExitKind::HostKey | ExitKind::Permission)
}

/// Whether an ssh serves `socket`.
fn is_open(socket: &Path) -> bool {
    UnixStream::connect(socket).is_ok()
}

/// The name of the socket for `connection`, for which `ssh -G` prints `settings`. It is another one wherever ssh is run
/// or configured otherwise, and where other host keys are known. The time for which it is kept does not count: a
/// connection of another time serves as well.
fn name(connection: &Connection, settings: &str) -> String {
    let words = connection.arguments(Vec::new(), "true");
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update(bytes.len().to_be_bytes());
        hash.update(bytes);
    };
    for word in &words {
        add(word.as_bytes());
    }
    add(settings.as_bytes());
    for file in key_files(settings) {
        // A file that is missing or cannot be read has no key for ssh either.
        add(&bounded::read(Path::new(file), MAX_KEY_FILE, bounded::Links::Follow).unwrap_or_default());
    }
    let mut name = hex(&hash.finalize());
    name.truncate(NAME_LENGTH);
    name
}

/// The files with host keys that `settings` name.
fn key_files(settings: &str) -> impl Iterator<Item = &str> {
    let values =
        settings.lines().filter_map(|line| KEY_FILES.iter().find_map(|name| line.strip_prefix(name)));
    values.flat_map(str::split_whitespace)
}

/// Ends the connection of `socket`, if there is one. Returns whether its ssh says so: one that is stopped says nothing,
/// and ends with its time.
fn end(launcher: &Launcher, socket: &Path) -> bool {
    let path = control_path(socket);
    // Of the settings of ssh none counts for this, but ssh wants a host.
    let args = ["-F", "none", "-O", "exit", "-o", &path, "kept"];
    let output = launcher.run_bounded("ssh", &args, END, &|| Ok(()));
    let _ = fs::remove_file(socket);
    output.is_ok_and(|output| output.success())
}

/// Ends all connections of `folder`, and notes how many have ended.
fn end_all(cx: &Context, folder: &Path) {
    let files =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.path()).collect::<Vec<_>>();
    let ends = parallel::map(MAX_ENDS, files, |file| {
        if is_open(&file) {
            return Some(end(&cx.launcher, &file));
        }
        // A socket without an ssh, or the log of a run that was killed.
        let _ = fs::remove_file(file);
        None
    });
    let ends = ends.into_iter().flatten().collect::<Vec<_>>();
    match ends.iter().filter(|has_ended| **has_ended).count() {
        0 => {}
        1 => cx.note("1 kept connection was ended"),
        ended => cx.note(format!("{ended} kept connections were ended")),
    }
    match ends.iter().filter(|has_ended| !**has_ended).count() {
        0 => {}
        1 => cx.warn("1 kept connection does not answer: it ends by itself with its time"),
        left => {
            cx.warn(format!("{left} kept connections do not answer: they end by themselves with their time"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::tests::{connection, pinned};
    use super::*;

    #[test]
    fn each_way_to_connect_has_a_socket_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("known_hosts");
        let settings = format!("user root\nuserknownhostsfile /missing {}\n", file.display());
        fs::write(&file, "pi ssh-ed25519 AAAA\n").unwrap();
        let first = name(&connection(&[]), &settings);
        assert_eq!(first.len(), NAME_LENGTH);
        assert_eq!(name(&connection(&[]), &settings), first);
        let mut others = vec![
            name(&connection(&["-p", "23"]), &settings),
            name(&connection(&["-p23"]), &settings),
            name(&pinned(&[]), &settings),
            name(&connection(&[]), "user root\n"),
        ];
        fs::write(&file, "pi ssh-ed25519 BBBB\n").unwrap();
        others.push(name(&connection(&[]), &settings));
        others.push(first);
        others.sort_unstable();
        others.dedup();
        assert_eq!(others.len(), 6);
    }

    #[test]
    fn fuzz() {
        let settings = "user pi\nuserknownhostsfile /a /b\nrevokedhostkeys none\n";
        crate::base::fuzz::check_text(&[settings], |text| key_files(text).count());
    }
}
