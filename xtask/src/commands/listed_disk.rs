//! The disks of this machine as `flash` judges them, for the commands that list cards.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use crate::base::failure::Reason;
use crate::card::disk::{self, Disk, DiskKind, Refusal, Request, Roots, VirtualCards};

/// A disk, and whether `flash` accepts it. Also the JSON.
#[derive(Clone, Serialize, JsonSchema)]
pub struct ListedDisk {
    #[serde(flatten)]
    pub disk: Disk,
    pub accepted: bool,
    pub refusals: Vec<Reason>,
    /// `yes`, or the first refusal without its remedy and the name of the disk: enough to choose a card in a table.
    /// `flash` prints all refusals.
    #[serde(skip)]
    pub verdict: String,
}

/// Which disks are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// Those whose kind is that of a card, even if `flash` refuses the disk now.
    Cards,
    All,
}

/// The disks as `flash` judges them by `request`, the accepted ones first.
pub fn list(request: &Request, listed: Listed) -> Result<Vec<ListedDisk>> {
    let disks = disk::list(&Roots::default())?.into_iter();
    let disks = disks.filter(|disk| listed == Listed::All || is_card_by_kind(disk, request));
    let mut judged = disks.map(|disk| judge(disk, request)).collect::<Vec<_>>();
    judged.sort_by_key(|listed| !listed.accepted);
    Ok(judged)
}

/// Whether the kind of `disk` is that of a card.
fn is_card_by_kind(disk: &Disk, request: &Request) -> bool {
    let is_allowed_virtual_card = disk.kind.is_virtual() && request.virtual_cards == VirtualCards::Allowed;
    is_allowed_virtual_card || matches!(disk.kind, DiskKind::SdCard | DiskKind::Usb)
}

fn judge(disk: Disk, request: &Request) -> ListedDisk {
    let refusals = disk::refusals(&disk, request);
    let subject = format!("{} is ", disk.path.display());
    let verdict = refusals.first().map_or("yes".to_owned(), |refusal| {
        format!("no: {}", refusal.reason.strip_prefix(&subject).unwrap_or(&refusal.reason))
    });
    let refusals = refusals.iter().map(Refusal::to_reason).collect::<Vec<_>>();
    ListedDisk { accepted: refusals.is_empty(), disk, refusals, verdict }
}
