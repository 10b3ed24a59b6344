//! The steps of a flash, which `flash` and `up` compose: the image, the card, the write.

use std::path::Path;

use anyhow::Result;

use super::payload::{PayloadSetup, login_keys};
use super::planned_card::{PlannedCard, WrittenCard};
use super::protected::NamedPaths;
use super::required_boards;
use super::write_card::{self, CardWriter};
use crate::base::{Context, HostName, checks};
use crate::boot::Board;
use crate::card::disk::{Disk, Request};
use crate::card::flash::{PayloadPlan, Plan};
use crate::card::image::{self, Built, CheckCache, Image, Limits, Source};
use crate::cli::{BuildArgs, ChecksumArgs, ImageArg, PayloadArgs, WriteArgs};
use crate::identity::LoginKeys;
use crate::nix::Revision;
use crate::nix::flake::HostLayout;

/// What the user wants to be flashed.
#[derive(Clone, Copy)]
pub struct FlashJob<'a> {
    pub image: &'a ImageArg<'a>,
    /// `None` for the card that is inserted next.
    pub device: Option<&'a Path>,
    pub sums: &'a ChecksumArgs,
    pub build: &'a BuildArgs,
    pub payload: &'a PayloadArgs,
    /// Whether an earlier check of the image does not count.
    pub check_image: bool,
    /// In bytes.
    pub memory_limit: Option<u64>,
    pub write: &'a WriteArgs,
}

/// A flash whose card and payload were checked as far as that needs no image.
pub struct BegunFlash<'a> {
    pub(super) job: FlashJob<'a>,
    named: Option<Disk>,
    pub(super) payload_setup: PayloadSetup,
    pub(super) revision: Option<Revision>,
}

/// The image of a flash, with what the card gets beside it.
pub struct ReadyImage {
    pub image: Image,
    layout: Option<HostLayout>,
    payload: Option<PayloadPlan>,
}

/// The card of a flash, which was accepted for its image.
pub struct FoundCard {
    pub disk: Disk,
    request: Request,
}

impl<'a> FlashJob<'a> {
    /// Checks what can be checked before a build of minutes.
    ///
    /// # Errors
    /// `Refused` for a card that is not accepted, and for a payload that cannot be written.
    pub fn begin(self, cx: &Context) -> Result<BegunFlash<'a>> {
        let mut flash = self.check(cx)?;
        if self.device.is_none() {
            flash.named = self.card_writer(self.image.file()).pick(cx, &[])?;
        }
        flash.prepare_state(cx)?;
        Ok(flash)
    }

    /// Checks what the command line names. Changes nothing, and asks nothing.
    ///
    /// # Errors
    /// As those of [`Self::begin`].
    pub fn check(self, cx: &Context) -> Result<BegunFlash<'a>> {
        let (named, payload_setup) = self.check_command_line(cx)?;
        Ok(BegunFlash { job: self, named, payload_setup, revision: None })
    }

    /// Checks what the command line names, and reports all that is wrong with it at once: the card, the payload and the
    /// file of the image. Returns the card, if one is named, and the payload.
    fn check_command_line(&self, cx: &Context) -> Result<(Option<Disk>, PayloadSetup)> {
        let writer = self.card_writer(self.image.file());
        let named = writer.find_named(cx, self.device);
        let payload_setup = PayloadSetup::begin(cx, self.payload, self.image.host().as_ref(), writer.goal());
        let source = self.image.file().map(Source::open).transpose();
        let (checked, _) = checks::both(checks::both(named, payload_setup), source)?;
        Ok(checked)
    }

    /// How the card is written; `image` is the file of the image, once it is known.
    pub(super) fn card_writer<'b>(&self, image: Option<&'b Path>) -> CardWriter<'b>
    where
        'a: 'b,
    {
        let PayloadArgs { files, identity_dir, .. } = self.payload;
        let named =
            NamedPaths { image, files: files.as_deref(), identities: identity_dir.as_deref(), state: None };
        CardWriter { args: self.write, named, restored: None }
    }
}

impl<'a> BegunFlash<'a> {
    /// The card, once it is known.
    pub fn card(&self) -> Option<&Disk> {
        self.named.as_ref()
    }

    /// The host of the image, or the one whose identity the card gets; `None` for an image file alone.
    pub fn host(&self) -> Option<HostName> {
        self.job.payload.identity_of.clone().or_else(|| self.job.image.host())
    }

    /// Lets the user pick the card of those that are in and not `taken`, if the command line names none.
    ///
    /// # Errors
    /// Those of [`CardWriter::pick`].
    pub fn pick(&mut self, cx: &Context, taken: &[&Disk]) -> Result<()> {
        if self.job.device.is_none() {
            self.named = self.writer().pick(cx, taken)?;
        }
        Ok(())
    }

    /// Prepares the state folder for the keys of hosts, and notes the revision of the flake.
    ///
    /// # Errors
    /// `Refused` where Nix would copy the keys to its store.
    pub fn prepare_state(&mut self, cx: &Context) -> Result<()> {
        self.payload_setup.keep_out_of_stores(cx, &cx.flake)?;
        // Before the evaluation: a commit that is made meanwhile must not be taken for what was built.
        let file = self.job.image.file();
        self.revision = file.map_or_else(|| Revision::of(&cx.launcher, &cx.flake), |_| None);
        Ok(())
    }

    /// How the card is written, before the image is known.
    fn writer(&self) -> CardWriter<'a> {
        self.job.card_writer(self.job.image.file())
    }

    /// As the second half of [`Self::make_image`], for one of several cards: an image file that another card gets too
    /// is checked once for the same boards. `checked` has the images of the earlier cards, each with its boards.
    ///
    /// # Errors
    /// As those of [`Self::make_image`].
    pub fn check_shared_image(
        &mut self,
        cx: &Context,
        Built { file, layout }: Built,
        checked: &mut Vec<(Image, Vec<Board>)>,
    ) -> Result<ReadyImage> {
        let path = Source::open(&file)?.path;
        let boards = required_boards::of(self.job.write.board, layout.as_ref());
        let is_same = |(image, of): &&(Image, Vec<Board>)| image.source.path == path && *of == boards;
        let image = match checked.iter().find(is_same) {
            Some((image, _)) => image.clone(),
            None => self.check_image(cx, &file, layout.as_ref())?,
        };
        checked.push((image.clone(), boards));
        let payload = self.payload_setup.plan(cx, &cx.flake, &image, layout.as_ref())?;
        Ok(ReadyImage { image, layout, payload })
    }

    /// Builds the image, if it is not in a file already, checks it, and plans the payload. Before the build, the host
    /// must read the files of the payload, and `check_logins` accept its login keys, or `None` where these are unknown.
    ///
    /// # Errors
    /// Those of the build, and those of a damaged image.
    pub fn make_image(
        &mut self,
        cx: &Context,
        check_logins: impl Fn(Option<&LoginKeys>) -> Result<()>,
    ) -> Result<ReadyImage> {
        let Built { file, layout } = self.build(cx, check_logins)?;
        let image = self.check_image(cx, &file, layout.as_ref())?;
        let payload = self.payload_setup.plan(cx, &cx.flake, &image, layout.as_ref())?;
        Ok(ReadyImage { image, layout, payload })
    }

    fn build(
        &mut self,
        cx: &Context,
        check_logins: impl Fn(Option<&LoginKeys>) -> Result<()>,
    ) -> Result<Built> {
        let BuildArgs { file, nix, .. } = self.job.build;
        let payload_setup = &mut self.payload_setup;
        let check = |layout: Option<&HostLayout>| {
            payload_setup.find_own_entries(layout)?;
            check_logins(layout.map(|layout| payload_setup.expected_login_keys(layout)).as_ref())
        };
        match self.job.image {
            ImageArg::Built(source) => {
                image::build_checked(cx, source, file.as_deref(), &nix.nix_args, check)
            }
            ImageArg::File(file) => Ok(Built { file: file.to_path_buf(), layout: None }),
        }
    }

    /// Checks the image in `file`: a damaged image is never written, nor one from which a board of the user or of the
    /// host does not boot. Without `--check-image`, an earlier check of the same file counts.
    fn check_image(&self, cx: &Context, file: &Path, layout: Option<&HostLayout>) -> Result<Image> {
        let FlashJob { sums, check_image, memory_limit, write, .. } = self.job;
        let cache = CheckCache::new(&cx.state);
        let limits = Limits::new(memory_limit, self.named.as_ref().map(|disk| disk.size));
        let source = Source::open(file)?.with_limits(limits).with_sums(sums.given_sums());
        let image = if check_image {
            image::examine_and_remember(source, &cache, cx.reporter.as_ref())?
        } else {
            image::examine_once(source, &cache, cx.reporter.as_ref())?
        };
        required_boards::require(cx, &image, write.board, layout)?;
        Ok(image)
    }

    /// Finds the card for the image: the one that the user named, or the one that is inserted next.
    ///
    /// # Errors
    /// `Refused` for a card that is not accepted.
    pub fn find_card(&mut self, cx: &Context, ready: &ReadyImage) -> Result<FoundCard> {
        let writer = self.job.card_writer(Some(&ready.image.source.path));
        let request = writer.request(cx, Some(ready.image.size));
        let disk = write_card::find_card(cx, self.named.take(), &request)?;
        Ok(FoundCard { disk, request })
    }

    /// Shows the plan, asks for the confirmation, writes the card, verifies it, and prints the result. Returns `None`
    /// for a dry run.
    ///
    /// # Errors
    /// `Refused` without the confirmation, and those of the write.
    pub fn write(self, cx: &Context, ready: ReadyImage, card: FoundCard) -> Result<Option<WrittenCard>> {
        let PlannedCard { flash, plan, request } = self.plan(ready, card);
        let file = plan.image.source.path.clone();
        let writer = flash.job.card_writer(Some(&file));
        let Some(plan) = writer.show_and_confirm(cx, &request, plan)? else { return Ok(None) };
        let host = flash.job.image.host();
        let source = host.as_ref().map(|host| (host, &cx.flake));
        let report = writer.write(cx, &plan, source, flash.revision, &flash.payload_setup)?;
        Ok(Some(WrittenCard::new(plan, host, &report)))
    }

    /// Plans to write the image to the card.
    pub fn plan(self, ready: ReadyImage, card: FoundCard) -> PlannedCard<'a> {
        let ReadyImage { image, layout, payload } = ready;
        let FoundCard { disk, request } = card;
        let entries = payload.as_ref().map_or(&[][..], |payload| &payload.content.entries);
        let login_keys = login_keys(&image, layout.as_ref(), entries);
        let boards = required_boards::of(self.job.write.board, layout.as_ref());
        let plan = Plan::new(image, disk, self.job.write.mode, payload)
            .with_login_keys(Some(login_keys))
            .with_boards(boards);
        PlannedCard { flash: self, plan, request }
    }
}
