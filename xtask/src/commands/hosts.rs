//! `hosts`: lists the hosts of the flake.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use crate::base::{Context, JsonResult, Table, interrupt, parallel};
use crate::cli::Hosts;
use crate::commands::flake_hosts::{self, Listing};
use crate::commands::known_image::{ImageRow, KnownImage};
use crate::commands::next_step;
use crate::nix::flake::{BrokenOutput, Host, HostImage};
use crate::{nix, ui};

pub fn run(cx: &mut Context, args: &Hosts) -> Result<()> {
    nix::require_any(&cx.launcher)?;
    // A list changes nothing, also not the lock of the flake.
    let options = &nix::with_keep_lock(&args.nix.nix_args);
    let Listing { catalogue, fingerprint } = flake_hosts::list(cx, &args.nix.nix_args, args.evaluate)?;
    for broken in &catalogue.broken {
        cx.reporter.warn_once(&broken.warning());
    }
    let hosts = catalogue.hosts().cloned().collect::<Vec<_>>();
    let images = if args.evaluate {
        evaluate_images(cx, &hosts, &catalogue.broken, options)?
    } else {
        hosts.iter().map(|host| KnownImage::recall(cx, host, fingerprint.as_ref())).collect()
    };
    if hosts.is_empty() && cx.flake.folder().is_some() {
        ui::end_with(next_step::new_host(""));
    }
    if images.iter().any(|image| matches!(image, KnownImage::NotEvaluated)) {
        next_step::evaluate_hosts();
    }
    let rows = hosts.iter().zip(images).collect::<Vec<_>>();
    if cx.json {
        let hosts = rows.iter().map(|(host, image)| HostRow::new(host, image)).collect();
        return ui::print_json(&HostsResult { hosts });
    }
    if hosts.is_empty() {
        cx.warn(format!("{} has no host with a configuration, an image or a deploy node", cx.flake));
    }
    let mut table = Table::new(&["HOST", "SD IMAGE", "DEPLOY"]).with_folded("SD IMAGE");
    for (host, image) in rows {
        table.row([
            host.name.to_string(),
            image.to_string(),
            if host.deploy_node { "yes" } else { "-" }.to_owned(),
        ]);
    }
    ui::print_table(&table)
}

/// Finds the images. Evaluates each host that may have one, in a process of its own, without the `broken` outputs.
///
/// # Errors
/// `Interrupted` for Ctrl-C.
fn evaluate_images(
    cx: &Context,
    hosts: &[Host],
    broken: &[BrokenOutput],
    options: &[String],
) -> Result<Vec<KnownImage>> {
    let signals = interrupt::guard()?;
    let find = |host: &Host| {
        signals.check()?;
        HostImage::all_of_host(&cx.for_host(&host.name), host, broken, options)
    };
    let images = parallel::map(parallel::max_evaluations(), hosts, |host| match KnownImage::by_names(host) {
        KnownImage::None => KnownImage::None,
        _ => KnownImage::of(host, find(host)),
    });
    signals.check()?;
    Ok(images)
}

/// The JSON result.
#[derive(Serialize, JsonSchema)]
pub struct HostsResult {
    hosts: Vec<HostRow>,
}

impl JsonResult for HostsResult {}

/// A host and its image.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FlakeHost")]
struct HostRow {
    #[serde(flatten)]
    host: Host,
    image: ImageRow,
}

impl HostRow {
    fn new(host: &Host, image: &KnownImage) -> Self {
        Self { host: host.clone(), image: ImageRow::from(image) }
    }
}
