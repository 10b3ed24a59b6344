//! The results of `flash` and `restore`, for programs.

use std::path::PathBuf;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use super::plan_facts::CardIdentity;
use crate::base::{ErrorReport, HostName, JsonResult};
use crate::card::disk::Disk;
use crate::card::flash::{Mode, Plan, Report};
use crate::card::saved_state::Survey;
use crate::identity::{LoginKeys, UserKey};
use crate::nix::Revision;
use crate::ui;

/// The JSON result of `flash`.
#[derive(Serialize, JsonSchema)]
pub struct FlashResult {
    /// Whether the card was only checked, by `--dry-run`.
    dry_run: bool,
    device: PathBuf,
    disk: Disk,
    /// The file of the image.
    image: PathBuf,
    /// The decompressed size of the image.
    bytes: u64,
    /// The SHA-256 of the file in hexadecimal digits.
    file_sha256: Option<String>,
    mode: Mode,
    /// The mount points from which the card is unmounted first.
    unmount: Vec<PathBuf>,
    /// The host of the image or of the identity; `None` where neither names one.
    host: Option<HostName>,
    identity: Option<CardIdentity>,
    /// The paths that the card gets beside the image, relative to the folder of the payload.
    paths: Vec<String>,
    /// The keys by which users log in; `None` where they are unknown.
    #[schemars(with = "Option<Vec<UserKey>>")]
    login_keys: Option<LoginKeys>,
    /// What was written, as read back; `None` for a dry run, and for a card that failed.
    report: Option<Report>,
}

impl JsonResult for FlashResult {}

/// The JSON result of `flash` of several cards.
#[derive(Serialize, JsonSchema)]
pub struct FlashCardsResult {
    /// In the order of the command line.
    pub cards: Vec<FlashedCard>,
}

impl JsonResult for FlashCardsResult {}

/// One of several cards.
#[derive(Serialize, JsonSchema)]
pub struct FlashedCard {
    #[serde(flatten)]
    flash: FlashResult,
    /// Why the card failed; `None` for one that did not.
    error: Option<ErrorReport>,
}

impl FlashedCard {
    /// The result of a dry run by `plan`, of the image of `host`.
    pub fn planned(plan: &Plan, host: Option<&HostName>) -> Self {
        Self { flash: FlashResult::new(plan, host, None, true), error: None }
    }

    /// The result of a card that was to be written by `plan`, with the image of `host`.
    pub fn written(
        plan: &Plan,
        host: Option<&HostName>,
        report: Option<&Report>,
        error: Option<&anyhow::Error>,
    ) -> Self {
        Self { flash: FlashResult::new(plan, host, report, false), error: error.map(ErrorReport::of) }
    }
}

/// The JSON result of `restore`.
#[derive(Serialize, JsonSchema)]
pub struct RestoreResult {
    #[serde(flatten)]
    flash: FlashResult,
    #[serde(flatten)]
    restored: RestoredFacts,
}

impl JsonResult for RestoreResult {}

/// What `restore` writes to a card.
#[derive(Clone, Serialize, JsonSchema)]
pub struct RestoredFacts {
    /// The system that the card was to get; `None` where only the build knew it.
    pub planned_system: Option<String>,
    /// The revision of the flake that the image was built from.
    pub revision: Option<Revision>,
    /// The saved state on the card, if there is one.
    pub state: Option<StateFacts>,
}

/// A saved state on a card.
#[derive(Clone, Serialize, JsonSchema)]
pub struct StateFacts {
    /// Where the state comes from, in words.
    pub source: String,
    /// The folder of the state on the running host.
    pub folder: String,
    pub content: Survey,
}

impl FlashResult {
    /// The result by `plan`, of the image of `host`. Without a `report` the card was not written, or not completely.
    fn new(plan: &Plan, host: Option<&HostName>, report: Option<&Report>, dry_run: bool) -> Self {
        let content = plan.payload.as_ref().map(|payload| &payload.content);
        let identity = content.and_then(|content| content.identity.clone());
        let of_identity = identity.as_ref().map(|identity| identity.host.clone());
        let card_identity = if report.is_some() { CardIdentity::written } else { CardIdentity::planned };
        let entries = content.map_or(&[][..], |content| &content.entries);
        Self {
            dry_run,
            device: plan.disk.path.clone(),
            disk: plan.disk.clone(),
            image: plan.image.source.path.clone(),
            bytes: plan.image.size,
            file_sha256: plan.image.file_sha256.clone(),
            mode: plan.mode,
            unmount: plan.unmount.clone(),
            host: host.cloned().or(of_identity),
            identity: identity.map(card_identity),
            paths: entries.iter().map(|entry| entry.path.clone()).collect(),
            login_keys: plan.login_keys.clone(),
            report: report.cloned(),
        }
    }
}

/// Prints the result of a flash, or of a restore of what is `restored`. Without a `report` it is that of a dry run.
pub fn print(
    plan: &Plan,
    host: Option<&HostName>,
    report: Option<&Report>,
    restored: Option<&RestoredFacts>,
) -> Result<()> {
    let flash = FlashResult::new(plan, host, report, report.is_none());
    match restored.cloned() {
        Some(restored) => ui::print_json(&RestoreResult { flash, restored }),
        None => ui::print_json(&flash),
    }
}
