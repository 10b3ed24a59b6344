//! `status [HOST…]`: shows what each host runs, and how it differs from the flake.

use std::cmp::Reverse;

use anyhow::Result;
use serde_json::Value;

use crate::base::{Context, HostName};
use crate::cli::Status;
use crate::commands::next_step;
use crate::deploy::{self, History, Overrides};
use crate::receipt::{self, Receipt};
use crate::{nix, ui};

pub fn run(cx: &Context, args: &Status) -> Result<()> {
    let named = args.hosts()?;
    nix::require(&cx.launcher)?;
    // A question changes nothing, also not the lock of the flake.
    let nix_args = &nix::with_keep_lock(&args.nix.nix_args);
    let hosts =
        if named.is_empty() { deploy::deployable_hosts(cx, nix_args)? } else { deploy::deduplicate(&named) };
    let receipts = receipt::read_all(cx)?;
    let overrides = Overrides::of_address(args.to.as_ref());
    let statuses = cx.in_phase("query", || {
        deploy::statuses(cx, hosts, &overrides, nix_args, |host| last_receipts(&receipts, host))
    })?;
    for remark in statuses.iter().flat_map(deploy::Status::remarks) {
        cx.warn(remark);
    }
    if cx.json {
        let hosts = statuses.iter().map(deploy::Status::json).collect::<Value>();
        ui::print_json(&serde_json::json!({ "hosts": hosts }))?;
    } else {
        ui::print_table(&deploy::status_table(&statuses))?;
    }
    next_step::deploy(statuses.iter().filter(|status| status.differs()).map(|status| &status.host));
    deploy::unreadable_states_error(&statuses).map_or(Ok(()), Err)
}

/// The last flash and the last deploy of `host` that changed something, the older one first; without such a deploy, the
/// last that found the host as desired. `receipts` begin with the newest.
fn last_receipts(receipts: &[Receipt], host: &HostName) -> History {
    let position = |is_wanted: fn(&Receipt) -> bool| {
        receipts.iter().position(|receipt| receipt.host() == Some(host) && is_wanted(receipt))
    };
    let flash = position(|receipt| matches!(receipt, Receipt::Flash(_)));
    let real_deploy = position(|receipt| matches!(receipt, Receipt::Deploy(deploy) if !deploy.is_no_op()));
    let deploy = real_deploy.or_else(|| position(|receipt| matches!(receipt, Receipt::Deploy(_))));
    let mut positions = flash.into_iter().chain(deploy).collect::<Vec<_>>();
    // A greater position is an older receipt.
    positions.sort_unstable_by_key(|position| Reverse(*position));
    let found = positions.into_iter().map(|position| &receipts[position]).collect::<Vec<_>>();
    History {
        words: found.iter().map(ToString::to_string).collect(),
        last: found.last().map(|receipt| format!("{receipt:#}")),
    }
}
