//! Runs the steps of `up`. Each is one that another command has too.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::Result;

use super::facts::{Answer, Facts};
use super::journal::{self, Journal, Outcome};
use super::plan::{Plan, Step};
use crate::base::{Context, Event, HostName, ImageSource};
use crate::cli::{ChecksumArgs, ImageArg, Up};
use crate::commands::deploy_host;
use crate::commands::flash_card::FlashJob;
use crate::commands::planned_card::WrittenCard;
use crate::commands::{host_status, next_step};
use crate::deploy::{self, Afterwards, DeployOptions, DesiredBy, Goal, Overrides, Status, Waves};
use crate::identity::LoginKeys;
use crate::receipt::DeployCommand;
use crate::ui::Prompt;
use crate::{bail, nix, receipt, ui};

/// Runs what `plan` has to do, and returns the status of the host at the end; `None` where it was left out.
///
/// # Errors
/// That of the first step that fails. What was done stays done.
pub fn all_steps(
    cx: &Context,
    args: &Up,
    version: nix::Version,
    facts: Facts,
    plan: &Plan,
    journal: &mut Journal,
) -> Result<Option<Status>> {
    let host = &facts.host;
    let mut may_deploy = plan.has_to_do(Step::Deploy);
    if plan.has_to_do(Step::Flash) {
        let card = flash(cx, args, host, plan, journal)?;
        if may_deploy {
            may_deploy = change_card(cx, host, facts.answer(), journal)?;
        } else if let Some(card) = card {
            next_step::after_card(cx, &card);
        }
    }
    if may_deploy {
        journal.run(cx, Step::Deploy, || deploy(cx, args, version, host))?;
    }
    let has_changed = plan.has_to_do(Step::Flash) || may_deploy;
    if !plan.has_to_do(Step::Status) {
        return Ok(None);
    }
    if has_changed && !may_deploy && facts.answer() == Answer::None {
        journal.record(Step::Status, Outcome::Skipped, Some(format!("{host} does not answer yet")));
        return Ok(None);
    }
    journal.run(cx, Step::Status, || show_status(cx, args, facts, has_changed)).map(Some)
}

/// The steps from the login keys to the written card, which is returned.
fn flash(
    cx: &Context,
    args: &Up,
    host: &HostName,
    plan: &Plan,
    journal: &mut Journal,
) -> Result<Option<WrittenCard>> {
    let image = ImageArg::Built(ImageSource::Host(host.clone()));
    let sums = ChecksumArgs::default();
    let job = FlashJob {
        image: &image,
        device: args.device.as_deref(),
        sums: &sums,
        build: &args.build,
        payload: &args.payload,
        check_image: false,
        memory_limit: None,
        write: &args.write,
    };
    let mut flash = job.begin(cx).inspect_err(|error| journal.fail(Step::Card, error))?;
    let logins = LoginCheck { is_wanted: plan.has_to_do(Step::LoginKeys), found: RefCell::default() };
    journal::begin(cx, if logins.is_wanted { Step::LoginKeys } else { Step::Image });
    let made = flash.make_image(cx, |keys| logins.check(cx, host, keys));
    let made = journal.end(Step::Image, made);
    logins.record(journal, made.as_ref().err());
    let ready = made?;
    let file = ready.image.source.path.display().to_string();
    journal.record(Step::Image, Outcome::Done, Some(file));
    let card = journal.run(cx, Step::Card, || flash.find_card(cx, &ready))?;
    let device = card.disk.path.display().to_string();
    journal.record(Step::Card, Outcome::Done, Some(device));
    journal.run(cx, Step::Flash, || flash.write(cx, ready, card))
}

/// The check of the login keys, the step that runs between the evaluation and the build of an image.
struct LoginCheck {
    is_wanted: bool,
    /// The keys in words, and whether they let somebody in.
    found: RefCell<Option<(String, bool)>>,
}

impl LoginCheck {
    /// Checks the keys, if they are known before the build, and begins the step after.
    ///
    /// # Errors
    /// `Refused` for a host that nobody could log in to: a deploy could not either.
    fn check(&self, cx: &Context, host: &HostName, keys: Option<&LoginKeys>) -> Result<()> {
        if !self.is_wanted {
            return Ok(());
        }
        keys.map_or(Ok(()), |keys| self.require_login(cx, host, keys))?;
        journal::begin(cx, Step::Image);
        Ok(())
    }

    fn require_login(&self, cx: &Context, host: &HostName, keys: &LoginKeys) -> Result<()> {
        let warning = keys.warning();
        *self.found.borrow_mut() = Some((keys.to_string(), warning.is_none()));
        if let Some(Event::Warning { hint, .. }) = warning {
            let hint = hint.unwrap_or_default();
            bail!(Refused, "nobody could log in to {host}, to deploy to it: {keys}"; hint: "{hint}; or pass --skip login-keys");
        }
        cx.note(keys.to_string());
        Ok(())
    }

    /// Records the outcome, after the image was made or failed with `error`.
    fn record(&self, journal: &mut Journal, error: Option<&anyhow::Error>) {
        match (&*self.found.borrow(), error) {
            (None, None) if self.is_wanted => {
                let text = "unknown before the build: the plan of the flash has them".to_owned();
                journal.record(Step::LoginKeys, Outcome::Done, Some(text));
            }
            (Some((words, true)), _) => journal.record(Step::LoginKeys, Outcome::Done, Some(words.clone())),
            (Some((_, false)), Some(error)) => {
                journal.fail(Step::LoginKeys, error);
                journal.record(Step::Image, Outcome::NotReached, None);
            }
            _ => {}
        }
    }
}

/// Lets the user put the new card into a host that runs from its old one: a deploy would go to the old card. Returns
/// whether the new card is in.
fn change_card(cx: &Context, host: &HostName, answer: Answer, journal: &mut Journal) -> Result<bool> {
    if answer == Answer::None {
        return Ok(true);
    }
    if ui::can_ask() {
        let notice = format!("{host} still runs from its old card: put the new card in, and power it on.");
        let prompt = Prompt {
            notice: &notice,
            question: "Press Enter to go on:",
            unanswered: "stopped; the card is written, and `cargo xtask up` goes on from there",
        };
        return prompt.ask().map(|_| true);
    }
    let text = format!(
        "{host} still runs from its old card: put the new one in, then run `cargo xtask up {host:#}`"
    );
    cx.warn(text.clone());
    journal.record(Step::Deploy, Outcome::Skipped, Some(text));
    Ok(false)
}

/// Waits for the host, and deploys to it.
fn deploy(cx: &Context, args: &Up, version: nix::Version, host: &HostName) -> Result<()> {
    let nix_args = &args.build.nix.nix_args;
    let separator = (!nix_args.is_empty()).then(|| "--".to_owned());
    let of_address = args.to.iter().flat_map(crate::base::Address::deploy_rs_options);
    let options = DeployOptions {
        goal: Goal::Switch,
        is_dry_run: false,
        afterwards: Afterwards::Stay,
        wait: Some(Duration::from_secs(args.wait * 60)),
        health: Vec::new(),
        keep_firmware: false,
        waves: Waves::new(Vec::new(), None),
        cache_key: deploy_host::cache_key(cx, None)?,
        cache: None,
        release: None,
        overrides: Overrides::of_address(args.to.as_ref()),
        extra: of_address.chain(separator).chain(nix_args.iter().cloned()).collect(),
    };
    let ending = deploy_host::run(cx, DeployCommand::deploy(&cx.flake), &options, version, host, |_| Ok(()))?;
    next_step::after_deploy("", [&ending]);
    Ok(())
}

/// Shows the status: that of the beginning, unless something `has_changed`.
fn show_status(cx: &Context, args: &Up, facts: Facts, has_changed: bool) -> Result<Status> {
    let mut statuses = vec![facts.status];
    if has_changed {
        let overrides = Overrides::of_address(args.to.as_ref());
        let nix_args = nix::with_keep_lock(&args.build.nix.nix_args);
        statuses = host_status::read(
            cx,
            &receipt::read_all(cx)?,
            vec![facts.host],
            &overrides,
            DesiredBy::Flake { nix_args: &nix_args },
            None,
        )?;
    }
    for remark in statuses.iter().flat_map(Status::remarks) {
        cx.reporter.report(&remark);
    }
    if !cx.json {
        ui::print_table(&deploy::status_table(&statuses))?;
    }
    if let Some(error) = deploy::unreadable_states_error(&statuses) {
        return Err(error);
    }
    statuses.pop().ok_or_else(|| crate::failure!(Other, "the host has no status"))
}
