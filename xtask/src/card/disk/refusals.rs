//! The checks that refuse a disk before it is written. Each refusal names its culprit and has a hint.

use std::collections::BTreeSet;

use super::confirm::{confirmation_refusal, expectation_refusal};
use super::refusal::{Refusal, Remedy, refusal, refusal_lifted_by_option};
use super::{
    Confirmation, Disk, DiskKind, MountOwner, Mounted, ProtectedPath, Request, Role, Use, VirtualCards,
};
use crate::base::failure::ReasonKind;
use crate::base::{Bytes, shell};

/// The hint where only another disk helps.
pub(super) const LIST_CARDS: &str = "run `cargo xtask devices` to list the cards";
/// The number of uses that a message lists at most.
const MAX_LISTED_USES: usize = 3;

/// Every reason to refuse `disk`; empty where `disk` may be written. With a refusal that no option lifts
/// ([`Remedy::Disk`]), those that an option lifts are left out: their options would be useless.
pub fn refusals(disk: &Disk, request: &Request) -> Vec<Refusal> {
    let checks = [
        kind_refusal,
        medium_refusal,
        system_disk_refusal,
        use_refusal,
        protected_path_refusal,
        size_refusal,
        sector_size_refusal,
        read_only_refusal,
        expectation_refusal,
        confirmation_refusal,
    ];
    let mut found = checks.iter().filter_map(|check| check(disk, request)).collect::<Vec<_>>();
    if found.iter().any(|refusal| refusal.remedy == Remedy::Disk) {
        found.retain(|refusal| refusal.remedy != Remedy::Option);
    }
    found
}

/// Every reason for which a worker that has claimed `disk` refuses to write it: those that no confirmation and no
/// option lifts, and a mount, because a worker unmounts a card before claiming it. The size of the image is checked
/// with the job, and protected paths by the command that starts the worker.
pub(super) fn worker_refusals(disk: &Disk) -> Vec<Refusal> {
    let request = Request {
        image_size: None,
        virtual_cards: VirtualCards::Allowed,
        mounted: Mounted::Refused,
        protected: Vec::new(),
        confirmation: Confirmation::Typed,
    };
    refusals(disk, &request)
}

/// The refusal of `disk` as the card for which the command waits; `None` where `disk` may be this card.
pub(super) fn awaited_card_refusal(disk: &Disk, request: &Request) -> Option<Refusal> {
    kind_refusal(disk, request)
        .or_else(|| expectation_refusal(disk, request))
        .or_else(|| size_refusal(disk, request))
}

/// The refusal of a disk that is no card by its kind.
fn kind_refusal(disk: &Disk, request: &Request) -> Option<Refusal> {
    let path = disk.path.display();
    match &disk.kind {
        DiskKind::SdCard | DiskKind::Usb => None,
        kind if kind.is_virtual() && request.virtual_cards == VirtualCards::Allowed => None,
        DiskKind::Loop { .. } => Some(refusal_lifted_by_option(
            ReasonKind::NotACard,
            format!("{path} is a loop device, not a card"),
            "pass --allow-virtual to accept it",
        )),
        DiskKind::File { .. } => Some(refusal_lifted_by_option(
            ReasonKind::NotACard,
            format!("{path} is a plain file, not a card"),
            "pass --allow-virtual to accept it",
        )),
        DiskKind::SolderedEmmc => Some(refusal(
            ReasonKind::NotACard,
            format!("{path} is an eMMC of this machine, not a card"),
            LIST_CARDS,
        )),
        DiskKind::Internal { bus } => Some(refusal(
            ReasonKind::NotACard,
            format!("{path} is an internal {bus}, not a card"),
            LIST_CARDS,
        )),
        DiskKind::Other { why } => {
            Some(refusal(ReasonKind::NotACard, format!("{path} is {why}, not a card"), LIST_CARDS))
        }
    }
}

/// The refusal of a disk with a size of 0 bytes: a drive without a medium, or an empty file.
fn medium_refusal(disk: &Disk, _: &Request) -> Option<Refusal> {
    if disk.size > 0 {
        return None;
    }
    let path = disk.path.display();
    match &disk.kind {
        DiskKind::File { .. } => {
            let file = shell::quote(&disk.path.to_string_lossy());
            Some(refusal(
                ReasonKind::NoMedium,
                format!("{path} is empty"),
                format!("run `truncate --size 4G {file}`"),
            ))
        }
        DiskKind::Loop { backing: None } => Some(refusal(
            ReasonKind::NoMedium,
            format!("{path} has no file behind it"),
            "attach a file with `losetup`",
        )),
        DiskKind::Loop { backing: Some(file) } => {
            let reason = format!("{path} has a size of 0 bytes: its file {} is empty", file.display());
            let file = shell::quote(&file.to_string_lossy());
            let hint = format!("run `truncate --size 4G {file}`, then `losetup --set-capacity {path}`");
            Some(refusal(ReasonKind::NoMedium, reason, hint))
        }
        _ => Some(refusal(
            ReasonKind::NoMedium,
            format!("{path} has no medium in it"),
            "insert the card and try again",
        )),
    }
}

/// The refusal of a disk that the running system needs.
fn system_disk_refusal(disk: &Disk, _: &Request) -> Option<Refusal> {
    let uses = disk.uses.iter().filter(|used| used.is_system()).collect::<Vec<_>>();
    let why = list_uses(&uses)?;
    let is_configured =
        |used: &&Use| matches!(used.role, Role::Mounted { owner: MountOwner::Configuration, .. });
    let hint = if uses.iter().all(is_configured) {
        let mount_points = umount_arguments(uses.iter().copied());
        format!("run `umount {mount_points}` if this is a card after all, else name another disk")
    } else {
        LIST_CARDS.to_owned()
    };
    Some(refusal(
        ReasonKind::SystemDisk,
        format!("{} is a disk of the running system: {why}", disk.path.display()),
        hint,
    ))
}

/// The mount points of `uses`, quoted for a shell.
fn umount_arguments<'a>(uses: impl Iterator<Item = &'a Use>) -> String {
    let mount_points = uses.filter_map(|used| match &used.role {
        Role::Mounted { at, .. } => Some(shell::quote(&at.to_string_lossy())),
        _ => None,
    });
    mount_points.collect::<Vec<_>>().join(" ")
}

/// The refusal of a disk that is in use. `None` where unmounting will end every use, and where [`kind_refusal`] or
/// [`system_disk_refusal`] refuses the disk for good, so that ending its uses would be in vain.
fn use_refusal(disk: &Disk, request: &Request) -> Option<Refusal> {
    let is_only_mounted = disk.uses.iter().all(Use::is_plain_mount);
    let will_be_unmounted = is_only_mounted && request.mounted == Mounted::Unmounted;
    let is_system_disk = disk.uses.iter().any(Use::is_system);
    let is_never_a_card = kind_refusal(disk, request).is_some_and(|refusal| refusal.remedy == Remedy::Disk);
    if will_be_unmounted || is_system_disk || is_never_a_card {
        return None;
    }
    let why = list_uses(&disk.uses.iter().collect::<Vec<_>>())?;
    let remedy = if is_only_mounted { Remedy::Unmounting } else { Remedy::Disk };
    let reason = format!("{} is in use: {why}", disk.path.display());
    Some(Refusal { remedy, ..refusal(ReasonKind::InUse, reason, release_hint(disk)) })
}

/// The hint that says how to end the uses of `disk`.
fn release_hint(disk: &Disk) -> String {
    let mount_points = umount_arguments(disk.uses.iter());
    let loop_names = disk.uses.iter().filter_map(Use::idle_loop_device).collect::<BTreeSet<_>>();
    if disk.uses.iter().all(Use::is_plain_mount) {
        format!("run `umount {mount_points}`, or pass --unmount to `flash`")
    } else if !mount_points.is_empty() {
        format!("run `umount {mount_points}`")
    } else if loop_names.is_empty() {
        "remove the disk from there first".to_owned()
    } else {
        let loops = loop_names.iter().map(|name| format!("/dev/{name}")).collect::<Vec<_>>().join(" ");
        format!("run `losetup --detach {loops}`")
    }
}

/// The first [`MAX_LISTED_USES`] uses and the number of the others; `None` where there are no uses.
fn list_uses(uses: &[&Use]) -> Option<String> {
    if uses.is_empty() {
        return None;
    }
    let listed = uses.iter().take(MAX_LISTED_USES).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match uses.len().saturating_sub(MAX_LISTED_USES) {
        0 => Some(listed),
        more => Some(format!("{listed} and {more} more")),
    }
}

/// The refusal of a disk that stores a protected path.
fn protected_path_refusal(disk: &Disk, request: &Request) -> Option<Refusal> {
    let ProtectedPath { what, path, .. } =
        request.protected.iter().find(|path| path.is_overwritten_with(disk))?;
    let reason =
        format!("{what} {} is on {}, which would be overwritten", path.display(), disk.path.display());
    Some(refusal(ReasonKind::ProtectedPath, reason, "use a copy on another disk, or name another card"))
}

/// The refusal of a disk that is smaller than the image. A disk without a medium is left to [`medium_refusal`].
fn size_refusal(disk: &Disk, request: &Request) -> Option<Refusal> {
    let needed = request.image_size?;
    let available = disk.size;
    if available == 0 || needed <= available {
        return None;
    }
    let reason = format!(
        "the image is larger than {}: the image has {} ({needed} bytes), the card has {} ({available} bytes), \
         {} bytes too few",
        disk.path.display(),
        Bytes(needed),
        Bytes(available),
        needed - available
    );
    Some(refusal(ReasonKind::TooSmall, reason, "use a larger card"))
}

/// The refusal of a disk with sectors of other than 512 bytes: images count in sectors of 512 bytes, so their partition
/// tables would be misread.
fn sector_size_refusal(disk: &Disk, _: &Request) -> Option<Refusal> {
    if disk.sector_size == 512 {
        return None;
    }
    let path = disk.path.display();
    let reason = format!("{path} has sectors of {} bytes, but a card needs 512", disk.sector_size);
    Some(refusal(ReasonKind::SectorSize, reason, "use another card or reader"))
}

/// The refusal of a disk that is read-only.
fn read_only_refusal(disk: &Disk, _: &Request) -> Option<Refusal> {
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
    Some(refusal(ReasonKind::ReadOnly, format!("{path} is read-only"), hint))
}
