//! One connection for all that is asked before a host is changed, so that not every question costs a handshake.

use std::fs::{self, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::options::UNATTENDED;
use super::ssh::LOOK;
use crate::base::failure::{ExitKind, kind};
use crate::base::process::{Background, Bounds, Launcher};
use crate::base::{interrupt, state};
use crate::deploy::target::Connection;

/// How long the path of a socket may be, with what ssh adds to it for a moment (`sockaddr_un` has 108 bytes).
const LONGEST: usize = 90;

/// What the user's own settings must not add: ssh would outlive this, or take a port that the next one wants.
const ALONE: [&str; 4] = ["-o", "ControlPersist=no", "-o", "ClearAllForwardings=yes"];

/// A connection in the background, for as long as this lives.
#[derive(Debug)]
pub struct SshMux {
    socket: PathBuf,
    /// Its stdin, which ends with this process, is that of a program on the host that ends with it.
    _master: Background,
}

impl SshMux {
    /// Opens a line with a socket at `socket`. Nobody is asked for anything, and nothing is waited for:
    /// where it is not there yet, or never will be, ssh connects for itself.
    pub fn open(launcher: &Launcher, connection: &Connection, socket: PathBuf) -> Option<Self> {
        if !can_be_named(&socket) {
            return None;
        }
        state::private_folder(socket.parent()?).ok()?;
        // One that a killed run left behind.
        let _ = fs::remove_file(&socket);
        let silent = OpenOptions::new().write(true).open("/dev/null").ok()?;
        let options = ["-o".to_owned(), "ControlMaster=yes".to_owned(), "-o".to_owned(), control(&socket)];
        let options = [&options[..], &ALONE.map(str::to_owned), &UNATTENDED.map(str::to_owned)].concat();
        let master = launcher.start("ssh", &connection.arguments(options, "cat"), silent).ok()?;
        Some(Self { socket, _master: master })
    }

    /// Whether a command can be run over the line now. `MaxSessions 1` of an sshd has room for that which holds the line
    /// only: ssh then connects for itself, which is not what Nix expects in the middle of a copy.
    ///
    /// # Errors
    /// `Interrupted` where the user stops it.
    pub fn carries(&self, launcher: &Launcher, connection: &Connection) -> Result<bool> {
        // There is no other way to the host, unless the node names one: ssh takes no second one behind `-J`.
        let mut alone = connection.clone();
        alone.options.extend(["-o", "ProxyCommand=false"].map(str::to_owned));
        let options = [self.options(), UNATTENDED.map(str::to_owned).to_vec()].concat();
        let args = alone.arguments(options, "true");
        let hold = interrupt::guard()?;
        // A host that takes longer does not carry it either.
        match launcher.bounded("ssh", &args, Bounds { output: 1 << 20, time: LOOK }, &|| hold.check()) {
            Err(error) if kind(&error) == ExitKind::Verification => Ok(false),
            output => Ok(output?.success()),
        }
    }

    /// The options with which ssh uses the line.
    pub fn options(&self) -> Vec<String> {
        vec!["-o".into(), "ControlMaster=no".into(), "-o".into(), control(&self.socket)]
    }
}

/// Whether ssh and Nix take the path as one word, and as it is; and the kernel does.
fn can_be_named(socket: &Path) -> bool {
    let bytes = socket.as_os_str().as_bytes();
    let plain = |byte: &u8| !byte.is_ascii() || byte.is_ascii_alphanumeric() || b"/._-+=:@%,".contains(byte);
    bytes.len() <= LONGEST && bytes.iter().all(plain)
}

fn control(socket: &Path) -> String {
    // ssh knows placeholders that begin with a percent sign.
    format!("ControlPath={}", socket.display().to_string().replace('%', "%%"))
}

impl Drop for SshMux {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.socket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_can_be_named() {
        for (path, expected) in [
            ("/home/me/pi/.xtask/ssh/stinky".to_owned(), true),
            ("/home/zoë/pi/.xtask/ssh/a%20b".to_owned(), true),
            ("/home/my pis/.xtask/ssh/stinky".to_owned(), false),
            ("/home/o'neill/.xtask/ssh/stinky".to_owned(), false),
            ("/home/${USER}/.xtask/ssh/stinky".to_owned(), false),
            (format!("/{}", "a".repeat(LONGEST - 1)), true),
            (format!("/{}", "a".repeat(LONGEST)), false),
        ] {
            assert_eq!(can_be_named(Path::new(&path)), expected, "{path}");
        }
    }
}
