//! A card of a flash with its plan, and once it was written.

use std::path::PathBuf;

use anyhow::Result;

use super::flash_card::BegunFlash;
use super::write_card::{self, Written, require_boards};
use crate::base::{Context, HostName};
use crate::boot;
use crate::card::disk::Request;
use crate::card::flash::{Plan, Report};

/// A card with its plan.
pub struct PlannedCard<'a> {
    pub flash: BegunFlash<'a>,
    pub plan: Plan,
    pub request: Request,
}

/// A card that was written.
pub struct WrittenCard {
    /// The host whose system or identity the card has.
    pub host: Option<HostName>,
    pub device: PathBuf,
    /// Whether the emulator boots by the files of the card, and no Pi.
    pub boots_only_qemu: bool,
}

impl WrittenCard {
    /// The card of `plan` with the image of `host`, as the `report` says.
    pub fn new(plan: Plan, host: Option<HostName>, report: &Report) -> Self {
        let boots_only_qemu = boot::boots_only_qemu(&report.boards);
        Self { host: plan.card_host().or(host), device: plan.disk.path, boots_only_qemu }
    }
}

impl PlannedCard<'_> {
    /// The host of the image; `None` for an image file.
    pub fn image_host(&self) -> Option<HostName> {
        self.flash.job.image.host()
    }

    /// The host whose image or identity the card gets.
    pub fn host(&self) -> Option<HostName> {
        self.plan.card_host().or_else(|| self.image_host())
    }

    /// Checks the card again, which may have been mounted or changed since the plan was made.
    ///
    /// # Errors
    /// `Refused` for another card, and for one that is not accepted any more.
    pub fn refresh(&mut self) -> Result<()> {
        self.plan = write_card::with_current_mounts(self.plan.clone(), &self.request)?;
        Ok(())
    }

    /// Writes the card by `run`, and keeps a receipt. Returns what was written, if that was verified, and whether all
    /// else went well: the key of the host and the board of the user.
    pub fn write(
        &self,
        cx: &Context,
        run: impl FnOnce(&Context, &Plan) -> Result<Report>,
    ) -> (Option<Report>, Result<()>) {
        let Self { flash, plan, .. } = self;
        let writer = flash.job.card_writer(Some(&plan.image.source.path));
        let host = self.image_host();
        let source = host.as_ref().map(|host| (host, &cx.flake));
        let revision = flash.revision.clone();
        match write_card::record(cx, plan, source, revision, &flash.payload_setup, run) {
            Err(error) => (None, Err(error)),
            Ok(Written { report, known_hosts_updated }) => {
                writer.end_card(cx, plan, &report);
                let checked = known_hosts_updated.and_then(|()| require_boards(plan, &report));
                (Some(report), checked)
            }
        }
    }
}
