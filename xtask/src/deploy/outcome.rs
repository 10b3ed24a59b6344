//! The outcome of a deploy, as text and as JSON.

use super::activation::DeployExit;
use super::host::{Check, State, boot_changes_clause};
use super::plan::{Plan, path_text};
use super::remedies;
use super::target::Target;
use super::trial;
use super::verdict::{self, Basis, Verdict};
use crate::base::failure::{ExitKind, Reason};
use crate::base::{Event, Tone};
use crate::nix::StorePath;

/// A finished deploy: its plan, the state of the host afterwards, and the verdict.
#[derive(Debug)]
pub struct Outcome {
    pub plan: Plan,
    pub after: State,
    pub verdict: Verdict,
    /// How deploy-rs exited; `None` if it did not run.
    pub deploy_rs: Option<DeployExit>,
    /// The error of the copy, if the closure was not copied completely.
    pub copy_failed: Option<Reason>,
    /// Why a trial, or the reboot, failed, as far as the host has not recorded it.
    pub reason: Option<String>,
    /// The results of the health checks.
    pub health: Vec<Check>,
}

impl Outcome {
    /// The outcome for a host in the state `after`, with the `verdict` on it, where deploy-rs did not run.
    pub fn new(plan: Plan, after: State, verdict: Verdict) -> Self {
        Self { plan, after, verdict, deploy_rs: None, copy_failed: None, reason: None, health: Vec::new() }
    }

    /// The outcome for a host that was already current, with the `verdict` on it.
    pub fn unchanged(plan: Plan, verdict: Verdict) -> Self {
        let after = plan.before.clone();
        Self::new(plan, after, verdict)
    }

    /// The result in one line, or more with an explanation.
    pub fn summary(&self) -> String {
        trial::summary(self).unwrap_or_else(|| self.plain_summary())
    }

    /// The event of the verdict, where this host is one of several.
    pub fn event(&self) -> Event {
        Event::Verdict { text: self.summary(), tone: self.tone() }
    }

    /// What the verdict means to the user.
    pub fn tone(&self) -> Tone {
        self.verdict.tone()
    }

    /// The summary of the verdicts that hosts without trials have too.
    fn plain_summary(&self) -> String {
        let host = &self.plan.target.host;
        let runs = path_text(self.running_path());
        let units = self.after.failed_units_text();
        let changes = boot_changes_clause(&self.after.boot_changes, "this system");
        match self.verdict {
            Verdict::Done => format!("{host} runs {runs}"),
            Verdict::AlreadyCurrent => format!("{host} already runs {runs}"),
            Verdict::Ready => format!("{host} boots {} from its next boot on", self.desired()),
            Verdict::RebootNeeded => format!("{host} runs {runs}, and needs a reboot: {changes}"),
            Verdict::UnitsFailed => format!("{host} runs {runs}, but units have failed: {units}"),
            Verdict::Degraded => {
                format!("{host} runs {runs}, but is degraded by units that had failed before: {units}")
            }
            Verdict::Unhealthy => {
                format!("{host} runs {runs}, but failed a health check: {}", self.failed_checks_text())
            }
            Verdict::Unchecked => {
                format!("{host} runs {runs}, but its health is unknown: the health check was stopped")
            }
            Verdict::RolledBack => self.rollback_summary(),
            Verdict::NotActivated => format!(
                "deploy-rs exited with {} before the activation: {host} runs {runs} as before",
                self.deploy_rs_code()
            ),
            Verdict::NotCopied => self.failed_copy_summary(),
            Verdict::Stopped => format!("stopped before the activation: {host} runs {runs} as before"),
            Verdict::Mismatch => self.mismatch_summary(),
            Verdict::OnTrial
            | Verdict::RolledBackAcrossReboot
            | Verdict::NotBlessed
            | Verdict::NotTried
            | Verdict::NeverCameBack => self.verdict_words(),
            Verdict::Undecided => format!(
                "the profile of {host} is {runs}, but deploy-rs exited with {}, and without /run/current-system it \
                 is unknown what the host runs",
                self.deploy_rs_code()
            ),
        }
    }

    /// The summary of [`Verdict::RolledBack`].
    fn rollback_summary(&self) -> String {
        format!(
            "{} rolled back to {}: {} was not kept{}",
            self.plan.target.host,
            path_text(self.running_path()),
            self.desired(),
            self.rollback_clause()
        )
    }

    /// The summary of [`Verdict::NotCopied`].
    fn failed_copy_summary(&self) -> String {
        let host = &self.plan.target.host;
        format!(
            "the closure was not copied completely to {host}; nothing was activated, and {host} runs {} as before: {}",
            path_text(self.running_path()),
            self.copy_failed.as_ref().map_or("", |reason| &reason.message)
        )
    }

    /// Further facts for the user, reported on stderr.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = vec![self.basis_remark()];
        let host = &self.plan.target.host;
        if self.after.reboot_needed && self.verdict != Verdict::RebootNeeded {
            let changes = boot_changes_clause(&self.after.boot_changes, "the system it runs");
            remarks.push(format!("{host} needs a reboot: {changes}"));
        }
        if self.after.failed_units.is_none() {
            remarks.push(format!("the failed units of {host} are unknown: no systemd answers there"));
        }
        let code = self.deploy_rs_code();
        if self.verdict.failure().is_none() && code != 0 {
            let verb =
                if matches!(self.verdict, Verdict::Ready | Verdict::OnTrial) { "boots" } else { "runs" };
            remarks.push(format!("deploy-rs exited with {code}, but {host} {verb} the new system"));
        }
        remarks.extend(trial::next_boot_remark(self));
        if self.needs_boot_goal() {
            remarks.push("only a reboot can activate the new system (exit code 100)".into());
        }
        remarks
    }

    /// Whether the host was deployed to, and what was deployed starts only with a reboot.
    pub fn awaits_reboot(&self) -> bool {
        let is_due = self.awaits_first_boot() || self.after.reboot_needed;
        self.verdict.failure().is_none() && is_due
    }

    /// Whether the host runs another system until its next boot, which starts or tries what was deployed.
    pub fn awaits_first_boot(&self) -> bool {
        matches!(self.verdict, Verdict::Ready | Verdict::OnTrial)
    }

    /// Whether the host rolled back because it cannot activate the new system while it runs.
    pub(super) fn needs_boot_goal(&self) -> bool {
        self.verdict == Verdict::RolledBack && self.deploy_rs.is_some_and(|exit| exit.needs_reboot)
    }

    /// The error of a verdict that is a failure; `None` for a success.
    pub fn error(&self) -> Option<anyhow::Error> {
        let kind = self.verdict.failure()?;
        Some(kind.error_with(self.summary(), remedies::hint(self), Vec::new()))
    }

    /// The remark about the links that were read on the host, and what each was compared with.
    fn basis_remark(&self) -> String {
        let target @ Target { host, link, .. } = &self.plan.target;
        let profile = target.profile_name();
        let system = target.system_name();
        match verdict::basis(target, self.plan.goal, &self.after) {
            Basis::System => {
                format!("compared on {host}: /run/current-system with {system}, and {link} with {profile}")
            }
            Basis::Profile => format!(
                "compared on {host}: {link} with {profile}, and /run/current-system with the system that this profile \
                 activates (there is no {system})"
            ),
            Basis::Link => format!(
                "compared on {host}: {link} with {profile} (without /run/current-system, only deploy-rs reports that the \
                 activation succeeded)"
            ),
            Basis::NextBoot => {
                format!("compared on {host}: {link}, which the next boot starts, with {profile}")
            }
        }
    }

    /// The summary of [`Verdict::Mismatch`]; names the node if its profile wraps another system than the flake's.
    fn mismatch_summary(&self) -> String {
        let target @ Target { host, path, link, .. } = &self.plan.target;
        let runs = path_text(self.after.current.as_ref());
        let profile = match &self.after.profile {
            Some(profile) if profile == path => format!("{link} is as expected, {path}"),
            profile => {
                let found = profile.as_ref().map_or("no store path", StorePath::as_str);
                format!("{link} is {found}, expected {path}")
            }
        };
        let other_next_boot = verdict::other_next_boot(&self.plan.target, &self.after);
        let next_boot = other_next_boot.map(|next| format!("; its next boot starts {next}"));
        let node = self.other_wrapped_system().map(|wrapped| {
            format!("\n  {} deploys {wrapped}, which is not {}", target.profile_name(), target.system_name())
        });
        format!(
            "{host} does not run what was deployed: it runs {runs}, expected {}; {profile}{}{}",
            self.desired(),
            next_boot.unwrap_or_default(),
            node.unwrap_or_default()
        )
    }

    /// The system that the deployed profile activates, if it is another than the NixOS system of the flake. `None` also
    /// if the flake has no NixOS system, or if the host has another profile.
    pub(super) fn other_wrapped_system(&self) -> Option<&StorePath> {
        let Target { path, system, .. } = &self.plan.target;
        let wrapped = self.after.profile_system.as_ref()?;
        let has_profile = self.after.profile.as_ref() == Some(path);
        (has_profile && wrapped != system.as_ref()?).then_some(wrapped)
    }

    /// Whether the host has the deployed profile, which it does not run, and deploy-rs has activated it.
    pub(super) fn has_kept_profile(&self) -> bool {
        let is_activated = self.deploy_rs.is_some_and(|exit| exit.activated);
        is_activated && self.after.profile.as_ref() == Some(&self.plan.target.path)
    }

    /// Whether the user stopped the deploy, before or during the activation.
    pub fn is_stopped(&self) -> bool {
        let is_interrupted = self.deploy_rs.is_some_and(DeployExit::is_interrupted);
        is_interrupted || self.verdict.failure() == Some(ExitKind::Interrupted)
    }

    /// A clause for a rollback that the user caused, and for one after which deploy-rs exited with 0; empty for another
    /// exit code.
    fn rollback_clause(&self) -> &'static str {
        match self.deploy_rs_code() {
            0 => ", although deploy-rs reported success",
            _ if self.is_stopped() => ", as the run was stopped",
            _ => "",
        }
    }

    fn failed_checks_text(&self) -> String {
        let failed = self.health.iter().filter(|check| check.has_failed());
        failed.map(Check::describe).collect::<Vec<_>>().join("\n  ")
    }

    /// Why a trial, or the reboot, failed; `None` for other verdicts.
    pub fn trial_reason(&self) -> Option<String> {
        match (&self.reason, self.verdict) {
            (Some(reason), _) => Some(reason.clone()),
            (None, Verdict::RolledBackAcrossReboot) => {
                Some(trial::rollback_reason(&self.after, self.desired()))
            }
            (None, _) => None,
        }
    }

    /// The verdict for programs, such as `rolled_back`.
    pub fn verdict_name(&self) -> String {
        serde_json::json!(self.verdict).as_str().unwrap_or_default().to_owned()
    }

    /// The verdict for people, such as `rolled back`.
    pub fn verdict_words(&self) -> String {
        let words = self.verdict_name().replace('_', " ");
        if self.verdict == Verdict::RolledBack && self.is_stopped() {
            format!("{words}: stopped")
        } else {
            words
        }
    }

    /// The store path that the host runs, as text.
    pub fn running_text(&self) -> &str {
        path_text(self.running_path())
    }

    /// The exit code that the verdict stands for.
    pub fn exit_code(&self) -> u8 {
        self.verdict.failure().map_or(0, ExitKind::code)
    }

    /// The store path that the host runs: its system, or its profile if it has no `/run/current-system`.
    fn running_path(&self) -> Option<&StorePath> {
        self.after.current.as_ref().or(self.after.profile.as_ref())
    }

    /// The store path that the host is to run: the desired system, or the desired profile if that system is unknown.
    pub fn desired(&self) -> &StorePath {
        verdict::desired_system(&self.plan.target, &self.after).unwrap_or(&self.plan.target.path)
    }

    /// The exit code of deploy-rs; 0 if it did not run.
    fn deploy_rs_code(&self) -> i32 {
        self.deploy_rs.map_or(0, |exit| exit.code)
    }
}
