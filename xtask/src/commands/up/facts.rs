//! What is known of a host before `up` does anything.

use anyhow::{Context as _, Result};

use crate::base::failure::{ExitKind, kind};
use crate::base::{Context, HostName, Timestamp};
use crate::cli::Up;
use crate::commands::host_status;
use crate::deploy::{DesiredBy, Overrides, Status};
use crate::nix;
use crate::receipt::{self, Receipt};

/// What the receipts and the host itself say.
pub struct Facts {
    pub host: HostName,
    pub flash: LastFlash,
    pub status: Status,
}

/// The last flash of a card for the host, by the receipts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LastFlash {
    None,
    /// A flash that succeeded, and when.
    Whole(Timestamp),
    /// A flash that was broken off, and when.
    Broken(Timestamp),
}

/// How a host answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It runs the system of the flake.
    Current,
    /// It runs another system.
    Differs,
    /// It answers, but its state cannot be read: it does not let this user in, or its key is not the known one.
    Refuses,
    /// It does not answer.
    None,
}

impl Facts {
    /// Reads the receipts, and asks the host.
    ///
    /// # Errors
    /// Where the user stops it; and, unless neither a deploy nor a status is wanted, where the host has no address or
    /// its system does not evaluate.
    pub fn gather(cx: &Context, args: &Up, host: &HostName) -> Result<Self> {
        let receipts = receipt::read_all(cx)?;
        let overrides = Overrides::of_address(args.to.as_ref());
        // A question changes nothing, also not the lock of the flake.
        let nix_args = nix::with_keep_lock(&args.build.nix.nix_args);
        let mut statuses = host_status::read(
            cx,
            &receipts,
            vec![host.clone()],
            &overrides,
            DesiredBy::Flake { nix_args: &nix_args },
            None,
        )?;
        let status = statuses.pop().context("asking the host")?;
        let (observation, is_asked) = (&status.observation, status.is_reachable().is_some());
        let is_stopped = observation.as_ref().is_err_and(|error| kind(error) == ExitKind::Interrupted);
        if is_stopped || !is_asked && args.needs_host() {
            return Err(status.observation.err().context("asking the host")?);
        }
        Ok(Self { host: host.clone(), flash: last_flash(&receipts, host), status })
    }

    pub fn answer(&self) -> Answer {
        match &self.status.observation {
            Ok(_) if self.status.differs() => Answer::Differs,
            Ok(_) => Answer::Current,
            Err(_) if self.status.is_reachable() == Some(true) => Answer::Refuses,
            Err(_) => Answer::None,
        }
    }

    /// The exit code of the error that the host answered with; `None` where its state could be read.
    pub fn refusal(&self) -> Option<String> {
        self.status.observation.as_ref().err().map(|error| match kind(error).host_label() {
            Some(label) => label.to_owned(),
            None => error.to_string(),
        })
    }
}

/// The last flash of `host` among `receipts`, the newest first.
fn last_flash(receipts: &[Receipt], host: &HostName) -> LastFlash {
    let of_host = receipts.iter().filter(|receipt| receipt.host() == Some(host.as_str()));
    let last =
        of_host.filter(|receipt| !matches!(receipt, Receipt::Deploy(_))).map(|receipt| match receipt {
            Receipt::BrokenFlash(broken) => LastFlash::Broken(broken.when.clone()),
            other => LastFlash::Whole(other.when().clone()),
        });
    last.into_iter().next().unwrap_or(LastFlash::None)
}
