//! `history HOST --diff`: how the packages of each system of a host differ from those of the system before.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use super::HistoryResult;
use crate::base::failure::{ExitKind, kind};
use crate::base::{Context, HostName, Plain, Timestamp};
use crate::deploy::{self, Diff};
use crate::nix::{Revision, StorePath};
use crate::receipt::{self, RecordedSystem};
use crate::ui;

/// A system of the host. Also the JSON.
#[derive(Serialize, JsonSchema)]
pub struct Generation {
    /// The number of the receipt.
    number: Option<u64>,
    /// `flashed` or `deployed`.
    operation: &'static str,
    time: Timestamp,
    system: String,
    revision: Option<Revision>,
    /// The diff to the system before; `None` for the first system, and where a store path is missing.
    diff: Option<Diff>,
    /// The store paths that the store of this machine does not have.
    missing: Vec<String>,
}

/// Shows the systems of `host`, the newest last, each with its diff. `show_none` says that there is none.
///
/// # Errors
/// `Interrupted` if the user stops it.
pub fn show(cx: &Context, host: &HostName, show_none: impl FnOnce()) -> Result<()> {
    let generations = generations(cx, host)?;
    if cx.json {
        let host = Some(host.clone());
        return ui::print_json(&HistoryResult { receipts: None, host, generations: Some(generations) });
    }
    if generations.is_empty() {
        show_none();
        return Ok(());
    }
    let mut texts = generations.iter().enumerate().map(|(index, generation)| generation.text(index == 0));
    texts.try_for_each(|text| ui::print_result(&text))
}

/// The systems of `host`, the newest last. Receipts of the same system in a row are one.
fn generations(cx: &Context, host: &HostName) -> Result<Vec<Generation>> {
    let mut systems = receipt::recorded_systems(cx, &cx.flake, host)?;
    systems.retain(|recorded| recorded.system.is_some());
    systems.reverse();
    systems.dedup_by(|later, earlier| later.system == earlier.system);
    let mut before: Option<String> = None;
    let mut generations = Vec::new();
    for recorded in systems {
        let RecordedSystem { number, verb, when, system, revision } = recorded;
        let system = system.unwrap_or_default();
        let (diff, missing) = match &before {
            Some(before) => compare(cx, before, &system)?,
            None => (None, Vec::new()),
        };
        before = Some(system.clone());
        generations.push(Generation { number, operation: verb, time: when, system, revision, diff, missing });
    }
    Ok(generations)
}

/// The diff of two systems, or the store paths that are missing for it.
fn compare(cx: &Context, from: &str, to: &str) -> Result<(Option<Diff>, Vec<String>)> {
    let paths = [from, to].map(|path| StorePath::containing(path).filter(StorePath::exists));
    let [Some(old), Some(new)] = &paths else {
        let missing = [from, to].into_iter().zip(&paths).filter(|(_, found)| found.is_none());
        return Ok((None, missing.map(|(path, _)| path.to_owned()).collect()));
    };
    match deploy::diff_in_store(&cx.launcher, old, new) {
        Ok(diff) => Ok((Some(diff), Vec::new())),
        Err(error) if kind(&error) == ExitKind::Interrupted => Err(error),
        Err(error) => {
            cx.warn(format!("the changes from {} to {} are unknown: {error:#}", Plain(from), Plain(to)));
            Ok((None, Vec::new()))
        }
    }
}

impl Generation {
    /// The lines of the system, which is the first of the host where `is_first` is set.
    fn text(&self, is_first: bool) -> String {
        let number = self.number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let revision = self.revision.as_ref().map(|revision| format!(", at {}", revision.short()));
        let Self { operation, time, system, .. } = self;
        let changes = match &self.diff {
            Some(diff) => diff.to_string(),
            None if is_first => "  diff  none: no receipt names an earlier system".to_owned(),
            None if self.missing.is_empty() => "  diff  unknown".to_owned(),
            None => {
                format!("  diff  unknown: the store of this machine lacks {}", self.missing.join(" and "))
            }
        };
        format!("{number}  {operation} {time}{}: {system}\n{changes}", revision.unwrap_or_default())
    }
}
