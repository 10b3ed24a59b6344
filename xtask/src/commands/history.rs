//! `history [HOST]`: lists the flashes and deploys of a flake's hosts by their receipts.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use crate::base::{Context, FlakeRef, HostName, Table, Timestamp};
use crate::cli::History;
use crate::nix::Revision;
use crate::receipt::{self, Receipt};
use crate::ui;

pub fn run(cx: &Context, args: &History) -> Result<()> {
    let mut receipts = receipt::read_all(cx)?;
    let all_hosts = receipts.iter().filter_map(Receipt::host).map(str::to_owned).collect::<BTreeSet<_>>();
    receipts.retain(|receipt| args.host.is_none() || receipt.host() == args.host.as_deref());
    receipts.reverse();
    if cx.json {
        return ui::print_json(&serde_json::json!({ "receipts": receipts }));
    }
    warn_of_clock(cx, &receipts);
    if receipts.is_empty() {
        cx.note(no_receipt_note(&cx.flake, args.host.as_ref(), all_hosts));
    }
    ui::print_table(&table(&receipts))
}

/// Warns of receipts from the future. Receipts are in the order of their actions, also where the clock was wrong.
fn warn_of_clock(cx: &Context, receipts: &[Receipt]) {
    let now = Timestamp::now();
    let count = receipts.iter().filter(|receipt| *receipt.when() > now).count();
    if count > 0 {
        let total = receipts.len();
        let verb = if count == 1 { "is" } else { "are" };
        cx.warn(format!(
            "{count} of {total} receipts {verb} dated in the future: the clock was wrong then, or is wrong now"
        ));
    }
}

/// The note for a history of `flake` without receipts of `host`, or of any host; `all_hosts` are the hosts with
/// receipts.
fn no_receipt_note(flake: &FlakeRef, host: Option<&HostName>, all_hosts: BTreeSet<String>) -> String {
    let Some(host) = host else {
        return format!("there is no receipt: nothing was flashed or deployed from {flake} yet");
    };
    let others = all_hosts.into_iter().collect::<Vec<_>>().join(", ");
    let others = if others.is_empty() { String::new() } else { format!(" (hosts with receipts: {others})") };
    format!("there is no receipt of {host}: no flash and no deploy of it was made from {flake} yet{others}")
}

fn table(receipts: &[Receipt]) -> Table {
    let mut table = Table::new(&["WHEN", "WHAT", "HOST", "VERDICT", "TIME", "REVISION", "CONTENT"]);
    for receipt in receipts {
        table.row(cells(receipt));
    }
    table
}

/// The cells of a row of [`table`].
fn cells(receipt: &Receipt) -> [String; 7] {
    let when = receipt.when().to_string();
    let what = receipt.operation().to_owned();
    let host = receipt.host().unwrap_or("-").to_owned();
    let revision = receipt.revision().map_or_else(|| "-".to_owned(), Revision::short);
    let time = |seconds: f64| format!("{seconds:.1} s");
    match receipt {
        Receipt::Flash(flash) => [
            when,
            what,
            host,
            "done".into(),
            time(flash.seconds.total()),
            revision,
            image_name(flash.image.store_path.as_ref(), &flash.image.path),
        ],
        Receipt::BrokenFlash(flash) => {
            let content = format!(
                "{} ({})",
                image_name(flash.image.store_path.as_ref(), &flash.image.path),
                flash.progress()
            );
            let verdict = if flash.end.is_some() { "broken off" } else { "unfinished" };
            [when, what, host, verdict.into(), "-".into(), revision, content]
        }
        Receipt::Deploy(deploy) => {
            let verdict = deploy.verdict.replace('_', " ");
            [when, what, host, verdict, time(deploy.seconds.total()), revision, deploy.to.clone()]
        }
    }
}

/// The store path of an image, or the path of its file without one.
fn image_name(store_path: Option<&String>, file: &Path) -> String {
    store_path.cloned().unwrap_or_else(|| file.display().to_string())
}
