//! The errors of opening a disk, with the user of a busy disk.

use rustix::io::Errno;

use super::Claim;
use crate::base::failure::ReasonKind;
use crate::card::disk::open_files::{self, HiddenMount};
use crate::card::disk::refusals::LIST_CARDS;
use crate::card::disk::{Disk, Partition, Roots, Use};
use crate::failure;

/// The error for a disk that could not be opened for `claim` because of `error`.
pub fn open_error(roots: &Roots, disk: &Disk, claim: Claim, error: std::io::Error) -> anyhow::Error {
    let path = disk.path.display();
    let access = if claim == Claim::Exclusive { "written" } else { "read" };
    match Errno::from_io_error(&error) {
        Some(Errno::BUSY) => busy_error(roots, disk),
        Some(Errno::ACCESS | Errno::PERM) => {
            failure!(Permission, "{path} may not be {access} by this user"; hint: "run as root")
        }
        Some(Errno::ROFS) => {
            failure!(
                Refused(ReadOnly), "{path} is read-only";
                hint: "move the lock switch of the card, or try another reader"
            )
        }
        Some(Errno::NOENT | Errno::NXIO | Errno::NODEV | Errno::NOMEDIUM) => {
            failure!(Io, "{path} is gone"; hint: "insert the card again")
        }
        _ => anyhow::Error::new(error).context(format!("opening {path}")),
    }
}

/// The error for a busy disk, with its uses and the processes behind them, as far as this process can see them.
pub fn busy_error(roots: &Roots, disk: &Disk) -> anyhow::Error {
    let loaded = match disk.number {
        Some(number) => Disk::by_number(roots, number),
        None => Disk::load(roots, &disk.path),
    };
    let now = loaded.unwrap_or_else(|_| Disk { uses: Vec::new(), ..disk.clone() });
    let Cause { why, hint } = known_uses(roots, &now)
        .or_else(|| hidden_mount(roots, &now))
        .or_else(|| membership(&now))
        .or_else(|| openers(roots, &now))
        .unwrap_or_else(unknown_use);
    let of_system = now.uses.iter().find(|used| used.is_system());
    let state = of_system.map_or("in use", Use::disk_state);
    let kind = of_system.map_or(ReasonKind::InUse, Use::refusal_kind);
    kind.refusal(format_args!("{} is {state}: {why}", disk.path.display()), Some(hint))
}

/// A cause for which a disk is busy, for the error.
struct Cause {
    why: String,
    hint: String,
}

/// The error for a disk that another program has locked.
pub fn locked_error(roots: &Roots, disk: &Disk) -> anyhow::Error {
    let path = disk.path.display();
    let lockers = open_files::lockers(roots, disk);
    if lockers.is_empty() {
        let hint = format!("wait until it ends; `fuser {path}` shows it");
        return failure!(Refused(InUse), "another program holds the lock of {path}"; hint: "{hint}");
    }
    let titles = open_files::titles(&lockers);
    failure!(
        Refused(InUse), "another program holds the lock of {path}: {titles}";
        hint: "{}", open_files::wait_hint(&lockers)
    )
}

/// The cause by the known uses of `disk` and the processes that keep its plain mounts busy; `None` without known uses.
fn known_uses(roots: &Roots, disk: &Disk) -> Option<Cause> {
    if disk.uses.is_empty() {
        return None;
    }
    let uses = disk.uses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let users = disk.plain_mounts().flat_map(|(_, at)| open_files::users(roots, at)).collect::<Vec<_>>();
    if users.is_empty() {
        let is_of_system = disk.uses.iter().any(Use::is_system);
        let hint = if is_of_system { LIST_CARDS } else { "end this use first" };
        return Some(Cause { why: uses, hint: hint.to_owned() });
    }
    let why = format!("{uses}; it is busy with {}", open_files::titles(&users));
    Some(Cause { why, hint: open_files::end_hint(&users) })
}

/// The cause by a mount of `disk` in another mount namespace; `None` where no such mount is visible.
fn hidden_mount(roots: &Roots, disk: &Disk) -> Option<Cause> {
    let HiddenMount { at, process } = open_files::hidden_mount(roots, disk)?;
    let why = format!("it is mounted at {} in the mount namespace of {process}", at.display());
    Some(Cause { why, hint: format!("unmount it there, or {}", open_files::end_hint(&[process])) })
}

/// The cause by the processes that have `disk` open; `None` where no such process is visible.
fn openers(roots: &Roots, disk: &Disk) -> Option<Cause> {
    let openers = open_files::openers(roots, disk);
    if openers.is_empty() {
        return None;
    }
    let have = if openers.len() == 1 { "has" } else { "have" };
    let why = format!("{} {have} it open", open_files::titles(&openers));
    Some(Cause { why, hint: open_files::end_hint(&openers) })
}

/// The cause by the array or pool of which `disk` is a part; `None` where udev shows none.
fn membership(disk: &Disk) -> Option<Cause> {
    let pool = disk.partitions.iter().find_map(pool_title)?;
    Some(Cause { why: format!("it is part of {pool}"), hint: "remove the disk from there first".to_owned() })
}

/// The possible causes that no file of `/proc` and `/sys` shows.
fn unknown_use() -> Cause {
    let why = "its use is not visible; it may be a mount in a container or another namespace, \
        a lazily unmounted file system, a ZFS pool, or a program that claims the disk";
    Cause { why: why.to_owned(), hint: "end this use first".to_owned() }
}

/// The array, volume group or pool of which `part` is a member, `a zfs called tank`. Only the type in udev's database
/// shows the membership, not the mounts or sysfs. `None` for a partition that is no member.
fn pool_title(part: &Partition) -> Option<String> {
    let fstype = part.fstype.as_deref()?;
    let pool = if fstype == "bcache" { fstype } else { fstype.strip_suffix("_member")? };
    let label = part.label.as_ref().map(|label| format!(" called {label}")).unwrap_or_default();
    Some(format!("a {pool}{label}"))
}
