//! The errors of opening a disk, with the user of a busy disk.

use rustix::io::Errno;

use super::Claim;
use crate::base::failure::ExitKind;
use crate::card::disk::{Disk, Partition, Roots};
use crate::failure;

/// The error for a disk that could not be opened because of `error`.
pub fn open_error(roots: &Roots, disk: &Disk, claim: Claim, error: std::io::Error) -> anyhow::Error {
    let path = disk.path.display();
    let access = if claim == Claim::Exclusive { "written" } else { "read" };
    match Errno::from_io_error(&error) {
        Some(Errno::BUSY) => busy(roots, disk),
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

/// The error for a busy disk, with what uses it now, as far as this process can see.
pub fn busy(roots: &Roots, disk: &Disk) -> anyhow::Error {
    let now =
        disk.number.map_or_else(|| Disk::load(roots, &disk.path), |number| Disk::by_number(roots, number));
    let now = now.unwrap_or_else(|_| Disk { uses: Vec::new(), ..disk.clone() });
    let uses = now.uses.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (user, hint) = if !uses.is_empty() {
        (uses.join(", "), "end this use first")
    } else if let Some(whole) = now.partitions.iter().find_map(whole) {
        (format!("it is part of {whole}"), "remove it from there first")
    } else {
        let hidden = "a mount in a container or another namespace, a lazily unmounted file system, \
            a ZFS pool, or a program that claims the disk";
        (hidden.to_owned(), "end this use first")
    };
    ExitKind::Refused.error_with_hint(format_args!("{} is in use: {user}", disk.path.display()), hint)
}

/// The array, volume group or pool of which `part` is a member by its type in udev, which neither mounts nor sysfs show.
fn whole(part: &Partition) -> Option<String> {
    let fstype = part.fstype.as_deref()?;
    let whole = fstype.strip_suffix("_member").or(Some(fstype).filter(|name| *name == "bcache"))?;
    let label = part.label.as_ref().map(|label| format!(" called {label}")).unwrap_or_default();
    Some(format!("a {whole}{label}"))
}
