//! A reboot on trial: the host tries the new system. The tool checks that system over a fresh connection, and blesses
//! it or sends the host back.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::judge::{self, Progress, progress};
use super::treatment::Treatment;
use crate::base::failure::{ExitKind, kind};
use crate::base::{Context, Event};
use crate::deploy::host::{self, Blesser, Check, Remote, State, TrialReboot, probe};
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
    verdict::is_desired_pending(&outcome.plan.target, &outcome.after)
}

/// Reboots the host into the deployed system, which is on trial, and writes the verdict into `outcome`.
///
/// # Errors
/// `Interrupted` if the user stops the wait, `Undecided` if the host refuses to reboot, or if its trial does not end in
/// time.
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
    let result = timings.show(cx.reporter.as_ref(), "reboot", || attempt.run())?;
    outcome.plan.timings = timings;
    outcome.verdict = result.verdict;
    outcome.reason = result.reason;
    outcome.health = result.health;
    outcome.after = result.state.unwrap_or_else(|| outcome.after.clone());
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

/// The result of an attempt.
struct AttemptResult {
    verdict: Verdict,
    /// The last state that was read after the reboot.
    state: Option<State>,
    reason: Option<String>,
    health: Vec<Check>,
}

impl Attempt<'_> {
    fn remote(&self) -> Remote<'_> {
        Remote::new(&self.cx.launcher, &self.target.host, &self.target.connection)
    }

    /// Arms the trial, reboots the host, and waits for the end of the trial.
    ///
    /// # Errors
    /// Those of [`reboot`].
    fn run(&self) -> Result<AttemptResult> {
        let host = &self.target.host;
        match host::arm_and_reboot(&self.remote(), self.target)? {
            TrialReboot::Begun => {}
            TrialReboot::NotArmed(error) => {
                return Ok(AttemptResult::without_state(Verdict::NotTried, &error));
            }
            TrialReboot::Refused(error) => {
                // This tool does not wait for the next boot, so the host itself must bless it.
                let _ = host::arm_trial(&self.remote(), self.target, Blesser::Host);
                return Err(error);
            }
        }
        self.note(format!(
            "rebooting {host}: this boot tries {}, and {host} keeps it only if it is blessed",
            self.desired
        ));
        let booted = match self.wait_while(&[Progress::Booting]) {
            Err(error) if kind(&error) == ExitKind::Unreachable => {
                return Ok(AttemptResult::without_state(Verdict::NeverCameBack, &error));
            }
            booted => booted?,
        };
        self.finish(booted)
    }

    /// Checks a system that is on trial, waits for the end of the trial, and judges the host. If the link breaks
    /// meanwhile, checks the system again, as long as the host waits for the blessing. `booted` is the first state
    /// after the reboot.
    fn finish(&self, booted: State) -> Result<AttemptResult> {
        let deadline = Instant::now() + self.trial_time();
        let mut state = booted;
        let mut health = Vec::new();
        let mut reason = None;
        while progress(self.desired, &state.trial) == Progress::Healthy {
            let treatment = self.bless_or_send_back(&state, &mut health);
            match treatment {
                Treatment::Stopped => {
                    let state = probe(&self.remote(), self.target).unwrap_or(state);
                    let verdict = Verdict::Unchecked;
                    return Ok(AttemptResult { verdict, state: Some(state), reason: None, health });
                }
                Treatment::Blessed(after) => return Ok(self.judge(*after, None, health)),
                _ => {}
            }
            state = match self.wait_while(treatment.stages_to_wait_out()) {
                Err(error) if kind(&error) == ExitKind::Unreachable => {
                    let lost = AttemptResult::without_state(Verdict::NeverCameBack, &error);
                    return Ok(AttemptResult { health, ..lost });
                }
                state => state?,
            };
            let may_retry = matches!(treatment, Treatment::LinkLost(_)) && Instant::now() <= deadline;
            reason = treatment.reason();
            if !may_retry {
                break;
            }
        }
        Ok(self.judge(state, reason, health))
    }

    /// The result for a host in `state` after its reboot. `reason` is why the tool did not bless the system,
    /// and `health` has the checks that the tool ran.
    fn judge(&self, state: State, reason: Option<String>, health: Vec<Check>) -> AttemptResult {
        let verdict = judge::judge(self.target, self.desired, self.before, self.armed, &state);
        // What the host itself recorded about a rollback is nearer to the cause.
        let reason = reason.filter(|_| verdict == Verdict::NotBlessed);
        AttemptResult { verdict, state: Some(state), reason, health }
    }

    /// Runs the health checks into `health`, then blesses the system or sends the host back. `state` was read over a
    /// fresh connection after the reboot.
    fn bless_or_send_back(&self, state: &State, health: &mut Vec<Check>) -> Treatment {
        match self.try_to_bless(state, health) {
            Ok(treatment) => treatment,
            Err(error) if kind(&error) == ExitKind::Interrupted => Treatment::Stopped,
            Err(error) if kind(&error) == ExitKind::Unreachable => Treatment::LinkLost(format!("{error:#}")),
            Err(error) => Treatment::Failed(format!("{error:#}")),
        }
    }

    /// Does the work of [`Self::bless_or_send_back`] on a host in `state`, and adds the checks that it runs to
    /// `health`.
    ///
    /// # Errors
    /// Those of ssh, before the system is blessed; `Undecided` if the host does not bless it.
    fn try_to_bless(&self, state: &State, health: &mut Vec<Check>) -> Result<Treatment> {
        if verdict::judge_after_reboot(self.target, self.before, state) == Verdict::Mismatch {
            return self.send_back("it does not run the deployed system");
        }
        *health = host::run_checks(&self.remote(), self.health)?;
        if let Some(failed) = health.iter().find(|check| check.has_failed()) {
            let Check { command, exit_code, .. } = failed;
            return self.send_back(&format!("the deployer's check `{command}` exited with {exit_code}"));
        }
        host::bless_and_probe(&self.remote(), self.target).map(|state| Treatment::Blessed(Box::new(state)))
    }

    /// Tells the host to go back, and why.
    fn send_back(&self, reason: &str) -> Result<Treatment> {
        self.note(format!("{} goes back: {reason}", self.target.host));
        host::go_back(&self.remote(), self.target, reason)?;
        Ok(Treatment::SentBack)
    }

    /// Waits until the host answers after its reboot, and its trial is in none of `stages`. Returns its state then.
    ///
    /// A system on trial that refuses the login, or has another host key, counts as unreachable: the host will go back.
    ///
    /// # Errors
    /// `Unreachable` or `Undecided` after the time for the boot and the trial, `Interrupted` if the user stops the
    /// wait.
    fn wait_while(&self, stages: &[Progress]) -> Result<State> {
        let host = &self.target.host;
        let returning_since = Cell::new(None);
        let begin = Instant::now();
        let probe = || {
            let remote = host::with_boot_timeout(&self.remote(), begin);
            self.probe(&remote, stages).map_err(into_unreachable)
        };
        let not_ready = |now: &State| self.unfinished_error(stages, now, &returning_since);
        let notify =
            || self.note(format!("waiting for {host}, which goes back by itself if the trial fails"));
        let limit = self.boot_timeout + self.trial_time();
        host::poll(self.target, limit, self.cx.reporter.as_ref(), notify, probe, not_ready)
            .map_err(|error| self.with_bless_hint(error))
    }

    /// The error for a host that has not rebooted yet, or whose trial is in one of `stages`; `None` for others.
    ///
    /// A host that went back needs time to note how its trial ended. `returning_since` is when such a host was first
    /// seen.
    fn unfinished_error(
        &self,
        stages: &[Progress],
        now: &State,
        returning_since: &Cell<Option<Instant>>,
    ) -> Option<anyhow::Error> {
        let host = &self.target.host;
        if !host::has_rebooted(self.armed, now) {
            return Some(failure!(Undecided, "{host} has not rebooted"));
        }
        let stage = progress(self.desired, &now.trial);
        let is_returning = stage == Progress::Returning;
        let since = returning_since.get().unwrap_or_else(Instant::now);
        returning_since.set(is_returning.then_some(since));
        let may_note_the_end = is_returning && since.elapsed() < NOTE_TIMEOUT;
        let is_unfinished = may_note_the_end || stages.contains(&stage);
        is_unfinished.then(|| failure!(Undecided, "{host} is still on trial"))
    }

    /// Reads the state of the host, for a wait during `stages`.
    ///
    /// Unless [`Progress::Healthy`] is one of `stages`, a command on the host first waits for the end of the host's
    /// checks, then reads only the systems and the trial. This suffices for a healthy trial, and for a host that has
    /// not rebooted; for all others, the whole state is read.
    fn probe(&self, remote: &Remote, stages: &[Progress]) -> Result<State> {
        if !stages.contains(&Progress::Healthy) {
            let limit = self.trial_time().min(CHECKS_TIMEOUT);
            let state = host::probe_systems_after_checks(remote, self.target, limit)?;
            let is_healthy = progress(self.desired, &state.trial) == Progress::Healthy;
            if is_healthy || !host::has_rebooted(self.armed, &state) {
                return Ok(state);
            }
        }
        probe(remote, self.target)
    }

    /// How long the host waits for the blessing; zero if the host does not report it.
    fn trial_time(&self) -> Duration {
        Duration::from_secs(self.armed.trial.status().map_or(0, |status| status.within))
    }

    /// Adds a hint about the trial to the `error` of a wait that the user stopped. Returns any other error unchanged.
    fn with_bless_hint(&self, error: anyhow::Error) -> anyhow::Error {
        let host = &self.target.host;
        match kind(&error) {
            ExitKind::Interrupted => failure!(
                Interrupted, "{error:#}";
                hint: "{host} tries the new system, and goes back by itself unless `cargo xtask deploy {host:#} --bless` \
                       follows once it answers"
            ),
            _ => error,
        }
    }

    fn note(&self, text: String) {
        self.cx.reporter.report(&Event::note(text));
    }
}

impl AttemptResult {
    /// The result without a state of the host after the reboot; `error` is the reason.
    fn without_state(verdict: Verdict, error: &anyhow::Error) -> Self {
        Self { verdict, state: None, reason: Some(format!("{error:#}")), health: Vec::new() }
    }
}

/// Makes `error` one of the kind `Unreachable`, after which [`host::poll`] probes again; `Interrupted` stays.
fn into_unreachable(error: anyhow::Error) -> anyhow::Error {
    match kind(&error) {
        ExitKind::Interrupted | ExitKind::Unreachable => error,
        _ => ExitKind::Unreachable.error(format!("{error:#}")),
    }
}
