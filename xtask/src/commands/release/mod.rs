//! `release`: builds hosts, and writes a signed file that says what each is to run.

mod images;
mod write;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use super::next_step;
use crate::base::{Context, HostName, JsonResult, Timestamp, Tone, interrupt};
use crate::cli::MakeRelease;
use crate::deploy::{self, Candidate, Content, ReleasedHost, SCHEMA, Tags};
use crate::nix::{self, Revision};
use crate::{bail, ui};

/// The seconds of a day.
const DAY: u64 = 24 * 60 * 60;

pub fn run(cx: &Context, args: &MakeRelease) -> Result<()> {
    interrupt::set_undone(Some("no release was written"));
    let version = nix::require(&cx.launcher)?;
    write::check(cx, args)?;
    let nix_args = &args.nix.nix_args[..];
    let revision = find_revision(cx, args)?;
    let (hosts, tags) = choose(cx, args)?;
    let candidates = Candidate::evaluate(cx, &hosts, nix_args)?;
    check_unchanged(cx, revision.as_ref())?;
    Candidate::build_all(cx, version, &candidates, nix_args)?;
    let mut hosts = candidates.iter().map(|candidate| candidate.released(&tags)).collect::<Vec<_>>();
    if args.images {
        images::add(cx, &mut hosts, nix_args)?;
        check_unchanged(cx, revision.as_ref())?;
    }
    hosts.sort_by(|one, other| one.host.cmp(&other.host));
    let expires = args.expires_in_days.map(|days| Timestamp::in_future(Duration::from_secs(days * DAY)));
    let content = Content { schema: SCHEMA, time: Timestamp::now(), expires, revision, hosts };
    show(cx, args, write::write(cx, args, &content)?, content)
}

/// The JSON result.
#[derive(Serialize, JsonSchema)]
pub struct ReleaseResult {
    file: PathBuf,
    /// The SHA-256 of the file, in hexadecimal digits.
    sha256: String,
    /// The file of the signature; `None` without one.
    signature: Option<PathBuf>,
    time: Timestamp,
    expires: Option<Timestamp>,
    revision: Option<Revision>,
    hosts: Vec<ReleasedHost>,
}

impl JsonResult for ReleaseResult {}

/// The git revision of the flake.
///
/// # Errors
/// `Refused` for changes that no commit has, and without a commit, unless the user accepts that.
fn find_revision(cx: &Context, args: &MakeRelease) -> Result<Option<Revision>> {
    let revision = Revision::of(&cx.launcher, &cx.flake);
    let fault = match &revision {
        Some(revision) if revision.dirty => format!("{} has changes that no commit has", cx.flake),
        None => format!("no commit identifies {}", cx.flake),
        Some(_) => return Ok(revision),
    };
    // Without a revision, a folder may be in no repository.
    let remedy =
        if revision.is_some() { "commit the flake" } else { "commit the flake, after `git init` if need be" };
    if !args.allow_dirty {
        bail!(
            Refused(DirtyTree), "nothing was released: {fault}";
            hint: "{remedy}, or pass --allow-dirty for a release that nobody can make again"
        );
    }
    cx.warn(format!("{fault}: nobody can make this release again"));
    Ok(revision)
}

/// Refuses a flake whose revision is not `before` any more. The changes of a work tree that has some are not seen.
fn check_unchanged(cx: &Context, before: Option<&Revision>) -> Result<()> {
    if Revision::of(&cx.launcher, &cx.flake).as_ref() == before {
        Ok(())
    } else {
        Err(deploy::changed_error(cx))
    }
}

/// The hosts that the user names or tags, and their tags.
fn choose(cx: &Context, args: &MakeRelease) -> Result<(Vec<HostName>, Tags)> {
    let nix_args = &args.nix.nix_args[..];
    let named = deploy::deduplicate(&args.hosts()?);
    let hosts = if named.is_empty() { deploy::deployable_hosts(cx, nix_args, false)? } else { named };
    let tags = cx.in_phase("evaluate", || Tags::read(cx, &hosts, nix_args))?;
    Ok((tags.choose(hosts, &args.on)?, tags))
}

fn show(cx: &Context, args: &MakeRelease, written: write::Written, content: Content) -> Result<()> {
    let write::Written { sha256, signature } = written;
    let unsigned = if signature.is_some() { "" } else { " --unsigned" };
    let needs_trust = content.hosts.iter().any(ReleasedHost::needs_trust);
    let trust = if needs_trust && !cx.trust_flake { " --trust-flake" } else { "" };
    next_step::after_release(&args.out, &format!("{unsigned}{trust}"));
    let Content { time, expires, revision, hosts, .. } = content;
    let file = args.out.clone();
    if cx.json {
        return ui::print_json(&ReleaseResult { file, sha256, signature, time, expires, revision, hosts });
    }
    let width =
        hosts.iter().map(|released| released.host.to_string().chars().count()).max().unwrap_or_default();
    for ReleasedHost { host, system, profile, .. } in &hosts {
        cx.note(format!("{:width$}  {}", host.to_string(), system.as_ref().unwrap_or(profile)));
    }
    let count = if hosts.len() == 1 { "1 host".to_owned() } else { format!("{} hosts", hosts.len()) };
    let at = revision.map(|revision| format!(" at {}", revision.short())).unwrap_or_default();
    let signed =
        signature.map_or_else(|| "not signed".to_owned(), |file| format!("signed in {}", file.display()));
    ui::print_verdict(&format!("{}: {count}{at}, {signed}", file.display()), Tone::Good)
}
