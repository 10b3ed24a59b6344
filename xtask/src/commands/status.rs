//! `status [HOST…]`: shows what each host runs, and how it differs from the flake.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use super::{host_status, release_file};
use crate::bail;
use crate::base::failure::kind;
use crate::base::{Context, JsonResult};
use crate::cli::{MAX_KEPT_SECONDS, Status};
use crate::commands::next_step;
use crate::deploy::{self, DesiredBy, HostStatus, KeptConnections, Overrides, ReleaseMark};
use crate::receipt::{self, Deployed, Flashed, Receipt};
use crate::{nix, ui};

pub fn run(cx: &Context, args: &Status) -> Result<()> {
    let named = args.hosts()?;
    let keep_seconds = keep_seconds(cx, args)?;
    // A question changes nothing, also not the lock of the flake.
    let nix_args = &nix::with_keep_lock(&args.nix.nix_args);
    let release = release_file::open(cx, &args.from)?;
    let options = release_file::options(&args.from);
    if release.is_none() {
        nix::require(&cx.launcher)?;
    }
    let hosts = match &release {
        _ if !named.is_empty() => deploy::deduplicate(&named),
        Some(release) => release.names(),
        None => deploy::deployable_hosts(cx, nix_args, true)?,
    };
    let desired = release.as_deref().map_or(DesiredBy::Flake { nix_args }, DesiredBy::Release);
    let receipts = receipt::read_all(cx)?;
    let overrides = Overrides::of_address(args.to.as_ref());
    let kept = keep_seconds.and_then(|seconds| KeptConnections::of(cx, seconds));
    let statuses = host_status::read(cx, &receipts, hosts, &overrides, desired, kept.as_ref())?;
    for status in &statuses {
        // A remark may not name its host.
        let of_host = cx.for_host(&status.host);
        let reporter = if statuses.len() > 1 { &of_host.reporter } else { &cx.reporter };
        status.remarks().iter().for_each(|remark| reporter.report(remark));
    }
    if cx.json {
        let hosts = statuses.iter().map(|status| HostRow::new(status, &receipts)).collect();
        let release = release.as_ref().map(|release| release.mark.clone());
        ui::print_json(&StatusResult { release, hosts })?;
    } else {
        ui::print_table(&deploy::status_table(&statuses))?;
    }
    let step = next_step::of_status(&options, &statuses);
    match (deploy::unreadable_states_error(&statuses), step) {
        (None, step) => {
            step.into_iter().for_each(ui::end_with);
            Ok(())
        }
        (Some(error), Some(step)) => {
            Err(kind(&error).error_with_hint(&error, format!("for the other hosts: `{}`", step.command)))
        }
        (Some(error), None) => Err(error),
    }
}

/// How many seconds connections are kept, by the option or by `XTASK_KEEP_CONNECTIONS`; `None` where neither is set.
///
/// # Errors
/// `Usage` for a variable that is no such number.
fn keep_seconds(cx: &Context, args: &Status) -> Result<Option<u32>> {
    let variable = cx.launcher.env("XTASK_KEEP_CONNECTIONS").filter(|value| !value.is_empty());
    let (None, Some(value)) = (args.keep_connections, variable) else { return Ok(args.keep_connections) };
    let value = value.to_string_lossy();
    match value.parse() {
        Ok(seconds) if seconds <= MAX_KEPT_SECONDS => Ok(Some(seconds)),
        _ => bail!(
            Usage, "XTASK_KEEP_CONNECTIONS is `{value}`, and no number of seconds up to {MAX_KEPT_SECONDS}";
            hint: "unset it, or set it to a number such as 600"
        ),
    }
}

/// The JSON result.
#[derive(Serialize, JsonSchema)]
pub struct StatusResult {
    /// The release that hosts are compared with; `None` for the flake.
    release: Option<ReleaseMark>,
    hosts: Vec<HostRow>,
}

impl JsonResult for StatusResult {}

/// A host, and its last receipts in the state folder of the flake.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "StatusHost")]
struct HostRow {
    #[serde(flatten)]
    status: HostStatus,
    last_flash: Option<Flashed>,
    last_deploy: Option<Deployed>,
}

impl HostRow {
    /// The row of `status`; `receipts` begin with the newest.
    fn new(status: &deploy::Status, receipts: &[Receipt]) -> Self {
        let host = status.host.as_str();
        let mut of_host = receipts.iter().filter(|receipt| receipt.host() == Some(host));
        let last_flash = of_host.clone().find_map(|receipt| match receipt {
            Receipt::Flash(flashed) => Some((**flashed).clone()),
            _ => None,
        });
        let last_deploy = of_host.find_map(|receipt| match receipt {
            Receipt::Deploy(deployed) => Some((**deployed).clone()),
            _ => None,
        });
        Self { status: HostStatus::of(status), last_flash, last_deploy }
    }
}
