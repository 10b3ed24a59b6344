//! The checks that refuse a disk before it is written. Each refusal names its culprit and has a hint.

use std::collections::BTreeSet;

use super::confirm::{expectation_mismatch, unconfirmed};
use super::refusal::{Refusal, Remedy, lifted_by_option, refusal};
use super::{Confirmation, Disk, DiskKind, MountOwner, Mounted, Protected, Request, Role, Use, VirtualCards};
use crate::base::{Bytes, shell};

/// The hint for a device that can never be a card.
const LIST_CARDS: &str = "run `cargo xtask devices` to list the cards";

/// Every reason to refuse `disk`; empty where it may be written. Where one of them is final, no option makes the disk a
/// card, so none is offered.
pub fn refusals(disk: &Disk, request: &Request) -> Vec<Refusal> {
    let checks = [
        not_a_card,
        no_medium,
        running_system,
        in_use,
        protected,
        too_small,
        other_sectors,
        read_only,
        expectation_mismatch,
        unconfirmed,
    ];
    let mut found = checks.iter().filter_map(|check| check(disk, request)).collect::<Vec<_>>();
    if found.iter().any(|refusal| refusal.remedy == Remedy::Disk) {
        found.retain(|refusal| refusal.remedy != Remedy::Option);
    }
    found
}

/// Every reason to refuse `disk` whatever was confirmed: the check of a worker that has claimed the disk.
pub(super) fn unwritable(disk: &Disk) -> Vec<Refusal> {
    let request = Request {
        image_size: None,
        virtual_cards: VirtualCards::Allowed,
        mounted: Mounted::Refused,
        protected: Vec::new(),
        confirmation: Confirmation::Typed,
    };
    refusals(disk, &request)
}

/// Why `disk` cannot be the card that is waited for; `None` where it may be.
pub(super) fn not_awaited(disk: &Disk, request: &Request) -> Option<Refusal> {
    not_a_card(disk, request)
        .or_else(|| expectation_mismatch(disk, request))
        .or_else(|| too_small(disk, request))
}

fn not_a_card(disk: &Disk, request: &Request) -> Option<Refusal> {
    let path = disk.path.display();
    match &disk.kind {
        DiskKind::SdCard | DiskKind::Usb => None,
        kind if kind.is_virtual() && request.virtual_cards == VirtualCards::Allowed => None,
        DiskKind::Loop { .. } => Some(lifted_by_option(
            format!("{path} is a loop device, not a card"),
            "pass --allow-virtual to accept it",
        )),
        DiskKind::File { .. } => Some(lifted_by_option(
            format!("{path} is a plain file, not a card"),
            "pass --allow-virtual to accept it",
        )),
        DiskKind::SolderedEmmc => {
            Some(refusal(format!("{path} is an eMMC of this machine, not a card"), LIST_CARDS))
        }
        DiskKind::Internal { bus } => {
            Some(refusal(format!("{path} is an internal {bus}, not a card"), LIST_CARDS))
        }
        DiskKind::Other { why } => Some(refusal(format!("{path} is {why}, not a card"), LIST_CARDS)),
    }
}

fn no_medium(disk: &Disk, _: &Request) -> Option<Refusal> {
    let path = disk.path.display();
    match &disk.kind {
        _ if disk.size > 0 => None,
        DiskKind::File { .. } => {
            Some(refusal(format!("{path} is empty"), "give it the size of a card: `truncate --size 4G FILE`"))
        }
        DiskKind::Loop { backing: None } => {
            Some(refusal(format!("{path} has no file behind it"), "attach a file with `losetup`"))
        }
        DiskKind::Loop { backing: Some(file) } => {
            let reason = format!("{path} has a size of 0 bytes: its file {} is empty", file.display());
            let file = shell::quote(&file.to_string_lossy());
            let hint = format!("run `truncate --size 4G {file}`, then `losetup --set-capacity {path}`");
            Some(refusal(reason, hint))
        }
        _ => Some(refusal(format!("{path} has no medium in it"), "insert the card and try again")),
    }
}

fn running_system(disk: &Disk, _: &Request) -> Option<Refusal> {
    let uses = disk.uses.iter().filter(|used| used.is_system()).collect::<Vec<_>>();
    let why = list_uses(&uses)?;
    let is_configured =
        |used: &&Use| matches!(used.role, Role::Mounted { owner: MountOwner::Configuration, .. });
    let hint = if uses.iter().all(is_configured) {
        let mount_points = mount_points(uses.iter().copied());
        format!("run `umount {mount_points}` if this is a card after all, else name another disk")
    } else {
        LIST_CARDS.to_owned()
    };
    Some(refusal(format!("{} is a disk of the running system: {why}", disk.path.display()), hint))
}

/// The mount points of `uses` as arguments of `umount`.
fn mount_points<'a>(uses: impl Iterator<Item = &'a Use>) -> String {
    let mount_points = uses.filter_map(|used| match &used.role {
        Role::Mounted { at, .. } => Some(shell::quote(&at.to_string_lossy())),
        _ => None,
    });
    mount_points.collect::<Vec<_>>().join(" ")
}

fn in_use(disk: &Disk, request: &Request) -> Option<Refusal> {
    let will_be_unmounted =
        request.mounted == Mounted::Unmounted && disk.uses.iter().all(Use::is_plain_mount);
    let is_no_card = || not_a_card(disk, request).is_some_and(|refusal| refusal.remedy == Remedy::Disk);
    if will_be_unmounted || disk.uses.iter().any(Use::is_system) || is_no_card() {
        return None;
    }
    let uses = disk.uses.iter().collect::<Vec<_>>();
    let why = list_uses(&uses)?;
    let is_mounted_only = uses.iter().all(|used| used.is_plain_mount());
    let remedy = if is_mounted_only { Remedy::Unmounting } else { Remedy::Disk };
    let reason = format!("{} is in use: {why}", disk.path.display());
    Some(Refusal { remedy, ..refusal(reason, release_hint(disk)) })
}

/// The hint that releases a disk that is in use.
fn release_hint(disk: &Disk) -> String {
    let mount_points = mount_points(disk.uses.iter());
    let loops = disk.uses.iter().filter_map(Use::loop_device).map(|name| format!("/dev/{name}"));
    let loops = loops.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ");
    if mount_points.is_empty() && !loops.is_empty() {
        return format!("run `losetup --detach {loops}`");
    }
    match disk.uses.iter().all(Use::is_plain_mount) {
        true => format!("run `umount {mount_points}`, or pass --unmount to `flash`"),
        false if mount_points.is_empty() => "remove it from there first".to_owned(),
        false => format!("run `umount {mount_points}`"),
    }
}

/// The first three uses and the number of the others; `None` where there are no uses.
fn list_uses(uses: &[&Use]) -> Option<String> {
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
        format!("{what} {} is on {}, which would be overwritten", path.display(), disk.path.display());
    Some(refusal(reason, "copy it to another disk first"))
}

fn too_small(disk: &Disk, request: &Request) -> Option<Refusal> {
    let needed = request.image_size.filter(|needed| *needed > disk.size && disk.size > 0)?;
    let available = disk.size;
    let reason = format!(
        "the image is larger than {}: it has {} ({needed} bytes), the card {} ({available} bytes), {} bytes too few",
        disk.path.display(),
        Bytes(needed),
        Bytes(available),
        needed - available
    );
    Some(refusal(reason, "use a larger card"))
}

/// Images count in sectors of 512 bytes: their partition tables would be misread on a card with other sectors.
fn other_sectors(disk: &Disk, _: &Request) -> Option<Refusal> {
    if disk.sector_size == 512 {
        return None;
    }
    let path = disk.path.display();
    let reason = format!("{path} has sectors of {} bytes, but a card needs 512", disk.sector_size);
    Some(refusal(reason, "use another card or reader"))
}

fn read_only(disk: &Disk, _: &Request) -> Option<Refusal> {
    if !disk.read_only {
        return None;
    }
    let path = disk.path.display();
    let hint = match disk.kind {
        DiskKind::Loop { .. } => {
            format!("attach it without `losetup --read-only`, or run `blockdev --setrw {path}`")
        }
        DiskKind::File { .. } => {
            format!("run `chmod u+w {}`", shell::quote(&disk.path.to_string_lossy()))
        }
        _ => "slide the write-protect switch on the side of the card or its adapter".to_owned(),
    };
    Some(refusal(format!("{path} is read-only"), hint))
}
