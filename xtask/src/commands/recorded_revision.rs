//! The revision of the flake that a receipt names, for `restore` and `rollback`.

use anyhow::Result;

use crate::base::failure::{self, ExitKind};
use crate::base::{Context, FlakeRef, HostName, git};
use crate::nix::Revision;
use crate::receipt::RecordedSystem;

/// What remains possible where a receipt leads to no revision, as hints of the command.
pub struct Remedies {
    /// Where the revision is unknown or missing.
    pub unknown: String,
    /// Where the flake is in no git repository, so that it has no revisions.
    pub no_repository: String,
    /// Where the work tree had changes that the commit `Revision` does not have.
    pub without_changes: fn(&HostName, &str) -> String,
    /// What else remains possible, added to both.
    pub otherwise: String,
}

impl Remedies {
    /// The refusal of a receipt of `flake` that leads to no revision, because of `why`.
    pub fn unknown_error(&self, flake: &FlakeRef, why: impl std::fmt::Display) -> anyhow::Error {
        let remedy = if flake.has_revisions() { &self.unknown } else { &self.no_repository };
        crate::failure!(Refused, "{why}"; hint: "{remedy}{}", self.otherwise)
    }

    /// Refuses a flake that has no revisions.
    fn check_has_revisions(&self, flake: &FlakeRef) -> Result<()> {
        if flake.has_revisions() {
            return Ok(());
        }
        Err(self.unknown_error(flake, format!("{flake} has no revisions: it is in no git repository")))
    }
}

/// The revision that the receipt of `system` names.
///
/// # Errors
/// `Refused` for a flake without revisions, for a receipt without a revision, for one of a work tree with changes, and
/// where the repository does not have the revision any more.
pub fn of_receipt(
    cx: &Context,
    host: &HostName,
    system: &RecordedSystem,
    remedies: &Remedies,
) -> Result<Revision> {
    remedies.check_has_revisions(&cx.flake)?;
    let RecordedSystem { verb, when, revision, .. } = system;
    let Some(revision) = revision else {
        return Err(remedies.unknown_error(&cx.flake, format!(
            "the receipt of {host} ({verb} {when}) has no git revision: an earlier version of this tool wrote it, or the \
             flake was in no git repository, or the image was given as a file"
        )));
    };
    if revision.dirty {
        let clean = Revision { dirty: false, ..revision.clone() }.short();
        return Err(crate::failure!(
            Refused, "{host} was {verb} {when} from a work tree with changes that no commit has, on top of {}", revision.rev;
            hint: "{}{}", (remedies.without_changes)(host, &clean), remedies.otherwise
        ));
    }
    if let Some(repository) = cx.flake.repository() {
        git::find_commit(&cx.launcher, repository, &revision.rev)
            .map_err(|error| missing_commit(cx, &error, remedies))?;
    }
    Ok(revision.clone())
}

/// The revision that the user names. `option` is how the command line names it, in errors.
///
/// # Errors
/// `Refused` where the flake has no revisions, or the repository lacks this one; `Usage` for less than a whole hash of
/// a flake without a repository on this machine.
pub fn named(cx: &Context, name: &str, option: &str, remedies: &Remedies) -> Result<Revision> {
    remedies.check_has_revisions(&cx.flake)?;
    let rev = match cx.flake.repository() {
        Some(repository) => git::find_commit(&cx.launcher, repository, name)
            .map_err(|error| missing_commit(cx, &error, remedies))?,
        None if Revision::is_commit(name) => name.to_owned(),
        None => {
            return Err(crate::failure!(
                Usage, "{} is not in a repository of this machine, so {option} takes a whole hash", cx.flake;
                hint: "give all digits of the commit"
            ));
        }
    };
    Ok(Revision { rev, dirty: false, url: None })
}

/// `error`, of a commit that the repository does not have, with what to do.
fn missing_commit(cx: &Context, error: &anyhow::Error, remedies: &Remedies) -> anyhow::Error {
    match failure::kind(error) {
        ExitKind::Refused => remedies.unknown_error(&cx.flake, format!("{error:#}")),
        _ => failure::copy(error),
    }
}
