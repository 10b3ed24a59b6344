//! `boot`: boots an image or a card in QEMU, on a snapshot, until its host is up.

mod plan;
mod subject;

use std::fs::File;
use std::net::TcpListener;

use anyhow::{Context as _, Result};
use schemars::JsonSchema;
use serde::Serialize;

use self::plan::{Plan, Wanted};
use self::subject::{Content, Subject};
use crate::base::failure::{self, ExitKind};
use crate::base::interrupt::{self, SignalGuard};
use crate::base::{Context, Event, JsonResult, Tone, shell};
use crate::card::disk::{Disk, Locked};
use crate::card::image::ImageFacts;
use crate::cli::{Boot, BootArg};
use crate::commands::next_step;
use crate::commands::plan_facts::PlanFacts;
use crate::qemu::{
    self, Goal, Machine, Network, Proof, ProofWatch, Setup, SshProbe, StartFiles, Workspace, snapshot,
};
use crate::ui;

pub fn run(cx: &Context, args: &Boot) -> Result<()> {
    let boot_arg = args.boot_arg()?;
    qemu::require_programs(cx)?;
    // What is missing is said before a build of minutes.
    let virt_start = match args.machine {
        Machine::Virt => Some(StartFiles::find_for_virt(cx)?),
        Machine::Raspi3b => None,
    };
    let subject = Subject::open(cx, args, &boot_arg)?;
    let wanted = Wanted::find(cx, args, &subject)?;
    let plan = Plan { subject, machine: args.machine, limit: args.limit(), wanted };
    let facts = PlanFacts::Boot {
        name: plan.subject.name.clone(),
        machine: plan.machine,
        timeout_seconds: plan.limit.duration().as_secs(),
    };
    cx.show_plan(&plan, &facts);
    // Ctrl-C must end the emulator and remove the temporary files.
    let signals = interrupt::guard()?;
    let card = plan.subject.lock_card()?;
    let workspace = Workspace::make(&cx.state)?;
    let setup = prepare(cx, &plan, &workspace, virt_start, &signals);
    let up = setup.and_then(|setup| boot(cx, &plan, setup));
    let up = up.map_err(|error| explain(&plan, card.as_ref(), error));
    drop(workspace);
    show(cx, &plan, up?)?;
    match (&boot_arg, &plan.subject.content) {
        (BootArg::Image(image), _) => next_step::after_boot(image),
        (BootArg::Card(_), Content::Card(disk)) => next_step::after_card_boot(cx, disk)?,
        (BootArg::Card(_), Content::Image(_)) => {}
    }
    Ok(())
}

/// Makes the snapshot in `workspace`, and the machine with it. `virt_start` is the start of [`Machine::Virt`].
fn prepare(
    cx: &Context,
    plan: &Plan,
    workspace: &Workspace,
    virt_start: Option<StartFiles>,
    signals: &SignalGuard,
) -> Result<Setup> {
    let Plan { subject, machine, .. } = plan;
    let drive = match subject.compressed() {
        None => snapshot::overlay(cx, workspace, subject.path(), plan.card_size())?,
        Some(image) => snapshot::decompress(cx, workspace, image, plan.card_size(), signals)?,
    };
    let start = if let Some(start) = virt_start {
        start
    } else {
        let content = if subject.compressed().is_some() { &drive.file } else { subject.path() };
        let file = File::open(content).with_context(|| format!("opening {}", content.display()))?;
        StartFiles::copy_from_card(&file, subject.size(), &workspace.path("card"))?
    };
    Ok(Setup::with_drive(*machine, drive, start).with_limit(plan.limit.duration()))
}

/// A host that is up.
struct Up {
    proof: Proof,
    seconds: f64,
}

/// Boots `setup` until the plan's proof.
fn boot(cx: &Context, plan: &Plan, setup: Setup) -> Result<Up> {
    let port = free_port()?;
    let probe = match &plan.wanted {
        Wanted::Ssh(key) => Some(SshProbe::new(&cx.launcher, port, key)),
        Wanted::Text(_) | Wanted::Login { .. } => None,
    };
    let goal = match (&plan.wanted, &probe) {
        (Wanted::Text(text), _) => Goal::Text(text),
        (_, Some(probe)) => Goal::Ssh(probe),
        (_, None) => Goal::Login,
    };
    let setup = setup.with_network(if probe.is_some() { Network::Ssh(port) } else { Network::Isolated });
    let mut watch = ProofWatch::new(goal);
    let booted = cx.in_phase("boot", || {
        std::thread::scope(|scope| {
            if let Some(probe) = &probe {
                scope.spawn(|| probe.run());
            }
            let booted = qemu::boot(&cx.launcher, &setup, &mut watch, |line| show_line(cx, line));
            if let Some(probe) = &probe {
                probe.stop();
            }
            booted
        })
    });
    let seconds = booted?.seconds_until_up;
    let proof = watch.proof.context("the boot ended without a proof")?;
    Ok(Up { proof, seconds })
}

/// Shows a line of the console.
fn show_line(cx: &Context, line: &str) {
    if !line.trim().is_empty() {
        cx.reporter.report(&Event::log(line));
    }
}

/// A port of 127.0.0.1 that is free now.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    Ok(listener.context("finding a free port of 127.0.0.1")?.port())
}

/// `error` with the name of what was booted. For the locked `card` that is gone the error is only that; for one that
/// does not boot it has a hint, if it has none.
fn explain(plan: &Plan, card: Option<&Locked>, error: anyhow::Error) -> anyhow::Error {
    let kind = failure::kind(&error);
    let Subject { name, content, .. } = &plan.subject;
    let gone = card.filter(|_| kind != ExitKind::Interrupted).and_then(|card| card.check().err());
    if let Some(gone) = gone {
        return gone.context("the card has changed while it booted");
    }
    match content {
        _ if kind == ExitKind::Interrupted => {
            kind.error(format!("stopped; {name} is unchanged, and the snapshot is removed"))
        }
        Content::Card(disk) if kind == ExitKind::Verification && failure::hint(&error).is_none() => {
            let path = shell::quote(&disk.path.to_string_lossy());
            let hint =
                format!("`cargo xtask card inspect {path}` shows what a boot needs and the card lacks");
            kind.error_with_hint(format!("{name}: {error:#}"), hint)
        }
        _ => error.context(name.clone()),
    }
}

/// The JSON result.
#[derive(Serialize, JsonSchema)]
pub struct BootResult {
    /// The name of what was booted, for people.
    name: String,
    /// The booted card; `None` for an image.
    card: Option<Disk>,
    /// The booted image; `None` for a card.
    image: Option<ImageFacts>,
    machine: Machine,
    proof: Proof,
    /// The time from power on to the proof, in seconds.
    seconds: f64,
}

impl JsonResult for BootResult {}

fn show(cx: &Context, plan: &Plan, up: Up) -> Result<()> {
    let Plan { subject, machine, .. } = plan;
    let Up { proof, seconds } = up;
    if cx.json {
        let (card, image) = match &subject.content {
            Content::Card(disk) => (Some((**disk).clone()), None),
            Content::Image(image) => (None, Some(ImageFacts::from(&**image))),
        };
        let name = subject.name.clone();
        return ui::print_json(&BootResult { name, card, image, machine: *machine, proof, seconds });
    }
    let machine = machine.name();
    let text = format!("{} is up in {machine} after {seconds:.1} s: {proof}", subject.name);
    ui::print_verdict(&text, Tone::Good)
}
