//! `hosts`: lists the hosts of the flake.

use anyhow::Result;
use serde_json::{Value, json};

use crate::base::{Context, ImageSource, Table, failure, interrupt, parallel};
use crate::cli::Hosts;
use crate::commands::keys;
use crate::nix::flake::{Catalogue, Host, HostImage};
use crate::nix::{EvalCache, Fingerprint};
use crate::{nix, ui};

pub fn run(cx: &mut Context, args: &Hosts) -> Result<()> {
    nix::require_any(&cx.launcher)?;
    // A list changes nothing, also not the lock of the flake.
    let options = &nix::with_keep_lock(&args.nix.nix_args);
    let Listed { catalogue, fingerprint } = read(cx, args)?;
    for broken in &catalogue.broken {
        cx.warn(format!("the output `{}` is left out: {}", broken.name, failure::with_hint(&broken.error)));
    }
    let hosts = catalogue.hosts().cloned().collect::<Vec<_>>();
    let images = if args.evaluate {
        evaluate(cx, &hosts, options)?
    } else {
        remembered(cx, &hosts, fingerprint.as_ref())
    };
    let rows = hosts.iter().zip(images).collect::<Vec<_>>();
    if cx.json {
        return ui::json(&rows.iter().map(|(host, image)| row(host, image)).collect::<Value>());
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
    ui::table(&table)
}

/// What Nix says of the whole flake.
struct Listed {
    catalogue: Catalogue,
    /// That of the flake, if earlier evaluations are remembered that it may identify.
    fingerprint: Option<Fingerprint>,
}

/// Reads the names. Where they take a build, reads them again, with all that protects the keys of hosts from builds.
fn read(cx: &mut Context, args: &Hosts) -> Result<Listed> {
    let list = |cx: &Context| cx.in_phase("evaluate", || list(cx, args));
    let listed = list(cx);
    let needs_build = match &listed {
        Ok(listed) => listed.catalogue.broken.iter().any(|broken| nix::is_forbidden_build(&broken.error)),
        Err(error) => nix::is_forbidden_build(error),
    };
    if !needs_build || args.evaluate || cx.launcher.protects_keys() {
        return listed;
    }
    keys::protect(cx, None, &args.nix.nix_args)?;
    list(cx)
}

/// Starts Nix once: for the names, or, where earlier evaluations are remembered, for the fingerprint that leads to
/// them.
fn list(cx: &Context, args: &Hosts) -> Result<Listed> {
    let options = &args.nix.nix_args;
    let cache = EvalCache::new(&cx.state);
    let is_remembered = !args.evaluate && nix::is_cacheable(options) && cache.exists();
    let fingerprint = is_remembered.then(|| Fingerprint::of(&cx.launcher, &cx.flake)).flatten();
    let catalogue = match &fingerprint {
        Some(fingerprint) => Catalogue::get_or_read(&cx.launcher, &cx.flake, &cache, fingerprint),
        None => Catalogue::read(&cx.launcher, &cx.flake, options),
    };
    Ok(Listed { catalogue: catalogue?, fingerprint })
}

/// What is known of the image of a host.
enum Known {
    /// The systems of the package `HOST-sdImage`.
    Systems(Vec<String>),
    /// Found by an evaluation.
    Found(Box<HostImage>),
    /// Why an evaluation found none.
    Missing(anyhow::Error),
    NotEvaluated,
    /// The host has only a deploy node.
    None,
}

/// What the names say, and what earlier evaluations of the flake with this fingerprint found.
fn remembered(cx: &Context, hosts: &[Host], fingerprint: Option<&Fingerprint>) -> Vec<Known> {
    let cache = EvalCache::new(&cx.state);
    let found = |host: &Host| HostImage::from_cache(&cache, fingerprint?, &host.name);
    let recall = |host: &Host| match of_names(host) {
        Known::NotEvaluated => found(host).map_or(Known::NotEvaluated, |image| Known::Found(image.into())),
        known => known,
    };
    hosts.iter().map(recall).collect()
}

fn of_names(host: &Host) -> Known {
    match host {
        Host { image_systems, .. } if !image_systems.is_empty() => Known::Systems(image_systems.clone()),
        Host { configured: true, .. } | Host { in_images: true, .. } => Known::NotEvaluated,
        _ => Known::None,
    }
}

/// Evaluates each host whose names do not say where its image is, each in a process of its own.
fn evaluate(cx: &Context, hosts: &[Host], options: &[String]) -> Result<Vec<Known>> {
    let signals = interrupt::guard()?;
    let images = parallel::map(parallel::max_evaluations(), hosts, |host| match of_names(host) {
        Known::NotEvaluated => {
            let host_cx = cx.for_host(&host.name);
            let found = signals
                .check()
                .and_then(|()| HostImage::find(&host_cx, &ImageSource::Host(host.name.clone()), options));
            found.map_or_else(Known::Missing, |image| Known::Found(image.into()))
        }
        known => known,
    });
    signals.check().map(|()| images)
}

impl std::fmt::Display for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Systems(systems) => f.write_str(&systems.join(", ")),
            Self::Found(image) => image.fmt(f),
            Self::Missing(error) => {
                let text = error.to_string();
                write!(f, "none: {}", text.lines().next().unwrap_or_default())
            }
            Self::NotEvaluated => f.write_str("not evaluated"),
            Self::None => f.write_str("-"),
        }
    }
}

fn row(host: &Host, image: &Known) -> Value {
    let mut row = json!(host);
    row["image"] = match image {
        Known::Systems(systems) => json!({ "state": "found", "place": "convention", "systems": systems }),
        Known::Found(image) => {
            json!({ "state": "found", "place": image.place, "attribute": image.to_string(), "systems": [image.system] })
        }
        Known::Missing(error) => json!({ "state": "missing", "error": failure::with_hint(error) }),
        Known::NotEvaluated => json!({ "state": "not_evaluated" }),
        Known::None => json!({ "state": "none" }),
    };
    row
}
