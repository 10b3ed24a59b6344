//! `history [HOST]`: lists the flashes and deploys of a flake's hosts by their receipts, and how the systems of a host
//! differ.

mod diffs;
mod rows;

use std::collections::BTreeSet;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use crate::base::{Context, FlakeRef, HostName, JsonResult, Timestamp};
use crate::cli::History;
use crate::commands::{flake_hosts, next_step};
use crate::receipt::{self, Numbered};
use crate::ui;

pub fn run(cx: &mut Context, args: &History) -> Result<()> {
    let mut receipts = receipt::read_numbered(cx)?;
    let host_of = |numbered: &Numbered| numbered.receipt.host().map(str::to_owned);
    let all_hosts = receipts.iter().filter_map(host_of).collect::<BTreeSet<_>>();
    receipts.retain(|numbered| args.host.is_none() || numbered.receipt.host() == args.host.as_deref());
    receipts.reverse();
    if let Some(host) = args.host.as_ref().filter(|_| receipts.is_empty())
        && let Some(error) = flake_hosts::find_unknown(cx, host, &[])?
    {
        return Err(error.context(format!("there is no receipt of {host}")));
    }
    if let Some(host) = args.host.as_ref().filter(|_| args.diff) {
        return diffs::show(cx, host, || show_none(cx, Some(host), all_hosts));
    }
    if cx.json {
        return ui::print_json(&HistoryResult { receipts: Some(receipts), host: None, generations: None });
    }
    warn_of_clock(cx, &receipts);
    if receipts.is_empty() {
        show_none(cx, args.host.as_ref(), all_hosts);
        return Ok(());
    }
    ui::print_table(&rows::table(&receipts))
}

/// The JSON result: the receipts, or with `--diff` the systems of a host; both with the oldest first.
#[derive(Serialize, JsonSchema)]
pub struct HistoryResult {
    receipts: Option<Vec<Numbered>>,
    host: Option<HostName>,
    generations: Option<Vec<diffs::Generation>>,
}

impl JsonResult for HistoryResult {}

/// Warns of receipts from the future. Receipts are in the order of their actions, also where the clock was wrong.
fn warn_of_clock(cx: &Context, receipts: &[Numbered]) {
    let now = Timestamp::now();
    let count = receipts.iter().filter(|numbered| *numbered.receipt.when() > now).count();
    if count > 0 {
        let total = receipts.len();
        let verb = if count == 1 { "is" } else { "are" };
        cx.warn(format!(
            "{count} of {total} receipts {verb} dated in the future: the clock was wrong then, or is wrong now"
        ));
    }
}

/// Says that there is no history of `host`, or of any host, and what begins one.
fn show_none(cx: &Context, host: Option<&HostName>, all_hosts: BTreeSet<String>) {
    cx.note(no_history_note(&cx.flake, host, all_hosts));
    match host {
        Some(host) => ui::end_with(next_step::up(host, false).because("writes its card and deploys to it")),
        None => next_step::overview(),
    }
}

/// The note for a history of `flake` without receipts of `host`, or of any host; `all_hosts` are the hosts with
/// receipts.
fn no_history_note(flake: &FlakeRef, host: Option<&HostName>, all_hosts: BTreeSet<String>) -> String {
    let Some(host) = host else {
        return format!("no history: nothing was flashed or deployed from {flake} yet");
    };
    let others = all_hosts.into_iter().collect::<Vec<_>>().join(", ");
    let others = if others.is_empty() { String::new() } else { format!(" (hosts with receipts: {others})") };
    format!("no history of {host}: no flash and no deploy of it was made from {flake} yet{others}")
}
