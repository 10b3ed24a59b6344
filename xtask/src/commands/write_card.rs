//! Writing a card, as `flash` and `restore` do: refusals, the plan, the confirmation, the write and the receipt.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::flash_result::RestoredFacts;
use super::payload::{Goal, PayloadSetup};
use super::plan_facts::PlanFacts;
use super::protected::{NamedPaths, protected_paths};
use super::{dry_run, flash_result, pick_card};
use crate::bail;
use crate::base::failure::{self, ExitKind};
use crate::base::{Bytes, Context, Event, Tone, interrupt};
use crate::boot;
use crate::card::disk::{self, Confirmation, Disk, Mounted, Request, Roots, refusals, refuse};
use crate::card::flash::{FILE_SHA256, Plan, Report};
use crate::card::image::{self, CheckCache};
use crate::card::worker::{self, Access};
use crate::cli::WriteArgs;
use crate::identity::LoginKeys;
use crate::nix::Revision;
use crate::receipt::{self, FlashSource, Flashed};
use crate::ui;

/// What a run that is stopped before the write says.
pub const UNDONE: &str = "no card was written";

/// How the user wants a card to be written.
pub struct CardWriter<'a> {
    pub args: &'a WriteArgs,
    /// The paths on the command line, which must not be on the card.
    pub named: NamedPaths<'a>,
    /// What is restored, for the result; `None` for a flash.
    pub restored: Option<RestoredFacts>,
}

impl CardWriter<'_> {
    /// What the payload of the card is planned for.
    pub fn goal(&self) -> Goal {
        if self.args.dry_run { Goal::Show } else { Goal::Write }
    }

    /// The card at `device`; `None` where the command line names none. A refusal comes before a build of minutes.
    ///
    /// # Errors
    /// `Refused` where the card is not accepted, and where a card that is not named cannot be confirmed. `Usage` for a
    /// dry run without a device.
    pub fn find_named(&self, cx: &Context, device: Option<&Path>) -> Result<Option<Disk>> {
        let Some(device) = device else {
            if self.args.dry_run {
                bail!(
                    Usage, "--dry-run waits for no card, and no device is named";
                    hint: "name the device: `cargo xtask devices` lists the cards"
                );
            }
            refuse(self.confirmation().refusal().as_slice())?;
            return Ok(None);
        };
        let disk = Disk::load(&Roots::default(), device)?;
        refuse(&refusals(&disk, &self.request(cx, None)))?;
        worker::check_access(cx, &disk.path, Access::Write)?;
        Ok(Some(disk))
    }

    /// The card that the user picks of those that are in and not `taken`, where the command line names none: `None` for
    /// the card that is inserted next. From here on the card is compared with the picked one.
    ///
    /// # Errors
    /// `Refused` for a card that this user cannot write, and those of [`pick_card::pick`].
    pub fn pick(&self, cx: &Context, taken: &[&Disk]) -> Result<Option<Disk>> {
        if self.args.confirm.yes || !ui::can_ask() {
            return Ok(None);
        }
        let picked = pick_card::pick(cx, &self.request(cx, None), taken)?;
        if let Some(disk) = &picked {
            worker::check_access(cx, &disk.path, Access::Write)?;
        }
        Ok(picked)
    }

    /// How the user confirms the card.
    fn confirmation(&self) -> Confirmation {
        let confirm = &self.args.confirm;
        if self.args.dry_run { confirm.dry_confirmation() } else { confirm.confirmation() }
    }

    /// What the user asks of the card, for its refusals. `image_size` is in bytes; `None` while unknown.
    pub fn request(&self, cx: &Context, image_size: Option<u64>) -> Request {
        let may_ask = !self.args.confirm.yes && (self.args.dry_run || ui::can_ask());
        let mounted = if self.args.unmount || may_ask { Mounted::Unmounted } else { Mounted::Refused };
        Request {
            image_size,
            virtual_cards: self.args.confirm.virtual_cards(),
            mounted,
            protected: protected_paths(cx, self.named),
            confirmation: self.confirmation(),
        }
    }

    /// Shows `plan` and asks for confirmation. Returns the plan with the current mounts of the card: desktops mount a
    /// card that was just inserted. `None` for a dry run, which ends here.
    pub fn show_and_confirm(&self, cx: &Context, request: &Request, plan: Plan) -> Result<Option<Plan>> {
        cx.show_plan(&plan, &PlanFacts::from(&plan));
        warn_of(cx, &plan, &[]);
        if !self.args.dry_run {
            self.args.confirm.confirm(&plan.disk, "Everything on this card will be lost.")?;
        }
        let plan = with_current_mounts(plan, request)?;
        if self.args.dry_run {
            return dry_run::show(cx, &plan, self.restored.as_ref()).map(|()| None);
        }
        self.args.confirm_unmounting([&plan.disk])?;
        Ok(Some(plan))
    }

    /// Writes the card by the confirmed `plan`, adds its key to `known_hosts`, and keeps a receipt with the `revision`
    /// of the flake of `source`. Prints the result, and returns the report.
    ///
    /// # Errors
    /// Those of the write, and `Verification` for a card from which the board of the user does not boot.
    pub fn write(
        &self,
        cx: &Context,
        plan: &Plan,
        source: FlashSource<'_>,
        revision: Option<Revision>,
        payload_setup: &PayloadSetup,
    ) -> Result<Report> {
        let run = |cx: &Context, plan: &Plan| worker::run(cx, plan);
        let Written { report, known_hosts_updated } = record(cx, plan, source, revision, payload_setup, run)?;
        let printed = show(cx, plan, &report, source, self.restored.as_ref());
        if !self.args.no_eject {
            plan.disk.eject(&cx.launcher).into_iter().for_each(|text| cx.note(text));
        }
        known_hosts_updated.and(printed)?;
        require_boards(plan, &report)?;
        Ok(report)
    }

    /// Shows the verdict of one of several cards, and ejects it. What boards think of all of them is shown once.
    pub fn end_card(&self, cx: &Context, plan: &Plan, report: &Report) {
        for fault in boot::warnings(&report.boards) {
            let hint = fault.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
            cx.reporter.warn_once(&format!("{}{hint}", fault.message));
        }
        let text = verdict(plan, report, self.restored.as_ref());
        cx.reporter.report(&Event::Verdict { text, tone: Tone::Good });
        if !self.args.no_eject {
            plan.disk.eject(&cx.launcher).into_iter().for_each(|text| cx.note(text));
        }
    }
}

/// Fails where a board of the plan does not boot from the written card.
pub fn require_boards(plan: &Plan, report: &Report) -> Result<()> {
    for board in &plan.boards {
        match report.boards.iter().find(|proof| proof.board == *board) {
            Some(proof) => proof.require_boots(ExitKind::Verification).context("the card is verified")?,
            None => {
                bail!(Verification, "the card is verified, but whether a {board} boots from it is unknown")
            }
        }
    }
    Ok(())
}

/// A card that was written and recorded.
pub struct Written {
    pub report: Report,
    pub known_hosts_updated: Result<()>,
}

/// Writes the card of `plan` by `run`, adds its key to `known_hosts`, and keeps a receipt with the `revision` of the
/// flake of `source`.
///
/// # Errors
/// Those of `run`.
pub fn record(
    cx: &Context,
    plan: &Plan,
    source: FlashSource<'_>,
    revision: Option<Revision>,
    payload_setup: &PayloadSetup,
    run: impl FnOnce(&Context, &Plan) -> Result<Report>,
) -> Result<Written> {
    if let Some((host, _)) = source {
        cx.log.keep_for_host(host);
    }
    let earlier_rates = receipt::rates_of(cx, &plan.disk);
    // Ctrl-C must not come between the written card and its key in known_hosts.
    let _signals = interrupt::guard()?;
    interrupt::set_undone(None);
    let receipt = receipt::begin_flash(cx, source, plan);
    let written = receipt.record(cx, |cx| forget_damaged_image(cx, plan, run(cx, plan)));
    let report = written?.with_write_rate_of(earlier_rates);
    let known_hosts_updated = payload_setup.update_known_hosts(cx);
    receipt.complete(cx, Flashed::new(source, plan, &report).with_revision(revision));
    Ok(Written { report, known_hosts_updated })
}

/// `plan` with the current mounts of its card: desktops mount a card that was just inserted.
///
/// # Errors
/// `Refused` for another card, and for one that `request` does not accept any more.
pub fn with_current_mounts(plan: Plan, request: &Request) -> Result<Plan> {
    let disk = Disk::load(&Roots::default(), &plan.disk.path)?;
    plan.disk.require_same(&disk)?;
    refuse(&refusals(&disk, request))?;
    let now = Plan::new(plan.image, disk, plan.mode, plan.payload);
    Ok(now.with_login_keys(plan.login_keys).with_boards(plan.boards))
}

/// Warns of what the user should know of `plan` before the card is overwritten, and of disks beside the `others`, which
/// are written too, with the same labels.
pub fn warn_of(cx: &Context, plan: &Plan, others: &[&Disk]) {
    let conflicts = disk::label_conflicts(&Roots::default(), &plan.disk, others);
    let conflicts = conflicts.into_iter().filter(|_| image::has_nixos_sd(&plan.image));
    let key_warning = image::host_key_warning(&plan.shared_host_keys());
    let login_warning = plan.login_keys.as_ref().and_then(LoginKeys::warning);
    let disc_warning = image::optical_disc_warning(&plan.image.source);
    for warning in key_warning.iter().chain(&disc_warning).chain(&login_warning) {
        cx.reporter.report(warning);
    }
    for warning in plan.disk.size_warning().into_iter().chain(conflicts) {
        cx.warn(warning);
    }
}

/// The card for an image that `request` names: `named`, or the one that is inserted next.
///
/// # Errors
/// `Refused` where the card is not accepted, and the error of a card that this user cannot write.
pub fn find_card(cx: &Context, named: Option<Disk>, request: &Request) -> Result<Disk> {
    let disk = match named {
        Some(disk) => disk,
        // The card is awaited only after the build.
        None => disk::await_card(&Roots::default(), request, cx.reporter.as_ref())?,
    };
    refuse(&refusals(&disk, request))?;
    worker::check_access(cx, &disk.path, Access::Write)?;
    Ok(disk)
}

/// `written`, the result of a write by `plan`. Where verification failed, the card or the image may be damaged: the
/// next flash checks the image again.
fn forget_damaged_image(cx: &Context, plan: &Plan, written: Result<Report>) -> Result<Report> {
    written.inspect_err(|error| {
        if failure::kind(error) == ExitKind::Verification {
            CheckCache::new(&cx.state).forget(&plan.image.source.path);
        }
    })
}

fn show(
    cx: &Context,
    plan: &Plan,
    report: &Report,
    source: FlashSource<'_>,
    restored: Option<&RestoredFacts>,
) -> Result<()> {
    if cx.json {
        let host = source.map(|(host, _)| host);
        return flash_result::print(plan, host, Some(report), restored);
    }
    show_report(cx, report);
    ui::print_verdict(&verdict(plan, report, restored), Tone::Good)
}

/// Shows what was written, and which boards boot from it.
fn show_report(cx: &Context, report: &Report) {
    cx.reporter.report(&Event::Found { name: "total".into(), text: report.to_string() });
    if !report.boards.is_empty() {
        let text = boot::summarize_shortly(&report.boards);
        cx.reporter.report(&Event::Found { name: "boards".into(), text });
        for fault in boot::warnings(&report.boards) {
            cx.reporter.report(&Event::Warning { text: fault.message, hint: fault.hint });
        }
    }
}

/// What the card holds, as it was read back.
fn verdict(plan: &Plan, report: &Report, restored: Option<&RestoredFacts>) -> String {
    let path = plan.disk.path.display();
    let payload = plan.payload.as_ref().map(|payload| format!(" and {}", payload.content.summary()));
    let payload = payload.unwrap_or_default();
    let size = Bytes(report.size);
    let sum = plan.image.file_sha256.as_deref().unwrap_or("unknown");
    let has_state = restored.is_some_and(|restored| restored.state.is_some());
    let state = if has_state { " with the saved state" } else { "" };
    format!("{path} holds the image{state}{payload}: {size} read back, {FILE_SHA256} {sum}")
}
