//! `new-host NAME`: writes the files of a new host into the flake, if a copy of the flake with them evaluates.

mod flake_copy;
mod listed;
mod proof;

use std::path::{Path, PathBuf};

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use super::flake_hosts;
use super::next_step;
use super::payload::read_keys;
use super::plan_facts::PlanFacts;
use super::required_boards;
use crate::base::failure::ExitKind;
use crate::base::{Context, FlakeRef, JsonResult, NextStep};
use crate::cli::NewHost as Args;
use crate::nix::flake::Catalogue;
use crate::nix::new_host::{self, Draft, Drafted, NewHost};
use crate::{bail, failure, nix, ui};
use flake_copy::FlakeCopy;
use proof::Evaluated;

/// The module of the hosts whose evaluation warns of one that lets nobody in.
const WARNS_OF_NO_KEY: &str = "hosts/common/logins.nix";

/// The JSON result. Paths are relative to the folder of the flake.
#[derive(Serialize, JsonSchema)]
pub struct NewHostResult {
    host: String,
    new_files: Vec<PathBuf>,
    changed_files: Vec<PathBuf>,
    /// Whether git lists the new files; `None` where no git decides what Nix sees.
    is_in_git: Option<bool>,
    /// What of the host evaluates; `None` where nothing was written.
    evaluated: Option<Evaluated>,
    /// What the user adds by hand to a flake of an unknown shape; `None` where the files were written.
    add: Option<String>,
}

impl JsonResult for NewHostResult {}

pub fn run(cx: &mut Context, args: &Args) -> Result<()> {
    check_names(args)?;
    let keys = read_all_keys(args)?;
    let folder = flake_folder(&cx.flake)?;
    let with_hint = |error| listed::with_hint(cx, &folder, &args.name, error);
    new_host::refuse_known(&folder, &args.name).map_err(with_hint)?;
    nix::require_any(&cx.launcher)?;
    // Then an error of the copy is one of the new host.
    let catalogue = flake_hosts::list(cx, &args.nix.nix_args, true)?.catalogue;
    let with_hint = |error| listed::with_hint(cx, &folder, &args.name, error);
    refuse_known(&folder, &catalogue, &args.name).map_err(with_hint)?;
    let host = NewHost {
        name: args.name.clone(),
        admin: args.admin.clone(),
        address: args.address.clone().unwrap_or_else(|| args.name.clone()),
        board: args.board.name,
        has_wifi: args.wifi,
        keys,
        release: release(cx, args, &folder, &catalogue)?,
    };
    match new_host::draft(&folder, &host).map_err(with_hint)? {
        Drafted::Draft(draft) => write(cx, args, &folder, &host, &draft, &catalogue),
        Drafted::ByHand { reason, text } => print_by_hand(cx, &host, &reason, &text),
    }
}

/// Shows the draft, evaluates a copy of the flake with it, writes the files, and prints the result.
fn write(
    cx: &Context,
    args: &Args,
    folder: &Path,
    host: &NewHost,
    draft: &Draft,
    catalogue: &Catalogue,
) -> Result<()> {
    let facts = PlanFacts::NewHost {
        host: host.name.clone(),
        new_files: draft.new_paths(),
        changed_files: draft.changed_paths(),
    };
    cx.show_plan(draft, &facts);
    required_boards::note_unseen(cx, args.board.board);
    let copy = FlakeCopy::make(cx, folder)?;
    draft.write(copy.flake_folder())?;
    let evaluated = proof::evaluate(&copy.context(cx), &host.name, catalogue, &args.nix.nix_args)
        .map_err(|error| not_written(&host.name, error))?;
    draft.write(folder)?;
    let is_listed = listed::add(cx, folder, draft, args.git_add)?;
    if evaluated == Evaluated::Name || !folder.join(WARNS_OF_NO_KEY).is_file() {
        warn_of_no_key(cx, folder, host);
    }
    let needed = draft.needed_paths();
    let unlisted = if is_listed == Some(false) { needed.as_slice() } else { &[] };
    let step = match evaluated {
        Evaluated::System => next_step::up(&host.name, host.has_wifi),
        Evaluated::Name => {
            NextStep::run_because("cargo xtask hosts --evaluate", "no host of the flake evaluates now")
        }
    };
    next_step::after_new_host(step, folder, unlisted);
    show(cx, host, draft, evaluated, is_listed)
}

/// The `error` of the evaluation with `host`, which says what that means for the files. An interrupt says it already.
fn not_written(host: &str, error: anyhow::Error) -> anyhow::Error {
    match failure::kind(&error) {
        ExitKind::Interrupted => error,
        _ => error.context(format!("evaluating a copy of the flake with {host}; nothing was written")),
    }
}

/// Prints the result. `is_listed`: whether git lists the files; `None` where no git decides.
fn show(
    cx: &Context,
    host: &NewHost,
    draft: &Draft,
    evaluated: Evaluated,
    is_listed: Option<bool>,
) -> Result<()> {
    if cx.json {
        return ui::print_json(&NewHostResult {
            host: host.name.clone(),
            new_files: draft.new_paths(),
            changed_files: draft.changed_paths(),
            is_in_git: is_listed,
            evaluated: Some(evaluated),
            add: None,
        });
    }
    ui::print_result(&format!("{} is in {}: {evaluated}", host.name, draft.edit.path.display()))
}

/// Prints what the user adds to a flake of another shape, and fails: nothing was written.
fn print_by_hand(cx: &Context, host: &NewHost, reason: &str, text: &str) -> Result<()> {
    if cx.json {
        ui::print_json(&NewHostResult {
            host: host.name.clone(),
            new_files: Vec::new(),
            changed_files: Vec::new(),
            is_in_git: None,
            evaluated: None,
            add: Some(text.to_owned()),
        })?;
    } else {
        ui::print_lines(text)?;
    }
    bail!(Refused, "{reason}; nothing was written"; hint: "add the text on stdout by hand, then run `cargo xtask hosts`")
}

fn check_names(args: &Args) -> Result<()> {
    new_host::check_host(&args.name)?;
    new_host::check_user(&args.admin)?;
    args.address.as_deref().map(new_host::check_address).transpose()?;
    match &args.state_version {
        Some(release) if !new_host::is_release(release) => {
            bail!(Usage, "{release} is no release of NixOS"; hint: "pass one such as 26.05")
        }
        _ => Ok(()),
    }
}

/// The keys of `--ssh-key`, each once, as lines of `authorized_keys`.
fn read_all_keys(args: &Args) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for file in &args.ssh_key {
        for key in read_keys(file)? {
            let line = key.line().to_owned();
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    Ok(lines)
}

/// The folder of the flake, where its files are written.
fn flake_folder(flake: &FlakeRef) -> Result<PathBuf> {
    let folder = flake.folder().filter(|folder| folder.join("flake.nix").is_file());
    let folder = folder.ok_or_else(|| {
        failure!(
            Usage, "{flake} is no folder of this machine";
            hint: "run the command in a checkout of the flake, or pass its folder as --flake FOLDER"
        )
    })?;
    Ok(folder.to_owned())
}

/// Refuses a host `name` that the flake in `folder` has by its names, where its files do not tell.
fn refuse_known(folder: &Path, catalogue: &Catalogue, name: &str) -> Result<()> {
    let is_known = catalogue.hosts().any(|host| host.name == *name);
    if is_known { Err(new_host::known_error(folder, "the flake", name)) } else { Ok(()) }
}

/// The release for `system.stateVersion`: that of the user, of the locked nixpkgs, or of a host.
fn release(cx: &Context, args: &Args, folder: &Path, catalogue: &Catalogue) -> Result<String> {
    if let Some(release) = args.state_version.clone().or_else(|| new_host::release(folder)) {
        return Ok(release);
    }
    let found = proof::release_of_hosts(cx, catalogue, &args.nix.nix_args);
    found.ok_or_else(|| {
        failure!(
            Refused, "the release of the flake's nixpkgs is unknown";
            hint: "pass --state-version RELEASE, such as 26.05"
        )
    })
}

/// Warns of a host that lets nobody in, in the shape where a card may get a key of its own.
fn warn_of_no_key(cx: &Context, folder: &Path, host: &NewHost) {
    let file = format!("{}/{}.pub", new_host::LOGIN_KEYS, host.admin);
    if host.keys.is_empty() && !folder.join(&file).exists() {
        cx.warn(format!(
            "nobody can log in to {} yet: copy your public ssh key to {file}, or pass --ssh-key to `flash`",
            host.name
        ));
    }
}
