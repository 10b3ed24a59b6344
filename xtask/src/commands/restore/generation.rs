//! The generation that a card gets: the revision of the flake, and the system that it is expected to build.

use std::fmt;

use anyhow::Result;

use crate::bail;
use crate::base::{Context, FlakeRef, Plain};
use crate::cli::Restore;
use crate::commands::recorded_revision::{self, Remedies};
use crate::nix::Revision;
use crate::receipt::{self, RecordedSystem};

/// What is built for a card.
pub struct Generation {
    /// The flake at the revision.
    pub pinned: FlakeRef,
    /// The revision; `None` for a flake that is built as it is now, and that no commit identifies.
    pub revision: Option<Revision>,
    /// The receipt of the system that the host had last; `None` without one.
    last: Option<RecordedSystem>,
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
            Some(name) => recorded_revision::named(cx, name, "--revision", &remedies())?,
            None => recorded(cx, args, last.as_ref())?,
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
        let recorded = self.last.as_ref().and_then(RecordedSystem::nixos_system);
        let expected = recorded.filter(|_| self.is_recorded);
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
fn recorded(cx: &Context, args: &Restore, last: Option<&RecordedSystem>) -> Result<Revision> {
    let Some(last) = last else {
        return Err(remedies().unknown_error(
            &cx.flake,
            format!(
                "no receipt names a system of {}: no flash and no deploy of it was made from {} here",
                args.host, cx.flake
            ),
        ));
    };
    recorded_revision::of_receipt(cx, &args.host, last, &remedies())
}

/// What a user can do without the revision of the last receipt.
fn remedies() -> Remedies {
    Remedies {
        unknown: "pass --revision REV to build a revision of the flake, or --current to build the flake as it is now"
            .to_owned(),
        no_repository: "pass --current to build the flake as it is now".to_owned(),
        without_changes: |_, rev| {
            format!(
                "pass --revision {rev} to build that commit without the changes, or --current to build the flake as it is now"
            )
        },
        otherwise: String::new(),
    }
}

impl fmt::Display for Generation {
    /// Lines of a plan.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(RecordedSystem { verb, when, system, .. }) = &self.last {
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
    use crate::base::failure::{self, ExitKind};

    #[test]
    fn the_card_must_start_the_system_of_the_receipt() {
        let system = |name: &str| format!("/nix/store/{name}");
        let generation = |name: &str, is_recorded| Generation {
            pinned: FlakeRef::of_url("github:o/f"),
            revision: None,
            last: Some(RecordedSystem {
                number: None,
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
