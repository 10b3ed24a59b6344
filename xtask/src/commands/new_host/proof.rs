//! The evaluation of a new host.

use std::fmt;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::base::failure::{ExitKind, kind, with_hint};
use crate::base::{Context, HostName, Reporter, Silent};
use crate::failure;
use crate::nix;
use crate::nix::flake::{Catalogue, Outputs};

/// What of a new host evaluates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Evaluated {
    /// Its system.
    System,
    /// Its name: no configuration of the flake evaluates now.
    Name,
}

impl fmt::Display for Evaluated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "its system evaluates",
            Self::Name => "the flake lists it, but no configuration of the flake evaluates now",
        })
    }
}

/// Evaluates the host `name`, which the flake has now and had not in `before`.
///
/// # Errors
/// Where the flake does not list the host, and where the host does not evaluate although another host does.
pub fn evaluate(cx: &Context, name: &str, before: &Catalogue, options: &[String]) -> Result<Evaluated> {
    cx.in_phase("evaluate", || {
        let after = Catalogue::read(&cx.launcher, &cx.flake, options)?;
        let is_listed = |host: &HostName| after.hosts().any(|other| other.configured && other.name == *host);
        if !is_listed(&name.into()) {
            return Err(failure!(Refused, "the flake does not list {name} as a host with a configuration"));
        }
        if let Some(lost) = before
            .hosts()
            .map(|host| &host.name)
            .find(|host| !after.hosts().any(|other| other.name == **host))
        {
            return Err(failure!(Refused, "the flake would lose its host {lost}"));
        }
        match evaluate_system(cx, name, options, cx.reporter.as_ref()) {
            Ok(()) => Ok(Evaluated::System),
            Err(error) => blame(cx, before, options, error),
        }
    })
}

/// The `error` of the evaluation of the new host; or, where the other hosts do not evaluate either, a warning: then the
/// new files are not the reason.
fn blame(cx: &Context, before: &Catalogue, options: &[String], error: anyhow::Error) -> Result<Evaluated> {
    let others = before.hosts().filter(|host| host.configured);
    let others = others.map(|host| &host.name).collect::<Vec<_>>();
    if kind(&error) == ExitKind::Interrupted || others.is_empty() {
        return Err(error);
    }
    for other in others {
        match evaluate_system(cx, other, options, &Silent) {
            Ok(()) => return Err(error),
            Err(stopped) if kind(&stopped) == ExitKind::Interrupted => return Err(stopped),
            Err(_) => {}
        }
    }
    // The error names the copy of the flake that was evaluated.
    let reason = with_hint(&error).replace(&cx.flake.to_string(), "the flake");
    cx.warn(format!("no configuration of the flake evaluates now: {reason}"));
    Ok(Evaluated::Name)
}

/// Evaluates the derivation of the system of the host `name`.
fn evaluate_system(cx: &Context, name: &str, options: &[String], reporter: &dyn Reporter) -> Result<()> {
    eval_config(cx, name, "system.build.toplevel.drvPath", options, reporter).map(drop)
}

/// The release of NixOS of the flake's hosts, by the first that evaluates.
pub fn release_of_hosts(cx: &Context, catalogue: &Catalogue, options: &[String]) -> Option<String> {
    let release = |host: &HostName| eval_config(cx, host, "system.nixos.release", options, &Silent).ok();
    let mut configured = catalogue.hosts().filter(|host| host.configured).map(|host| &host.name);
    configured.find_map(release).as_ref().and_then(Value::as_str).map(str::to_owned)
}

/// The value of the `option` of the configuration of the host `name`.
fn eval_config(
    cx: &Context,
    name: &str,
    option: &str,
    options: &[String],
    reporter: &dyn Reporter,
) -> Result<Value> {
    let options = nix::with_keep_lock(options);
    let outputs = Outputs { launcher: &cx.launcher, flake: &cx.flake, options: &options, reporter };
    outputs.eval_at(&["nixosConfigurations", name], &format!("host: host.config.{option}"))
}
