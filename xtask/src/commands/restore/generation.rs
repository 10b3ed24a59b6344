//! The generation that a card gets: the revision of the flake, and the system that it is expected to build.

use std::fmt;

use anyhow::Result;

use super::unknown_generation;
use crate::bail;
use crate::base::failure::{self, ExitKind};
use crate::base::{Context, FlakeRef, Plain, git};
use crate::cli::Restore;
use crate::nix::Revision;
use crate::receipt::{self, LastSystem};

/// The beginning of the names of NixOS systems. A profile of deploy-rs has another.
const SYSTEM_NAME: &str = "nixos-system-";

/// What is built for a card.
pub struct Generation {
    /// The flake at the revision.
    pub pinned: FlakeRef,
    /// The revision; `None` for a flake that is built as it is now, and that no commit identifies.
    pub revision: Option<Revision>,
    /// The receipt of the system that the host had last; `None` without one.
    last: Option<LastSystem>,
    /// Whether the revision is that of the receipt.
    is_recorded: bool,
}

impl Generation {
    /// The generation that the last receipt of the host names, or the one that the user names.
    ///
    /// # Errors
    /// `Refused` where no receipt names a revision, and where the flake does not have it any more.
    pub fn find(cx: &Context, args: &Restore) -> Result<Self> {
        let last = receipt::last_system(cx, &cx.flake, &args.host)?;
        if args.current {
            let revision = Revision::of(&cx.launcher, &cx.flake);
            return Ok(Self { pinned: cx.flake.clone(), revision, last, is_recorded: false });
        }
        let revision = match &args.revision {
            Some(name) => named_revision(cx, name)?,
            None => recorded_revision(cx, args, last.as_ref())?,
        };
        let pinned = cx.flake.at_revision(&revision.rev, revision.url.as_deref())?;
        Ok(Self { pinned, revision: Some(revision), last, is_recorded: args.revision.is_none() })
    }

    /// The system that the host had last, if a receipt names it.
    pub fn system(&self) -> Option<&str> {
        self.last.as_ref()?.system.as_deref()
    }

    /// Fails where the card starts `on_card` by default, and the receipt names another system. What a user names by
    /// `--revision` or `--current` may differ.
    ///
    /// # Errors
    /// `Verification`.
    pub fn check_system(&self, on_card: Option<&str>) -> Result<()> {
        let expected = self.system().filter(|system| self.is_recorded && system.contains(SYSTEM_NAME));
        let Some(expected) = expected.filter(|expected| on_card != Some(*expected)) else { return Ok(()) };
        let starts = match on_card {
            Some(on_card) => format!("it starts {} by default", Plain(on_card)),
            None => "which system it starts is unknown".to_owned(),
        };
        bail!(
            Verification, "the card is verified, but {starts}, and the last receipt names {}", Plain(expected);
            hint: "the inputs of the flake or the arguments for Nix were others then: repeat those, or name what you want \
                   by --revision or --current"
        )
    }
}

/// The revision that the last receipt names.
fn recorded_revision(cx: &Context, args: &Restore, last: Option<&LastSystem>) -> Result<Revision> {
    let host = &args.host;
    let Some(last) = last else {
        return Err(unknown_generation(format!(
            "no receipt names a system of {host}: no flash and no deploy of it was made from {} here",
            cx.flake
        )));
    };
    let LastSystem { verb, when, revision, .. } = last;
    let Some(revision) = revision else {
        return Err(unknown_generation(format!(
            "the last receipt of {host} ({verb} {when}) has no git revision: an earlier version of this tool wrote it, or \
             the flake was in no git repository, or the image was given as a file"
        )));
    };
    if revision.dirty {
        return Err(crate::failure!(
            Refused, "{host} was {verb} {when} from a work tree with changes that no commit has, on top of {}", revision.rev;
            hint: "pass --revision {} to build that commit without the changes, or --current to build the flake as it is now",
            &revision.short()[..revision.short().len() - 1]
        ));
    }
    match cx.flake.repository() {
        None => Ok(revision.clone()),
        Some(repository) => {
            git::find_commit(&cx.launcher, repository, &revision.rev)
                .map_err(|error| missing_commit(&error))?;
            Ok(revision.clone())
        }
    }
}

/// The revision that the user names.
fn named_revision(cx: &Context, name: &str) -> Result<Revision> {
    let rev = match cx.flake.repository() {
        Some(repository) => {
            git::find_commit(&cx.launcher, repository, name).map_err(|error| missing_commit(&error))?
        }
        None if Revision::is_commit(name) => name.to_owned(),
        None => {
            return Err(crate::failure!(
                Usage, "{} is not in a repository of this machine, so --revision takes a whole hash", cx.flake;
                hint: "give all digits of the commit"
            ));
        }
    };
    Ok(Revision { rev, dirty: false, url: None })
}

/// `error`, of a commit that the repository does not have, with what to do.
fn missing_commit(error: &anyhow::Error) -> anyhow::Error {
    match failure::kind(error) {
        ExitKind::Refused => unknown_generation(format!("{error:#}")),
        _ => failure::copy(error),
    }
}

impl fmt::Display for Generation {
    /// Lines of a plan.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(LastSystem { verb, when, system, .. }) = &self.last {
            let system = system.as_deref().unwrap_or("a system that its receipt does not name");
            writeln!(f, "system  {}, {verb} {when}", Plain(system))?;
        }
        write!(f, "built   from {}", Plain(&self.pinned))?;
        match &self.revision {
            Some(Revision { dirty: true, rev, .. }) => write!(f, " as it is now: {rev} with changes"),
            Some(Revision { rev, .. }) if !self.pinned.as_str().contains(rev) => write!(f, " at {rev}"),
            Some(_) => Ok(()),
            None => f.write_str(" as it is now"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;

    #[test]
    fn the_card_must_start_the_system_of_the_receipt() {
        let system = |name: &str| format!("/nix/store/{name}");
        let generation = |name: &str, is_recorded| Generation {
            pinned: FlakeRef::of_url("github:o/f"),
            revision: None,
            last: Some(LastSystem {
                verb: "flashed",
                when: Timestamp::now(),
                system: Some(system(name)),
                revision: None,
            }),
            is_recorded,
        };
        let own = generation("a-nixos-system-pi", true);
        own.check_system(Some(&system("a-nixos-system-pi"))).unwrap();
        for (on_card, expected) in [
            (Some(system("b-nixos-system-pi")), "it starts /nix/store/b-nixos-system-pi by default"),
            (None, "which system it starts is unknown"),
        ] {
            let error = own.check_system(on_card.as_deref()).unwrap_err();
            assert_eq!(failure::kind(&error), ExitKind::Verification);
            assert!(error.to_string().contains(expected), "{error}");
        }
        // What the user names may differ, and so may a profile that is no system.
        generation("a-nixos-system-pi", false).check_system(None).unwrap();
        generation("a-activatable-nixos", true).check_system(None).unwrap();
    }
}
