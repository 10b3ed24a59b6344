//! Runs a child on a terminal of its own, whose screen the caller reads and whose keys the caller types.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};

use anyhow::{Context, Result};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::Launcher;
use crate::base::interrupt;

/// The rows of the terminal.
const ROWS: u16 = 50;

impl Launcher {
    /// Runs a command on a terminal of `columns` columns, and returns its exit code. `show` gets what the command
    /// prints, and returns what the user types then.
    pub fn run_on_terminal<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: &[S],
        columns: u16,
        mut show: impl FnMut(&[u8]) -> Option<String>,
    ) -> Result<i32> {
        let signals = interrupt::guard()?;
        let (mut screen, peer) = open_terminal(columns).context("opening a terminal")?;
        let [stdout, stderr] = [peer.try_clone()?, peer.try_clone()?];
        let command = self.command(program, args).stdin_file(peer).stdout_file(stdout).stderr_file(stderr);
        let child = self.started(program, command.unchecked().start())?;
        // The command holds its ends of the terminal until it is dropped.
        drop(command);
        let mut bytes = [0; 4096];
        // Linux reports the end of a terminal as an error.
        while let Ok(count @ 1..) = screen.read(&mut bytes) {
            signals.check().inspect_err(|_| drop(child.kill()))?;
            if let Some(keys) = show(&bytes[..count]) {
                screen.write_all(keys.as_bytes()).context("typing on a terminal")?;
            }
        }
        let output = child.wait().with_context(|| format!("waiting for {program}"))?;
        Ok(output.status.code().unwrap_or(-1))
    }
}

/// A terminal of `columns` columns: the side of its user, and the side of the programs.
fn open_terminal(columns: u16) -> std::io::Result<(File, File)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let screen = openpt(flags)?;
    tcsetwinsize(&screen, Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })?;
    grantpt(&screen)?;
    unlockpt(&screen)?;
    let peer = ioctl_tiocgptpeer(&screen, flags)?;
    Ok((File::from(screen), File::from(peer)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_child_has_a_terminal_of_this_width_and_gets_the_keys() {
        let mut shown = String::new();
        let mut has_answered = false;
        let code = Launcher::new("/")
            .run_on_terminal("sh", &["-c", "stty size; read answer; echo got $answer; exit 3"], 66, |bytes| {
                shown += &String::from_utf8_lossy(bytes);
                let is_asked =
                    shown.contains("66") && !std::mem::replace(&mut has_answered, shown.contains("66"));
                is_asked.then(|| "yes\n".to_owned())
            })
            .unwrap();
        assert_eq!(code, 3);
        assert_eq!(shown, "50 66\r\nyes\r\ngot yes\r\n");
    }
}
