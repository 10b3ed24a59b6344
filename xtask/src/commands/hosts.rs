//! `hosts`: lists the hosts of the flake.

use anyhow::Result;
use serde_json::{Value, json};

use crate::base::failure;
use crate::base::{Context, Table, interrupt, parallel};
use crate::cli::Hosts;
use crate::commands::flake_hosts::{self, Listing};
use crate::commands::next_step;
use crate::nix::flake::{BrokenOutput, Host, HostImage};
use crate::nix::{EvalCache, Fingerprint};
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
        recall_images(cx, &hosts, fingerprint.as_ref())
    };
    if images.iter().any(|image| matches!(image, KnownImage::NotEvaluated)) {
        next_step::evaluate_hosts();
    }
    let rows = hosts.iter().zip(images).collect::<Vec<_>>();
    if cx.json {
        let hosts = rows.iter().map(|(host, image)| json_row(host, image)).collect::<Value>();
        return ui::print_json(&json!({ "hosts": hosts }));
    }
    if hosts.is_empty() {
        cx.warn(format!("{} has no host with a configuration, an image or a deploy node", cx.flake));
    }
    let mut table = Table::new(&["HOST", "SD IMAGE", "DEPLOY"]);
    for (host, image) in rows {
        table.row([
            host.name.to_string(),
            image.to_string(),
            if host.deploy_node { "yes" } else { "-" }.to_owned(),
        ]);
    }
    ui::print_table(&table)
}

/// What is known of the image of a host.
enum KnownImage {
    /// The flake has a package `HOST-sdImage`, for these systems.
    Package(Vec<String>),
    /// An evaluation found the image, or several of which the user has to choose one.
    Found(Vec<HostImage>),
    /// An evaluation found no image, for this reason.
    Missing(anyhow::Error),
    NotEvaluated,
    /// The host has only a deploy node.
    None,
}

/// The images by the names in the flake, and by earlier evaluations of the flake with this `fingerprint`.
fn recall_images(cx: &Context, hosts: &[Host], fingerprint: Option<&Fingerprint>) -> Vec<KnownImage> {
    let cache = EvalCache::new(&cx.state);
    let recall = |host: &Host| HostImage::from_cache(&cache, fingerprint?, &cx.flake, host);
    let image_of = |host| match image_by_names(host) {
        KnownImage::None => KnownImage::None,
        known => recall(host).map_or(known, KnownImage::of),
    };
    hosts.iter().map(image_of).collect()
}

/// The image of `host` by the names in the flake, without an evaluation of the configuration.
fn image_by_names(host: &Host) -> KnownImage {
    match host {
        Host { image_systems, .. } if !image_systems.is_empty() => KnownImage::Package(image_systems.clone()),
        Host { configured: true, .. } | Host { in_images: true, .. } => KnownImage::NotEvaluated,
        Host { card_packages, .. } if !card_packages.is_empty() => KnownImage::NotEvaluated,
        _ => KnownImage::None,
    }
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
    let images = parallel::map(parallel::max_evaluations(), hosts, |host| match image_by_names(host) {
        KnownImage::None => KnownImage::None,
        _ => KnownImage::of(find(host)),
    });
    signals.check()?;
    Ok(images)
}

impl KnownImage {
    /// The result of an evaluation.
    fn of(found: Result<Vec<HostImage>>) -> Self {
        found.map_or_else(Self::Missing, Self::Found)
    }
}

impl std::fmt::Display for KnownImage {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Package(systems) => f.write_str(&systems.join(", ")),
            Self::Found(images) => match &images[..] {
                [image] => f.write_str(&image.summary()),
                several => write!(f, "{} images: {}", several.len(), attributes(several).join(", ")),
            },
            Self::Missing(error) => write!(f, "none: {}", in_one_line(&error.to_string())),
            Self::NotEvaluated => f.write_str("not evaluated"),
            Self::None => f.write_str("-"),
        }
    }
}

fn attributes(images: &[HostImage]) -> Vec<String> {
    images.iter().map(HostImage::to_string).collect()
}

/// An error of Nix without the position in the flake, in one line.
fn in_one_line(error: &str) -> String {
    let lines = error.lines().take_while(|line| !line.starts_with("  at "));
    lines.map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

fn json_row(host: &Host, image: &KnownImage) -> Value {
    let mut row = json!(host);
    row["image"] = match image {
        KnownImage::Package(systems) => {
            json!({ "state": "found", "place": "convention", "systems": systems })
        }
        KnownImage::Found(images) => match &images[..] {
            [image] => {
                json!({ "state": "found", "place": image.place, "attribute": image.to_string(), "systems": [image.system] })
            }
            several => json!({ "state": "several", "attributes": attributes(several) }),
        },
        KnownImage::Missing(error) => json!({ "state": "missing", "error": failure::with_hint(error) }),
        KnownImage::NotEvaluated => json!({ "state": "not_evaluated" }),
        KnownImage::None => json!({ "state": "none" }),
    };
    row
}
