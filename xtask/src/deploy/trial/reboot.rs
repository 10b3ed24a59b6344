//! A reboot on trial: the host tries the new system. The tool checks that system over a fresh connection, and blesses
//! it or sends the host back.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::judge::{self, Progress, progress};
use crate::base::failure::{ExitKind, kind};
use crate::base::{Context, Event};
use crate::deploy::host::{self, Blesser, Check, Remote, State, probe};
use crate::deploy::options::DeployOptions;
use crate::deploy::outcome::Outcome;
use crate::deploy::target::Target;
use crate::deploy::verdict::{self, Verdict};
use crate::failure;
use crate::nix::StorePath;

/// How long one command waits for the checks of the host.
const CHECKS_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a host that went back may take to note how its trial ended.
const NOTE_TIMEOUT: Duration = Duration::from_secs(60);

/// Whether the next boot of the host tries the system that was deployed.
pub fn next_boot_is_trial(outcome: &Outcome) -> bool {
    let desired = verdict::desired_system(&outcome.plan.target, &outcome.after);
    let pending = outcome.after.trial.known().and_then(|status| status.pending.as_ref());
    pending.is_some() && pending == desired
}

/// Reboots the host on trial, and judges it.
///
/// # Errors
/// `Interrupted` if the user stops it, `Undecided` if the host refuses to reboot.
pub fn reboot(cx: &Context, options: &DeployOptions, outcome: &mut Outcome) -> Result<()> {
    let target = &outcome.plan.target;
    let Some(desired) = verdict::desired_system(target, &outcome.after) else { return Ok(()) };
    let attempt = Attempt {
        cx,
        target,
        desired,
        before: &outcome.plan.before,
        armed: &outcome.after,
        health: &options.health,
        boot_timeout: options.boot_timeout(),
    };
    let mut timings = outcome.plan.timings.clone();
    let ended = timings.time("reboot", || attempt.run())?;
    outcome.plan.timings = timings;
    outcome.verdict = ended.verdict;
    outcome.reason = ended.reason;
    outcome.health = ended.health;
    outcome.after = ended.state.unwrap_or_else(|| outcome.after.clone());
    Ok(())
}

/// One reboot on trial.
struct Attempt<'a> {
    cx: &'a Context,
    target: &'a Target,
    /// The system that is tried.
    desired: &'a StorePath,
    /// The state before the deploy.
    before: &'a State,
    /// The state before the reboot, with the trial armed.
    armed: &'a State,
    health: &'a [String],
    boot_timeout: Duration,
}

/// What came of an attempt.
struct Ended {
    verdict: Verdict,
    /// The last state that was read after the reboot.
    state: Option<State>,
    reason: Option<String>,
    health: Vec<Check>,
}

/// What the tool did with a system on trial.
enum Treatment {
    /// The state is that after the blessing.
    Blessed(Box<State>),
    /// The tool told the host to go back.
    SentBack,
    /// The user stopped the health checks.
    Stopped,
    /// The link broke before the system was blessed; the error has the reason.
    Unreached(String),
    /// Checking or blessing the system failed for this reason.
    Failed(String),
}

impl Treatment {
    /// The stages of the trial in which its end is not there yet.
    fn pending(&self) -> &'static [Progress] {
        match self {
            Self::SentBack => &[Progress::Booting, Progress::Healthy],
            _ => &[Progress::Booting],
        }
    }

    /// Why the system was not blessed.
    fn reason(self) -> Option<String> {
        match self {
            Self::Unreached(reason) | Self::Failed(reason) => Some(reason),
            Self::Blessed(_) | Self::SentBack | Self::Stopped => None,
        }
    }
}

impl Attempt<'_> {
    fn remote(&self) -> Remote<'_> {
        Remote::new(&self.cx.launcher, &self.target.host, &self.target.connection)
    }

    fn run(&self) -> Result<Ended> {
        match host::arm_trial(&self.remote(), self.target, Blesser::Deployer) {
            Err(error) if kind(&error) == ExitKind::Undecided => {
                return Ok(Ended::without_state(Verdict::NotTried, &error));
            }
            armed => armed?,
        }
        let host = &self.target.host;
        self.note(format!(
            "rebooting {host}: this boot tries {}, and {host} keeps it only if it is blessed",
            self.desired
        ));
        if let Err(error) = host::restart(&self.remote(), self.target) {
            // Nobody waits for the next boot.
            let _ = host::arm_trial(&self.remote(), self.target, Blesser::Host);
            return Err(error);
        }
        let booted = match self.wait(&[Progress::Booting]) {
            Err(error) if kind(&error) == ExitKind::Unreachable => {
                return Ok(Ended::without_state(Verdict::NeverCameBack, &error));
            }
            booted => booted?,
        };
        self.finish(booted)
    }

    /// Checks a system that is on trial, waits for the end of the trial, and judges it. Where the link breaks meanwhile,
    /// the system is checked again for as long as the host waits.
    fn finish(&self, booted: State) -> Result<Ended> {
        let end = Instant::now() + self.trial_time();
        let mut state = booted;
        let mut health = Vec::new();
        let mut reason = None;
        while progress(self.desired, &state.trial) == Progress::Healthy {
            let treatment = self.bless_or_send_back(&state, &mut health);
            match treatment {
                Treatment::Stopped => {
                    return Ok(Ended {
                        verdict: Verdict::Unchecked,
                        state: Some(state),
                        reason: None,
                        health,
                    });
                }
                Treatment::Blessed(state) => return Ok(self.judged(*state, None, health)),
                _ => {}
            }
            state = match self.wait(treatment.pending()) {
                Err(error) if kind(&error) == ExitKind::Unreachable => {
                    return Ok(Ended { health, ..Ended::without_state(Verdict::NeverCameBack, &error) });
                }
                state => state?,
            };
            let is_final = !matches!(treatment, Treatment::Unreached(_)) || Instant::now() > end;
            reason = treatment.reason();
            if is_final {
                break;
            }
        }
        Ok(self.judged(state, reason, health))
    }

    fn judged(&self, state: State, reason: Option<String>, health: Vec<Check>) -> Ended {
        let verdict = judge::judge(self.target, self.desired, self.before, self.armed, &state);
        // What the host itself noted about a rollback is nearer to the cause.
        let reason = reason.filter(|_| verdict == Verdict::NotBlessed);
        Ended { verdict, state: Some(state), reason, health }
    }

    /// Runs the health checks, and blesses the system, which was read over a fresh connection, or sends the host back.
    fn bless_or_send_back(&self, state: &State, health: &mut Vec<Check>) -> Treatment {
        match self.try_to_bless(state, health) {
            Ok(treatment) => treatment,
            Err(error) if kind(&error) == ExitKind::Interrupted => Treatment::Stopped,
            Err(error) if kind(&error) == ExitKind::Unreachable => Treatment::Unreached(format!("{error:#}")),
            Err(error) => Treatment::Failed(format!("{error:#}")),
        }
    }

    fn try_to_bless(&self, state: &State, health: &mut Vec<Check>) -> Result<Treatment> {
        if verdict::judge_after_reboot(self.target, self.before, state) == Verdict::Mismatch {
            return self.send_back("it does not run the deployed system");
        }
        *health = host::run_checks(&self.remote(), self.health)?;
        if let Some(failed) = health.iter().find(|check| check.failed()) {
            let Check { command, exit_code, .. } = failed;
            return self.send_back(&format!("the deployer's check `{command}` exited with {exit_code}"));
        }
        host::bless_and_probe(&self.remote(), self.target).map(|state| Treatment::Blessed(Box::new(state)))
    }

    fn send_back(&self, reason: &str) -> Result<Treatment> {
        self.note(format!("{} goes back: {reason}", self.target.host));
        host::go_back(&self.remote(), self.target, reason)?;
        Ok(Treatment::SentBack)
    }

    /// Waits until the host answers after its reboot, and its trial is in none of the stages `pending`.
    ///
    /// A system on trial that refuses the login, or has another host key, counts as unreachable: the host will go back.
    fn wait(&self, pending: &[Progress]) -> Result<State> {
        let host = &self.target.host;
        let back_since = Cell::new(None::<Instant>);
        let probe = || self.probe(pending).map_err(as_unreachable);
        let not_ready = |now: &State| {
            if !host::has_rebooted(self.armed, now) {
                return Some(failure!(Undecided, "{host} has not rebooted"));
            }
            let stage = progress(self.desired, &now.trial);
            let since = back_since.get().unwrap_or_else(Instant::now);
            back_since.set((stage == Progress::Returning).then_some(since));
            let may_note_the_end = stage == Progress::Returning && since.elapsed() < NOTE_TIMEOUT;
            (may_note_the_end || pending.contains(&stage))
                .then(|| failure!(Undecided, "{host} is still on trial"))
        };
        let notify =
            || self.note(format!("waiting for {host}, which goes back by itself if the trial fails"));
        let limit = self.boot_timeout + self.trial_time();
        host::poll(self.target, limit, notify, probe, not_ready).map_err(|error| self.with_bless_hint(error))
    }

    /// Reads the state of the host; that of a system on trial, once its boot is over.
    fn probe(&self, pending: &[Progress]) -> Result<State> {
        if pending.contains(&Progress::Healthy) {
            return probe(&self.remote(), self.target);
        }
        host::probe_after_checks(&self.remote(), self.target, self.trial_time().min(CHECKS_TIMEOUT))
    }

    /// How long the host waits for the blessing.
    fn trial_time(&self) -> Duration {
        Duration::from_secs(self.armed.trial.known().map_or(0, |status| status.within))
    }

    fn with_bless_hint(&self, error: anyhow::Error) -> anyhow::Error {
        let host = &self.target.host;
        match kind(&error) {
            ExitKind::Interrupted => failure!(
                Interrupted, "{error:#}";
                hint: "{host} is on trial, and goes back by itself unless `cargo xtask deploy {host} --bless` follows"
            ),
            _ => error,
        }
    }

    fn note(&self, text: String) {
        self.cx.reporter.report(&Event::note(text));
    }
}

impl Ended {
    /// The end without a state of the host after the reboot.
    fn without_state(verdict: Verdict, error: &anyhow::Error) -> Self {
        Self { verdict, state: None, reason: Some(format!("{error:#}")), health: Vec::new() }
    }
}

/// `error` as one after which [`host::poll`] probes again.
fn as_unreachable(error: anyhow::Error) -> anyhow::Error {
    match kind(&error) {
        ExitKind::Interrupted | ExitKind::Unreachable => error,
        _ => ExitKind::Unreachable.error(format!("{error:#}")),
    }
}
