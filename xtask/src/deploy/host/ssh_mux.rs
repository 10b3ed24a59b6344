//! A shared ssh connection (`ControlMaster`) for all commands until a host is changed, so that each needs no handshake.

use std::fs::{self, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::first_contact;
use super::options::{BATCH_MODE, COMPRESSION, RARE_KEEPALIVE, owned_options};
use super::query::PROBE_TIMEOUT;
use super::ssh_errors::connection_error;
use crate::bail;
use crate::base::failure::{ExitKind, kind};
use crate::base::process::{Background, Bounds, Launcher};
use crate::base::{Context, bounded, interrupt, percent_encoding, ssh_path, state};
use crate::deploy::target::{Connection, Target};

/// The longest path of a socket, in bytes: `sockaddr_un` has 108, and ssh temporarily appends to the path.
const MAX_SOCKET_PATH: usize = 90;

/// The largest log of ssh that is read, in bytes.
pub(super) const MAX_LOG: u64 = 1 << 20;

/// The interval between two looks for the socket.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Overrides of user settings with which ssh would outlive this process, or take a port that the next ssh needs.
const OVERRIDES: &[&str] = &["-o", "ControlPersist=no", "-o", "ClearAllForwardings=yes"];

/// A master connection in the background, which ends when this is dropped.
#[derive(Debug)]
pub struct SshMux {
    socket: PathBuf,
    /// The log of ssh, apart from what the host prints.
    log: PathBuf,
    /// The ssh that runs `cat` on the host. The stdin of `cat` ends with this process at the latest, and then `cat` and
    /// ssh end too.
    master: Background,
}

impl SshMux {
    /// Starts a master connection to `target` with a socket in the state folder; `None` if that fails. It is compressed
    /// unless it `carries_copies`.
    pub fn of(cx: &Context, target: &Target, carries_copies: bool) -> Option<Self> {
        let name = percent_encoding::encode(target.host.as_bytes(), b"");
        let mut connection = target.connection.clone();
        if !carries_copies {
            connection.options.extend(owned_options(COMPRESSION));
        }
        connection.options.extend(first_contact::timeout_options());
        connection.options.extend(owned_options(RARE_KEEPALIVE));
        Self::open(&cx.launcher, &connection, cx.state.join("ssh").join(name))
    }

    /// Starts a master connection with its socket at `socket`; `None` if that fails. The master asks the user nothing,
    /// and the tool does not wait for it: as long as the connection does not exist, each ssh connects on its own.
    pub fn open(launcher: &Launcher, connection: &Connection, socket: PathBuf) -> Option<Self> {
        if !is_plain_path(&socket) {
            return None;
        }
        state::create_private_folder(socket.parent()?).ok()?;
        let log = log_beside(&socket);
        // What a killed run left behind.
        for file in [&socket, &log] {
            let _ = fs::remove_file(file);
        }
        let silent = OpenOptions::new().write(true).open("/dev/null").ok()?;
        let path = control_path(&socket);
        let log_path = log.display().to_string();
        let control = ["-o", "ControlMaster=yes", "-o", path.as_str(), "-E", &log_path];
        let options = owned_options(&[&control[..], OVERRIDES, BATCH_MODE].concat());
        let args = connection.arguments(options, "cat");
        // Ctrl-C would end what others run over it, such as an activation.
        let master = launcher.start_apart("ssh", &args, silent).ok()?;
        Some(Self { socket, log, master })
    }

    /// Waits until commands can share the connection to `target`.
    ///
    /// # Errors
    /// Those of [`connection_error`], and `Interrupted` if the user stops the wait.
    pub fn wait(&self, target: &Target) -> Result<()> {
        let signals = interrupt::guard()?;
        let begin = Instant::now();
        while !self.socket.exists() {
            if signals.is_stop_requested() {
                bail!(Interrupted, "stopped while querying {}", target.host);
            }
            if self.master.has_ended() || begin.elapsed() > PROBE_TIMEOUT {
                let log = bounded::read(&self.log, MAX_LOG, bounded::Links::Refuse).unwrap_or_default();
                let log = String::from_utf8_lossy(&log);
                return Err(connection_error(&target.host, &target.connection, &log, ""));
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    /// Whether a command can run over the connection now.
    ///
    /// An sshd with `MaxSessions 1` has room only for the master's own session. ssh then connects on its own, which
    /// Nix does not expect in the middle of a copy.
    ///
    /// # Errors
    /// `Interrupted` if the user stops the check.
    pub fn is_usable(&self, launcher: &Launcher, connection: &Connection) -> Result<bool> {
        // Keeps ssh from connecting on its own. After a `-J` of the node, ssh ignores this option.
        let mut mux_only = connection.clone();
        mux_only.options.extend(["-o", "ProxyCommand=false"].map(str::to_owned));
        let options = [self.options(), owned_options(BATCH_MODE)].concat();
        let args = mux_only.arguments(options, "true");
        let signals = interrupt::guard()?;
        let bounds = Bounds { output: 1 << 20, time: PROBE_TIMEOUT };
        match launcher.run_bounded("ssh", &args, bounds, &|| signals.check()) {
            // A connection that exceeds the bounds is not usable either.
            Err(error) if kind(&error) == ExitKind::Verification => Ok(false),
            output => Ok(output?.success()),
        }
    }

    /// Lets no other command share the connection. It ends with the commands that still use it, and at the latest when
    /// this is dropped.
    pub fn close(&mut self) {
        let _ = fs::remove_file(&self.socket);
        self.master.close_stdin();
    }

    /// Like [`Self::close`], but the commands that use the connection keep it, even after this process.
    pub fn leave(mut self) {
        self.close();
        self.master.leave();
    }

    /// The options with which ssh uses the connection.
    pub fn options(&self) -> Vec<String> {
        vec!["-o".into(), "ControlMaster=no".into(), "-o".into(), control_path(&self.socket)]
    }
}

/// Whether ssh and Nix take the path as one literal word, and the kernel accepts its length.
pub(super) fn is_plain_path(socket: &Path) -> bool {
    let bytes = socket.as_os_str().as_bytes();
    let is_plain =
        |byte: &u8| !byte.is_ascii() || byte.is_ascii_alphanumeric() || b"/._-+=:@%,".contains(byte);
    bytes.len() <= MAX_SOCKET_PATH && bytes.iter().all(is_plain)
}

/// The file for the log of ssh. No socket has such a name: that of a host has two hexadecimal digits behind each `%`.
fn log_beside(socket: &Path) -> PathBuf {
    let mut name = socket.as_os_str().to_owned();
    name.push("%log");
    name.into()
}

/// The setting of ssh for the path of the socket.
pub(super) fn control_path(socket: &Path) -> String {
    format!("ControlPath={}", ssh_path(socket))
}

impl Drop for SshMux {
    fn drop(&mut self) {
        for file in [&self.socket, &self.log] {
            let _ = fs::remove_file(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_socket_must_be_short_and_plain() {
        for (path, expected) in [
            ("/home/me/pi/.xtask/ssh/stinky".to_owned(), true),
            ("/home/zoë/pi/.xtask/ssh/a%20b".to_owned(), true),
            ("/home/my pis/.xtask/ssh/stinky".to_owned(), false),
            ("/home/o'neill/.xtask/ssh/stinky".to_owned(), false),
            ("/home/${USER}/.xtask/ssh/stinky".to_owned(), false),
            (format!("/{}", "a".repeat(MAX_SOCKET_PATH - 1)), true),
            (format!("/{}", "a".repeat(MAX_SOCKET_PATH)), false),
        ] {
            assert_eq!(is_plain_path(Path::new(&path)), expected, "{path}");
        }
    }
}
