//! Why a disk is not written: every reason at once, each with its culprit and its remedy.

use std::collections::BTreeSet;

use super::confirm::{confirmation, unexpected};
use super::refusal::{Refusal, refusal};
use super::{Confirmation, Disk, Kind, Mounted, Protected, Request, Role, Use, VirtualCards};
use crate::base::{Bytes, shell};

/// Where to look for a card instead.
const CHOOSE: &str = "`cargo xtask devices` lists the cards";

/// Everything that speaks against writing `disk`; empty when it may be written.
pub fn refusals(disk: &Disk, request: &Request) -> Vec<Refusal> {
    let checks = [kind, medium, system, busy, protected, size, sectors, read_only, confirmation];
    checks.iter().filter_map(|check| check(disk, request)).collect()
}

/// Everything that speaks against writing `disk`, whoever has agreed to what: what a writer looks at that
/// has claimed it.
pub(super) fn unwritable(disk: &Disk) -> Vec<Refusal> {
    let (virtual_cards, mounted, confirmation) =
        (VirtualCards::Allowed, Mounted::Refused, Confirmation::Typed);
    refusals(disk, &Request { image_size: None, virtual_cards, mounted, protected: Vec::new(), confirmation })
}

/// What `disk` is instead of the card that is waited for; none where it may be the one.
pub(super) fn other_than_awaited(disk: &Disk, request: &Request) -> Option<Refusal> {
    kind(disk, request).or_else(|| unexpected(disk, request)).or_else(|| size(disk, request))
}

fn kind(disk: &Disk, request: &Request) -> Option<Refusal> {
    let path = disk.path.display();
    match &disk.kind {
        Kind::SdCard | Kind::Usb => None,
        kind if kind.is_virtual() && request.virtual_cards == VirtualCards::Allowed => None,
        Kind::Loop { .. } => Some(refusal(
            format!("{path} is a loop device, not a card"),
            "--allow-virtual takes it all the same",
        )),
        Kind::File { .. } => Some(refusal(
            format!("{path} is a plain file, not a card"),
            "--allow-virtual takes it all the same",
        )),
        Kind::SolderedEmmc => {
            Some(refusal(format!("{path} is an eMMC, memory of this machine and no card"), CHOOSE))
        }
        Kind::Internal { bus } => Some(refusal(format!("{path} is an internal {bus}, not a card"), CHOOSE)),
        Kind::Other { why } => Some(refusal(format!("{path} is {why}, not a card"), CHOOSE)),
    }
}

fn medium(disk: &Disk, _: &Request) -> Option<Refusal> {
    let path = disk.path.display();
    match &disk.kind {
        _ if disk.size > 0 => None,
        Kind::File { .. } => {
            Some(refusal(format!("{path} is empty"), "give it the size of a card: truncate --size 4G FILE"))
        }
        Kind::Loop { .. } => {
            Some(refusal(format!("{path} has no file behind it"), "attach one with losetup"))
        }
        _ => Some(refusal(format!("{path} has no medium in it"), "insert the card and try again")),
    }
}

fn system(disk: &Disk, _: &Request) -> Option<Refusal> {
    let uses = disk.uses.iter().filter(|used| used.is_system()).collect::<Vec<_>>();
    let why = listed(&uses)?;
    Some(refusal(format!("{} is a disk of the running system: {why}", disk.path.display()), CHOOSE))
}

fn busy(disk: &Disk, request: &Request) -> Option<Refusal> {
    let to_be_freed = request.mounted == Mounted::Unmounted && disk.uses.iter().all(Use::is_plain_mount);
    if to_be_freed || disk.uses.iter().any(Use::is_system) {
        return None;
    }
    let uses = disk.uses.iter().collect::<Vec<_>>();
    let why = listed(&uses)?;
    Some(refusal(format!("{} is in use: {why}", disk.path.display()), freeing(disk)))
}

/// What sets a disk free that is in use.
fn freeing(disk: &Disk) -> String {
    let places = disk.uses.iter().filter_map(|used| match &used.role {
        Role::Mounted { at } => Some(shell::quote(&at.to_string_lossy())),
        _ => None,
    });
    let places = places.collect::<Vec<_>>().join(" ");
    let loops = disk.uses.iter().filter_map(Use::loop_device).map(|name| format!("/dev/{name}"));
    let loops = loops.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ");
    if places.is_empty() && !loops.is_empty() {
        return format!("detach it first: losetup --detach {loops}");
    }
    match disk.uses.iter().all(Use::is_plain_mount) {
        true => format!("unmount it first: umount {places} (`flash` does it with --unmount)"),
        false if places.is_empty() => "take it out of there first".to_owned(),
        false => format!("unmount it first: umount {places}"),
    }
}

/// The first few uses in words; none where there is none.
fn listed(uses: &[&Use]) -> Option<String> {
    let shown = uses.iter().take(3).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match uses.len() {
        0 => None,
        1..=3 => Some(shown),
        more => Some(format!("{shown} and {} more", more - 3)),
    }
}

fn protected(disk: &Disk, request: &Request) -> Option<Refusal> {
    let Protected { what, path, .. } = request.protected.iter().find(|path| path.is_on(disk))?;
    let reason =
        format!("{what} {} is on {}, which is to be overwritten", path.display(), disk.path.display());
    Some(refusal(reason, "copy it to another disk first"))
}

fn size(disk: &Disk, request: &Request) -> Option<Refusal> {
    let needed = request.image_size.filter(|needed| *needed > disk.size && disk.size > 0)?;
    let (path, holds, missing) = (disk.path.display(), disk.size, needed - disk.size);
    let reason = format!(
        "the image is larger than {path}: {} ({needed} bytes) on {} ({holds} bytes), {missing} bytes too many",
        Bytes(needed),
        Bytes(holds)
    );
    Some(refusal(reason, "use a larger card"))
}

fn sectors(disk: &Disk, _: &Request) -> Option<Refusal> {
    let (path, found) = (disk.path.display(), disk.sector_size);
    let reason = || format!("{path} has sectors of {found} bytes, and the image is laid out for 512");
    if found == 512 { None } else { Some(refusal(reason(), "use another card or reader")) }
}

fn read_only(disk: &Disk, _: &Request) -> Option<Refusal> {
    if !disk.read_only {
        return None;
    }
    let remedy = match disk.kind {
        Kind::Loop { .. } => "attach it without losetup --read-only, or undo blockdev --setro with --setrw",
        Kind::File { .. } => "make it writable with chmod u+w",
        _ => "slide the write-protect switch at the side of the card or its adapter",
    };
    Some(refusal(format!("{} is read-only", disk.path.display()), remedy))
}
