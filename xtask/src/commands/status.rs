//! `status [HOST…]`: shows what each host runs, and how it differs from the flake.

use anyhow::Result;
use serde_json::Value;

use super::host_status;
use crate::base::Context;
use crate::cli::Status;
use crate::commands::next_step;
use crate::deploy::{self, Overrides};
use crate::{nix, ui};

pub fn run(cx: &Context, args: &Status) -> Result<()> {
    let named = args.hosts()?;
    nix::require(&cx.launcher)?;
    // A question changes nothing, also not the lock of the flake.
    let nix_args = &nix::with_keep_lock(&args.nix.nix_args);
    let hosts =
        if named.is_empty() { deploy::deployable_hosts(cx, nix_args)? } else { deploy::deduplicate(&named) };
    let statuses = host_status::read(cx, hosts, &Overrides::of_address(args.to.as_ref()), nix_args)?;
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
