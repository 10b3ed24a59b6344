//! Whom an elevated worker works for, and which disks it opens for them: a rule that lets somebody run it as root lets
//! them read, or write, cards.

use std::env;
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::OFlags;
use serde_json::Value;

use super::needs::Access;
use crate::base::failure::ExitKind;
use crate::base::hardening::trusted_program;
use crate::base::process::{Launcher, User, handover};
use crate::card::disk::{Disk, Kind as Card, Role, Use};

/// In which sudo and run0 (the first), and pkexec name the number of the user who has called them.
const NUMBERS: [&str; 2] = ["SUDO_UID", "PKEXEC_UID"];
/// In which doas names that user.
const NAME: &str = "DOAS_USER";

/// Sets what says that nobody else has asked for rights. For a worker of root's own, whoever has become root before.
pub fn as_own(launcher: &Launcher) -> Launcher {
    let launcher = NUMBERS.into_iter().fold(launcher.clone(), |launcher, name| launcher.with_env(name, "0"));
    launcher.with_env(NAME, "root")
}

/// Somebody who is not root, for whom this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller(pub User);

impl Caller {
    /// None where this process is not root, or root works for itself.
    ///
    /// # Errors
    /// Of [`ExitKind::Refused`] where the one who has handed over the job by the `socket` is not the one who was given the
    /// rights. The kernel vouches for the first; of the second only the environment tells.
    pub fn find(socket: BorrowedFd) -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let (user, group) = handover::peer(socket)?;
        let said = NUMBERS.iter().filter_map(env::var_os).map(|text| text.to_string_lossy().into_owned());
        let own = rustix::process::getuid().as_raw().to_string();
        let named = env::var_os(NAME).is_some_and(|name| !name.is_empty() && name != "root");
        decide(user, said.chain([own]), named).map(|elevated| elevated.then_some(Self(User { user, group })))
    }

    /// Fails where `disk`, as the kernel describes it, is none that is opened for this user.
    pub fn may(self, access: Access, disk: &Disk) -> Result<()> {
        let path = disk.path.display();
        let refused =
            |why: String| Err(ExitKind::Refused.error(format!("{why}; root's rights are for cards alone")));
        match &disk.kind {
            Card::SdCard | Card::Usb => {}
            Card::Loop { backing: Some(file) } if self.owns(disk, file) => {}
            Card::Loop { .. } => {
                return refused(format!("the file behind {path} does not belong to who has asked for it"));
            }
            other => return refused(format!("{path} is no card ({other})")),
        }
        let is_in_use = |used: &&Use| used.is_system() || used.role == Role::Held;
        match disk.uses.iter().find(is_in_use) {
            Some(used) if access == Access::Read => refused(format!("{path} is in use: {used}")),
            // What is written is not used in any way, which is looked at where it is claimed.
            _ => Ok(()),
        }
    }

    /// Whether `file` is the one behind the loop device `disk`, and this user's. The kernel tells the name that the file
    /// once had, where another one may be by now, and by `losetup` its number.
    fn owns(self, disk: &Disk, file: &Path) -> bool {
        let flags = (OFlags::PATH | OFlags::NOFOLLOW).bits().cast_signed();
        let facts =
            File::options().read(true).custom_flags(flags).open(file).and_then(|file| file.metadata());
        let number = || backing_number(&disk.path);
        facts.is_ok_and(|facts| {
            let own = facts.is_file() && facts.uid() == self.0.user;
            own && number().is_ok_and(|number| number == (facts.ino(), facts.dev()))
        })
    }
}

/// Whether this process, which is root, works for the user who has handed over the job. Those who are `said` to have
/// asked for rights must be the same, or root; `named` is whether one of those was named otherwise.
fn decide(user: u32, said: impl Iterator<Item = String>, named: bool) -> Result<bool> {
    for text in said.filter(|text| text != "0" && !text.is_empty()) {
        if text.parse() != Ok(user) {
            let text = format!(
                "user {user} has handed over the job, and another one, {text}, asks for root's rights"
            );
            return Err(ExitKind::Refused.error(text));
        }
    }
    if named && user == 0 {
        return Err(
            ExitKind::Refused.error("root has handed over the job, and another one asks for root's rights")
        );
    }
    Ok(user != 0)
}

/// The inode and the device of the file behind the loop device at `path`.
fn backing_number(path: &Path) -> Result<(u64, u64)> {
    let losetup = trusted_program("losetup").context("there is no losetup")?;
    let args = ["--list", "--json", "--output", "BACK-INO,BACK-MAJ:MIN"].map(AsRef::as_ref);
    let args = [&args[..], &[path.as_os_str()]].concat();
    let text = Launcher::clean("/").read(&losetup.display().to_string(), &args)?;
    numbers(&text).with_context(|| format!("reading what losetup says of {}", path.display()))
}

/// Reads `{"loopdevices": [{"back-ino": 1234, "back-maj:min": "254:0"}]}`, where a number may be text, with blanks.
fn numbers(text: &str) -> Option<(u64, u64)> {
    let listed = serde_json::from_str::<Value>(text).ok()?;
    let [device] = listed["loopdevices"].as_array()?.as_slice() else { return None };
    let field = |name: &str| match &device[name] {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let (inode, number) = (field("back-ino")?, field("back-maj:min")?);
    let (major, minor) = number.split_once(':')?;
    let number = rustix::fs::makedev(major.trim().parse().ok()?, minor.trim().parse().ok()?);
    Some((inode.parse().ok()?, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_it_works_for() {
        let decided = |user, said: &[&str], named| {
            decide(user, said.iter().map(|text| (*text).to_owned()), named)
                .map_err(|error| crate::base::failure::kind(&error))
        };
        for (user, said, named, expected) in [
            (0, &["0"][..], false, Ok(false)),
            (0, &["", "0"], false, Ok(false)),
            (1000, &["1000", "0"], false, Ok(true)),
            (1000, &["0"], true, Ok(true)),
            (1000, &["0"], false, Ok(true)),
            (1000, &["1000", "1000", "1000"], false, Ok(true)),
            // A daemon of root's at the other end of a socket, and another user's job.
            (0, &["1000"], false, Err(ExitKind::Refused)),
            (0, &["0"], true, Err(ExitKind::Refused)),
            (1001, &["1000"], false, Err(ExitKind::Refused)),
            (1000, &["1001", "1000"], true, Err(ExitKind::Refused)),
            (1000, &["-1"], false, Err(ExitKind::Refused)),
            (1000, &["root"], false, Err(ExitKind::Refused)),
        ] {
            assert_eq!(decided(user, said, named), expected, "{user} {said:?} {named}");
        }
    }

    #[test]
    fn what_losetup_says() {
        let said = |device: &str| numbers(&format!(r#"{{"loopdevices": [{device}]}}"#));
        let number = Some((1234, rustix::fs::makedev(254, 1)));
        assert_eq!(said(r#"{"back-ino":1234, "back-maj:min":"  254:1  "}"#), number);
        assert_eq!(said(r#"{"back-ino":"1234", "back-maj:min":"254:  1"}"#), number);
        for text in [
            "",
            "{}",
            r#"{"back-ino":null, "back-maj:min":"254:1"}"#,
            r#"{"back-ino":1, "back-maj:min":"x"}"#,
        ] {
            assert_eq!(said(text), None, "{text}");
        }
        assert_eq!(numbers("no JSON"), None);
    }
}
