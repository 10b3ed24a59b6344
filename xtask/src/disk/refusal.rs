//! Why a disk is not written: every reason at once, each with its culprit and its remedy.

use std::fmt;
use std::path::{Path, PathBuf};

use super::{Confirmation, Disk, Kind, Role, Use, usage};
use crate::disk::Roots;
use crate::failure::Kind as Failure;
use crate::ui::Bytes;

/// What is asked of a disk.
#[derive(Clone, Debug)]
pub struct Request {
    /// The size of the image when decompressed, in bytes; none where its header does not tell.
    pub image_size: Option<u64>,
    pub virtual_cards: VirtualCards,
    /// What must survive: the image, the flake, the working directory.
    pub kept: Vec<Kept>,
    pub consent: Consent,
}

/// Whether loop devices and plain files may stand for a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VirtualCards {
    Refused,
    Allowed,
}

/// How the user agrees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Asked on the terminal once the plan is shown.
    Typed,
    /// Given beforehand, for the disk that is so described.
    Expected { size: Option<u64>, serial: Option<String> },
    /// There is no terminal and nothing was given beforehand.
    Missing,
}

/// A file or folder that must not be overwritten.
#[derive(Clone, Debug)]
pub struct Kept {
    /// In the words of the message: `the image`.
    pub what: String,
    pub path: PathBuf,
    /// The whole disks that carry it, by name.
    disks: Vec<String>,
}

impl Kept {
    /// Looks up on which disks `path` is stored. An absent path is stored nowhere.
    pub fn find(roots: &Roots, what: &str, path: &Path) -> Self {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        Self { what: what.to_owned(), disks: usage::carriers(roots, &path), path }
    }
}

/// One reason and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: String,
    pub remedy: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.reason, self.remedy)
    }
}

/// Where to look for a card instead.
const CHOOSE: &str = "`cargo xtask devices` lists the cards";

/// Everything that speaks against writing `disk`; empty when it may be written.
pub fn refusals(disk: &Disk, request: &Request) -> Vec<Refusal> {
    let checks = [kind, medium, system, busy, kept, size, sectors, read_only, consent];
    checks.iter().filter_map(|check| check(disk, request)).collect()
}

/// The refusals as one error, for a command that wants to go on only without any.
pub fn refuse(refusals: &[Refusal]) -> anyhow::Result<()> {
    let lines = refusals.iter().map(ToString::to_string).collect::<Vec<_>>();
    match lines.as_slice() {
        [] => Ok(()),
        [one] => Err(Failure::Refused.error(one)),
        many => Err(Failure::Refused.error(format!("nothing was written:\n  - {}", many.join("\n  - ")))),
    }
}

fn refusal(reason: impl Into<String>, remedy: impl Into<String>) -> Refusal {
    Refusal { reason: reason.into(), remedy: remedy.into() }
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

fn busy(disk: &Disk, _: &Request) -> Option<Refusal> {
    if disk.uses.iter().any(Use::is_system) {
        return None;
    }
    let uses = disk.uses.iter().collect::<Vec<_>>();
    let why = listed(&uses)?;
    let places = disk.uses.iter().filter_map(|used| match &used.role {
        Role::Mounted { at } => Some(quoted(at)),
        _ => None,
    });
    let places = places.collect::<Vec<_>>();
    let remedy = if places.is_empty() {
        "take it out of there first".to_owned()
    } else {
        format!("unmount it first: umount {}", places.join(" "))
    };
    Some(refusal(format!("{} is in use: {why}", disk.path.display()), remedy))
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = text.chars().all(|c| c.is_alphanumeric() || "/._-+:@%".contains(c));
    if plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
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

fn kept(disk: &Disk, request: &Request) -> Option<Refusal> {
    let on_it = |kept: &&Kept| kept.disks.contains(&disk.name) || is_file(disk, &kept.path);
    let Kept { what, path, .. } = request.kept.iter().find(on_it)?;
    let reason =
        format!("{what} {} is on {}, which is to be overwritten", path.display(), disk.path.display());
    Some(refusal(reason, "copy it to another disk first"))
}

/// Whether the virtual card `disk` is stored in `path` itself.
fn is_file(disk: &Disk, path: &Path) -> bool {
    match &disk.kind {
        Kind::Loop { backing } => backing.as_deref() == Some(path),
        Kind::File { .. } => disk.path == path,
        _ => false,
    }
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
        Kind::Loop { .. } => "attach it without losetup --read-only",
        Kind::File { .. } => "make it writable with chmod u+w",
        _ => "slide the write-protect switch at the side of the card or its adapter",
    };
    Some(refusal(format!("{} is read-only", disk.path.display()), remedy))
}

fn consent(disk: &Disk, request: &Request) -> Option<Refusal> {
    let path = disk.path.display();
    match &request.consent {
        Consent::Typed => None,
        Consent::Missing => Some(refusal(
            format!("there is no terminal on which to confirm that {path} may be overwritten"),
            format!("confirm with --yes {}", described(disk)),
        )),
        Consent::Expected { size: None, serial: None } => Some(refusal(
            "--yes alone does not say which card is meant",
            format!("add {} for {path}, if that is the one", described(disk)),
        )),
        Consent::Expected { serial: None, .. } if matches!(disk.confirmation(), Confirmation::Serial(_)) => {
            Some(refusal(
                format!(
                    "{path} is large for a card, {}, and its size alone does not name it",
                    Bytes(disk.size)
                ),
                format!("add {}, if that is the one", described(disk)),
            ))
        }
        Consent::Expected { size, serial } => expected(disk, *size, serial.as_deref()),
    }
}

fn expected(disk: &Disk, size: Option<u64>, serial: Option<&str>) -> Option<Refusal> {
    let path = disk.path.display();
    let remedy = "check that this is the card that is meant";
    if let Some(size) = size.filter(|size| *size != disk.size) {
        let found = disk.size;
        return Some(refusal(
            format!("{path} holds {found} bytes, not the {size} that are expected"),
            remedy,
        ));
    }
    let serial = serial.filter(|serial| disk.serial.as_deref() != Some(serial))?;
    let found = disk.serial.as_deref().unwrap_or("none");
    Some(refusal(format!("the serial number of {path} is {found}, not {serial} as is expected"), remedy))
}

/// The option that names exactly this disk. A suspiciously large one is named by its serial.
fn described(disk: &Disk) -> String {
    match disk.confirmation() {
        Confirmation::Serial(serial) => format!("--expect-serial {serial}"),
        _ => format!("--expect-size {}", disk.size),
    }
}
