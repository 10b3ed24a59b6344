//! `status [HOST…]`: shows what each host runs, and how it differs from the flake.

use anyhow::Result;
use serde_json::Value;

use crate::base::{Context, HostName};
use crate::cli::Status;
use crate::deploy::{self, History, Overrides};
use crate::receipt::{self, Receipt};
use crate::{nix, ui};

pub fn run(cx: &Context, args: &Status) -> Result<()> {
    let named = args.hosts()?;
    nix::require(&cx.launcher)?;
    // A question changes nothing, also not the lock of the flake.
    let nix_args = &nix::with_keep_lock(&args.nix.nix_args);
    let hosts = match named {
        named if named.is_empty() => deploy::deployable_hosts(cx, nix_args)?,
        named => deploy::deduplicate(&named),
    };
    let receipts = receipt::read_all(cx)?;
    let overrides = Overrides::of_address(args.to.as_ref());
    let statuses = cx.in_phase("query", || {
        deploy::statuses(cx, hosts, &overrides, nix_args, |host| last(&receipts, host))
    })?;
    for remark in statuses.iter().flat_map(deploy::Status::remarks) {
        cx.warn(remark);
    }
    if cx.json {
        ui::json(&statuses.iter().map(deploy::Status::json).collect::<Value>())?;
    } else {
        ui::table(&deploy::status_table(&statuses))?;
    }
    deploy::unreadable_states_error(&statuses).map_or(Ok(()), Err)
}

/// The last flash and the last deploy of `host`, in order of time; `receipts` are the newest first.
fn last(receipts: &[Receipt], host: &HostName) -> History {
    let of_host = || receipts.iter().filter(|receipt| receipt.host() == Some(host)).enumerate();
    let flash = of_host().find(|(_, receipt)| matches!(receipt, Receipt::Flash(_)));
    let deploy = of_host().find(|(_, receipt)| matches!(receipt, Receipt::Deploy(_)));
    let mut both = flash.into_iter().chain(deploy).collect::<Vec<_>>();
    both.sort_unstable_by_key(|(age, _)| std::cmp::Reverse(*age));
    History {
        words: both.iter().map(|(_, receipt)| receipt.to_string()).collect(),
        last: both.last().map(|(_, receipt)| format!("{receipt:#}")),
    }
}
