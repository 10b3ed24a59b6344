//! The errors of opening a disk, with the user of a busy disk.

use rustix::io::Errno;

use super::Claim;
use crate::base::failure::ExitKind;
use crate::card::disk::open_files::{self, HiddenMount};
use crate::card::disk::{Disk, Partition, Roots};
use crate::failure;

/// The error for a disk that could not be opened because of `error`.
pub fn open_error(roots: &Roots, disk: &Disk, claim: Claim, error: std::io::Error) -> anyhow::Error {
    let path = disk.path.display();
    let access = if claim == Claim::Exclusive { "written" } else { "read" };
    match Errno::from_io_error(&error) {
        Some(Errno::BUSY) => busy_error(roots, disk),
        Some(Errno::ACCESS | Errno::PERM) => {
            failure!(Permission, "{path} may not be {access} by this user"; hint: "run as root")
        }
        Some(Errno::ROFS) => failure!(Refused, "{path} is read-only"),
        Some(Errno::NOENT | Errno::NXIO | Errno::NODEV | Errno::NOMEDIUM) => {
            failure!(Io, "{path} is gone"; hint: "insert the card again")
        }
        _ => anyhow::Error::new(error).context(format!("opening {path}")),
    }
}

/// The error for a busy disk, with what uses it now and by which processes, as far as this process can see.
pub fn busy_error(roots: &Roots, disk: &Disk) -> anyhow::Error {
    let now =
        disk.number.map_or_else(|| Disk::load(roots, &disk.path), |number| Disk::by_number(roots, number));
    let now = now.unwrap_or_else(|_| Disk { uses: Vec::new(), ..disk.clone() });
    let (user, hint) = known_uses(roots, &now)
        .or_else(|| hidden_mount(roots, &now))
        .or_else(|| membership(&now))
        .or_else(|| openers(roots, &now))
        .unwrap_or_else(unknown_use);
    ExitKind::Refused.error_with_hint(format_args!("{} is in use: {user}", disk.path.display()), hint)
}

/// The error for a disk that another program has locked.
pub fn locked_error(roots: &Roots, disk: &Disk) -> anyhow::Error {
    let path = disk.path.display();
    let lockers = open_files::lockers(roots, disk).join(", ");
    if lockers.is_empty() {
        let hint = format!("wait until it ends; `fuser {path}` shows it");
        return failure!(Refused, "another program holds the lock of {path}"; hint: "{hint}");
    }
    failure!(
        Refused, "another program holds the lock of {path}: {lockers}";
        hint: "wait until it ends, or end {lockers}"
    )
}

/// The known uses of `disk`, and the hint.
fn known_uses(roots: &Roots, disk: &Disk) -> Option<(String, String)> {
    let uses = disk.uses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let users = disk.plain_mounts().flat_map(|(_, at)| open_files::users(roots, at));
    let users = users.collect::<Vec<_>>().join(", ");
    match (uses.is_empty(), users.is_empty()) {
        (true, _) => None,
        (false, true) => Some((uses, "end this use first".to_owned())),
        (false, false) => Some((format!("{uses}, and busy with {users}"), format!("end {users} first"))),
    }
}

/// The mount of `disk` in another mount namespace, and the hint.
fn hidden_mount(roots: &Roots, disk: &Disk) -> Option<(String, String)> {
    let HiddenMount { at, process } = open_files::hidden_mount(roots, disk)?;
    let user = format!("it is mounted at {} in the mount namespace of {process}", at.display());
    Some((user, format!("unmount it there, or end {process} first")))
}

/// The processes that have `disk` open, and the hint.
fn openers(roots: &Roots, disk: &Disk) -> Option<(String, String)> {
    let openers = open_files::openers(roots, disk);
    let have = if openers.len() == 1 { "has" } else { "have" };
    let openers = openers.join(", ");
    (!openers.is_empty()).then(|| (format!("{openers} {have} it open"), format!("end {openers} first")))
}

/// The array or pool that `disk` is a part of, and the hint.
fn membership(disk: &Disk) -> Option<(String, String)> {
    let whole = disk.partitions.iter().find_map(whole)?;
    Some((format!("it is part of {whole}"), "remove it from there first".to_owned()))
}

/// The uses that no file of `/proc` and `/sys` shows, and the hint.
fn unknown_use() -> (String, String) {
    let hidden = "a mount in a container or another namespace, a lazily unmounted file system, \
        a ZFS pool, or a program that claims the disk";
    (hidden.to_owned(), "end this use first".to_owned())
}

/// The array, volume group or pool of which `part` is a member by its type in udev, which neither mounts nor sysfs
/// show.
fn whole(part: &Partition) -> Option<String> {
    let fstype = part.fstype.as_deref()?;
    let whole = fstype.strip_suffix("_member").or(Some(fstype).filter(|name| *name == "bcache"))?;
    let label = part.label.as_ref().map(|label| format!(" called {label}")).unwrap_or_default();
    Some(format!("a {whole}{label}"))
}
