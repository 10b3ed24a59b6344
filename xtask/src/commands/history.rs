//! `history [HOST]`: lists the flashes and deploys of a flake's hosts by their receipts.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::base::{Context, HostName, Table};
use crate::cli::History;
use crate::receipt::{self, Receipt, Timestamp};
use crate::ui;

pub fn run(cx: &Context, args: &History) -> Result<()> {
    let mut receipts = receipt::read_all(cx)?;
    let known = receipts.iter().filter_map(Receipt::host).map(str::to_owned).collect::<BTreeSet<_>>();
    receipts.retain(|receipt| args.host.is_none() || receipt.host() == args.host.as_deref());
    receipts.reverse();
    if cx.json {
        return ui::json(&receipts);
    }
    warn_of_clock(cx, &receipts);
    if receipts.is_empty() {
        cx.note(no_receipt(args.host.as_ref(), known));
    }
    ui::table(&table(&receipts))
}

/// Warns of receipts from the future. Receipts are in the order of their actions, also where the clock was wrong.
fn warn_of_clock(cx: &Context, receipts: &[Receipt]) {
    let now = Timestamp::now();
    let count = receipts.iter().filter(|receipt| *receipt.when() > now).count();
    if count > 0 {
        let total = receipts.len();
        cx.warn(format!(
            "{count} of {total} receipts are dated in the future: the clock was wrong then, or is wrong now"
        ));
    }
}

/// The note for a history without receipts of `host`; `known` are the hosts with receipts.
fn no_receipt(host: Option<&HostName>, known: BTreeSet<String>) -> String {
    let Some(host) = host else {
        return "there is no receipt: nothing was flashed or deployed from this flake yet".into();
    };
    let hosts = known.into_iter().collect::<Vec<_>>().join(", ");
    let others = if hosts.is_empty() { String::new() } else { format!(" (receipts: {hosts})") };
    format!("there is no receipt of {host}: it was not flashed or deployed to from this flake yet{others}")
}

fn table(receipts: &[Receipt]) -> Table {
    let mut table = Table::new(&["WHEN", "WHAT", "HOST", "VERDICT", "TIME", "CONTENT"]);
    for receipt in receipts {
        table.row(cells(receipt));
    }
    table
}

fn cells(receipt: &Receipt) -> [String; 6] {
    let time = |seconds: f64| format!("{seconds:.1} s");
    match receipt {
        Receipt::Flash(it) => [
            it.when.to_string(),
            receipt.operation().into(),
            it.card_host().unwrap_or("-").to_owned(),
            "done".into(),
            time(it.seconds.total()),
            it.image.store_path.clone().unwrap_or_else(|| it.image.path.display().to_string()),
        ],
        Receipt::BrokenFlash(it) => [
            it.when.to_string(),
            receipt.operation().into(),
            it.host.as_deref().unwrap_or("-").to_owned(),
            "broken off".into(),
            "-".into(),
            format!(
                "{} ({})",
                it.image.store_path.clone().unwrap_or_else(|| it.image.path.display().to_string()),
                it.progress()
            ),
        ],
        Receipt::Deploy(it) => [
            it.when.to_string(),
            receipt.operation().into(),
            it.host.to_string(),
            it.verdict.replace('_', " "),
            time(it.seconds.total()),
            it.to.clone(),
        ],
    }
}
