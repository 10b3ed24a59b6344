//! The caller of an elevated worker, and the disks that the worker opens for the caller. A sudo rule that lets a user
//! run the worker as root lets them read or write cards, and nothing else.

use std::env;
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::OFlags;
use serde_json::Value;

use super::needs::Access;
use crate::bail;
use crate::base::hardening::trusted_program;
use crate::base::process::{Launcher, User, handover};
use crate::card::disk::{Disk, DiskKind, Role, Use};

/// The environment variables in which sudo and run0 (the first), and pkexec (the second) name the user id of the
/// caller.
const UID_VARIABLES: &[&str] = &["SUDO_UID", "PKEXEC_UID"];
/// The environment variable in which doas names the caller.
const USER_VARIABLE: &str = "DOAS_USER";

/// A launcher of children whose caller is root, whatever user became root before: for a worker that root starts for its
/// own use.
pub fn launcher_for_root(launcher: &Launcher) -> Launcher {
    let with_uids =
        UID_VARIABLES.iter().fold(launcher.clone(), |launcher, name| launcher.with_env(*name, "0"));
    with_uids.with_env(USER_VARIABLE, "root")
}

/// The user, who is not root, for whom this root process works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller(pub User);

impl Caller {
    /// Finds the caller; `None` where this process is not root, or root is the user.
    ///
    /// # Errors
    /// Of [`ExitKind::Refused`](crate::base::failure::ExitKind::Refused) where the sender of the job on the other end
    /// of `socket` is not the user who was elevated. The kernel vouches for the sender; only the environment names the
    /// elevated user.
    pub fn find(socket: BorrowedFd) -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let sender = handover::peer(socket)?;
        let named_uids =
            UID_VARIABLES.iter().filter_map(env::var_os).map(|text| text.to_string_lossy().into_owned());
        let own_uid = rustix::process::getuid().as_raw().to_string();
        let names_other = env::var_os(USER_VARIABLE).is_some_and(|name| !name.is_empty() && name != "root");
        let is_for_caller = is_for_sender(sender.user, named_uids.chain([own_uid]), names_other)?;
        Ok(is_for_caller.then_some(Self(sender)))
    }

    /// Fails where root may not open `disk`, as the kernel describes it, for this user and this `access`.
    pub fn authorize(self, access: Access, disk: &Disk) -> Result<()> {
        let path = disk.path.display();
        match &disk.kind {
            DiskKind::SdCard | DiskKind::Usb => {}
            DiskKind::Loop { backing: Some(file) } if self.owns(disk, file)? => {}
            DiskKind::Loop { .. } => bail!(
                Refused(NotACard), "the file behind {path} does not belong to the user who asked for it; {CARDS_ONLY}";
                hint: "use a loop device over a file of your own"
            ),
            other => bail!(Refused(NotACard), "{path} is not a card ({other}); {CARDS_ONLY}"),
        }
        let is_in_use = |used: &&Use| used.is_system() || used.role == Role::Held;
        match disk.uses.iter().find(is_in_use) {
            Some(used) if access == Access::Read => {
                let why = format_args!("{path} is {}: {used}; {CARDS_ONLY}", used.disk_state());
                Err(used.refusal_kind().refusal(why, None))
            }
            // For writing, `claim` refuses a card with any use.
            _ => Ok(()),
        }
    }

    /// Whether the file at the path `file` belongs to this user and is the one behind the loop device `disk`. sysfs
    /// names only the path that the file once had, where another file may be by now; `losetup` names inode and device.
    ///
    /// # Errors
    /// No answer of a `losetup` that can be trusted.
    fn owns(self, disk: &Disk, file: &Path) -> Result<bool> {
        let flags = (OFlags::PATH | OFlags::NOFOLLOW).bits().cast_signed();
        let metadata =
            File::options().read(true).custom_flags(flags).open(file).and_then(|file| file.metadata());
        let Ok(metadata) = metadata else { return Ok(false) };
        let is_own = metadata.is_file() && metadata.uid() == self.0.user;
        Ok(is_own && backing_file_id(&disk.path)? == (metadata.ino(), metadata.dev()))
    }
}

/// The reason of [`Caller::authorize`] for every refusal.
const CARDS_ONLY: &str = "an elevated worker opens only cards";

/// Whether this root process works for the `sender` of the job, and not for root itself. `named_uids` name the user
/// who was elevated: they are the values of [`UID_VARIABLES`], and the real user id of this process. `names_other` is
/// whether [`USER_VARIABLE`] names another user than root.
///
/// # Errors
/// `Refused` where one of `named_uids` is neither that of the sender nor that of root, and where root is the sender
/// although `names_other`.
fn is_for_sender(sender: u32, named_uids: impl Iterator<Item = String>, names_other: bool) -> Result<bool> {
    for uid in named_uids.filter(|uid| uid != "0" && !uid.is_empty()) {
        if uid.parse() != Ok(sender) {
            bail!(
                Refused, "user {sender} sent the job, but user {uid} asked for root's rights";
                hint: "start the tool as the user who asks for root's rights"
            );
        }
    }
    if names_other && sender == 0 {
        bail!(
            Refused, "root sent the job, but another user asked for root's rights";
            hint: "start the tool as the user who asks for root's rights"
        );
    }
    Ok(sender != 0)
}

/// The inode and the device of the file behind the loop device at `path`.
fn backing_file_id(path: &Path) -> Result<(u64, u64)> {
    let losetup = trusted_program("losetup").context("finding losetup")?;
    let options = ["--list", "--json", "--output", "BACK-INO,BACK-MAJ:MIN"].map(AsRef::as_ref);
    let args = [&options[..], &[path.as_os_str()]].concat();
    let text = Launcher::with_clean_env("/").read(&losetup.display().to_string(), &args)?;
    parse_losetup(&text).with_context(|| format!("reading the output of losetup for {}", path.display()))
}

/// Reads inode and device from `{"loopdevices": [{"back-ino": 1234, "back-maj:min": "254:0"}]}`. A number may also be a
/// string, with blanks.
fn parse_losetup(text: &str) -> Option<(u64, u64)> {
    let listed = serde_json::from_str::<Value>(text).ok()?;
    let [device] = listed["loopdevices"].as_array()?.as_slice() else { return None };
    let field = |name: &str| match &device[name] {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let inode = field("back-ino")?;
    let number = field("back-maj:min")?;
    let (major, minor) = number.split_once(':')?;
    let device = rustix::fs::makedev(major.trim().parse().ok()?, minor.trim().parse().ok()?);
    Some((inode.parse().ok()?, device))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::ExitKind;

    #[test]
    fn root_works_only_for_the_sender_or_for_itself() {
        let decide = |sender, named_uids: &[&str], names_other| {
            is_for_sender(sender, named_uids.iter().map(|text| (*text).to_owned()), names_other)
                .map_err(|error| crate::base::failure::kind(&error))
        };
        for (sender, named_uids, names_other, expected) in [
            (0, &["0"][..], false, Ok(false)),
            (0, &["", "0"], false, Ok(false)),
            (1000, &["1000", "0"], false, Ok(true)),
            (1000, &["0"], true, Ok(true)),
            (1000, &["0"], false, Ok(true)),
            (1000, &["1000", "1000", "1000"], false, Ok(true)),
            // A daemon of root sends the job of another user.
            (0, &["1000"], false, Err(ExitKind::Refused)),
            (0, &["0"], true, Err(ExitKind::Refused)),
            (1001, &["1000"], false, Err(ExitKind::Refused)),
            (1000, &["1001", "1000"], true, Err(ExitKind::Refused)),
            (1000, &["-1"], false, Err(ExitKind::Refused)),
            (1000, &["root"], false, Err(ExitKind::Refused)),
        ] {
            assert_eq!(
                decide(sender, named_uids, names_other),
                expected,
                "{sender} {named_uids:?} {names_other}"
            );
        }
    }

    #[test]
    fn the_file_behind_a_loop_device_is_read_from_losetup() {
        let parse = |device: &str| parse_losetup(&format!(r#"{{"loopdevices": [{device}]}}"#));
        let number = Some((1234, rustix::fs::makedev(254, 1)));
        assert_eq!(parse(r#"{"back-ino":1234, "back-maj:min":"  254:1  "}"#), number);
        assert_eq!(parse(r#"{"back-ino":"1234", "back-maj:min":"254:  1"}"#), number);
        for text in [
            "",
            "{}",
            r#"{"back-ino":null, "back-maj:min":"254:1"}"#,
            r#"{"back-ino":1, "back-maj:min":"x"}"#,
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse_losetup("no JSON"), None);
    }
}
