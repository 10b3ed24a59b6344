//! The outcome of a deploy, as text and as JSON.

use serde_json::{Value, json};

use super::activation::DeployExit;
use super::host::{Check, State, boot_changes_text};
use super::plan::{Plan, path_text};
use super::target::Target;
use super::trial;
use super::verdict::{self, Basis, Verdict};
use crate::base::failure::{ExitKind, Reason};
use crate::nix::StorePath;

/// A finished deploy: its plan, the state of the host afterwards, and the verdict.
#[derive(Debug)]
pub struct Outcome {
    pub plan: Plan,
    pub after: State,
    pub verdict: Verdict,
    /// How deploy-rs exited; `None` if it did not run.
    pub deploy_rs: Option<DeployExit>,
    /// The error of the copy, if the closure did not arrive completely.
    pub copy_failed: Option<Reason>,
    /// Why a trial, or the reboot, failed, as far as the host has not noted it.
    pub reason: Option<String>,
    /// The results of the health checks.
    pub health: Vec<Check>,
}

impl Outcome {
    /// The outcome of a plan for a host that is already current.
    pub fn unchanged(plan: Plan, verdict: Verdict) -> Self {
        let after = plan.before.clone();
        Self { after, verdict, deploy_rs: None, copy_failed: None, reason: None, health: Vec::new(), plan }
    }

    /// The result in one line, or more with an explanation.
    pub fn summary(&self) -> String {
        trial::summary(self).unwrap_or_else(|| self.plain_summary())
    }

    /// The summary of the verdicts that hosts without trials have too.
    fn plain_summary(&self) -> String {
        let host = &self.plan.target.host;
        let runs = path_text(self.running());
        let units = self.after.failed_units_text();
        let changes = boot_changes_text(&self.after.boot_changes);
        match self.verdict {
            Verdict::Done => format!("{host} runs {runs}"),
            Verdict::AlreadyCurrent => format!("{host} already runs {runs}"),
            Verdict::Ready => format!("{host} boots {} from its next boot on", self.desired()),
            Verdict::RebootNeeded => {
                format!("{host} runs {runs}, and needs a reboot: {changes} of this system")
            }
            Verdict::UnitsFailed => format!("{host} runs {runs}, but units have failed: {units}"),
            Verdict::Degraded => {
                format!("{host} runs {runs}, but is degraded: units that failed before still are: {units}")
            }
            Verdict::Unhealthy => {
                format!("{host} runs {runs}, but failed a health check: {}", self.failed_checks())
            }
            Verdict::Unchecked => {
                format!("{host} runs {runs}, but its health is unknown: the health check was stopped")
            }
            Verdict::RolledBack => self.rolled_back(),
            Verdict::NotActivated => format!(
                "deploy-rs exited with {} before the activation: {host} runs {runs} as before",
                self.code()
            ),
            Verdict::NotCopied => self.not_copied(),
            Verdict::Stopped => format!("stopped before the activation: {host} runs {runs} as before"),
            Verdict::Mismatch => self.mismatch(),
            Verdict::OnTrial
            | Verdict::RolledBackAcrossReboot
            | Verdict::NotBlessed
            | Verdict::NotTried
            | Verdict::NeverCameBack => self.words(),
            Verdict::Undecided => format!(
                "the profile of {host} is {runs}, but deploy-rs exited with {}, and without /run/current-system it \
                 is unknown what the host runs",
                self.code()
            ),
        }
    }

    /// The summary of [`Verdict::RolledBack`].
    fn rolled_back(&self) -> String {
        format!(
            "{} rolled back to {}: {} was not kept{}",
            self.plan.target.host,
            path_text(self.running()),
            self.desired(),
            self.contradiction()
        )
    }

    /// The summary of [`Verdict::NotCopied`].
    fn not_copied(&self) -> String {
        format!(
            "the closure was not copied completely to {}; nothing was activated, and it runs {} as before: {}",
            self.plan.target.host,
            path_text(self.running()),
            self.copy_failed.as_ref().map_or("", |reason| &reason.message)
        )
    }

    /// Further facts for the user, reported on stderr.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = vec![self.basis()];
        let host = &self.plan.target.host;
        if self.after.reboot_needed && self.verdict != Verdict::RebootNeeded {
            let changes = boot_changes_text(&self.after.boot_changes);
            remarks.push(format!("{host} needs a reboot: {changes} of the system it runs"));
        }
        if self.after.failed_units.is_none() {
            remarks.push(format!("the failed units of {host} are unknown: no systemd answers there"));
        }
        if self.verdict.failure().is_none() && self.code() != 0 {
            let verb =
                if matches!(self.verdict, Verdict::Ready | Verdict::OnTrial) { "boots" } else { "runs" };
            remarks.push(format!("deploy-rs exited with {}, but {host} {verb} the new system", self.code()));
        }
        remarks.extend(trial::next_boot_remark(self));
        if self.needs_boot_goal() {
            remarks.push("only a reboot can activate the new system (exit code 100)".into());
        }
        remarks
    }

    /// Whether the host rolled back because it cannot activate the new system while it runs.
    fn needs_boot_goal(&self) -> bool {
        self.verdict == Verdict::RolledBack && self.deploy_rs.is_some_and(|exit| exit.needs_reboot)
    }

    /// The error of a verdict that is a failure; `None` for a success.
    pub fn error(&self) -> Option<anyhow::Error> {
        let kind = self.verdict.failure()?;
        let of_copy = self.copy_failed.as_ref().and_then(|reason| reason.hint.clone());
        let boot = || self.needs_boot_goal().then(|| "deploy again with `--boot --reboot`".to_owned());
        let hint = of_copy.or_else(boot).or_else(|| trial::hint(self));
        Some(kind.error_with(self.summary(), hint, Vec::new()))
    }

    pub fn json(&self) -> Value {
        let Plan { target, before, .. } = &self.plan;
        json!({
            "host": target.host,
            "verdict": self.verdict,
            "exit_code": self.exit_code(),
            "proof": verdict::basis(target, self.plan.goal, &self.after),
            "diff": self.plan.diff,
            "reason": self.trial_reason(),
            "health": self.health,
            "seconds": self.plan.timings,
            "meant": { "system": verdict::desired_system(target, &self.after), "profile": target.path },
            "before": before,
            "after": self.after,
            "deploy_rs_exit_code": self.deploy_rs.map(|exit| exit.code),
        })
    }

    /// Which links were read on the host, and what each was compared with.
    fn basis(&self) -> String {
        let target @ Target { host, link, .. } = &self.plan.target;
        let profile = target.profile_name();
        match verdict::basis(target, self.plan.goal, &self.after) {
            Basis::System => format!(
                "read on {host}: /run/current-system, against {}, and {link}, against {profile}",
                target.system_name()
            ),
            Basis::Profile => format!(
                "read on {host}: {link}, against {profile}, and /run/current-system, against what that \
                 profile activates (the flake has no nixosConfigurations.{host})"
            ),
            Basis::Link => format!(
                "read on {host}: {link}, against {profile} (without /run/current-system, only deploy-rs \
                 reports that the activation succeeded)"
            ),
            Basis::NextBoot => {
                format!("read on {host}: {link}, which the next boot starts, against {profile}")
            }
        }
    }

    /// The summary of [`Verdict::Mismatch`]; names the node if its profile wraps another system than the flake's.
    fn mismatch(&self) -> String {
        let Target { host, path, system, link, .. } = &self.plan.target;
        let runs = path_text(self.after.current.as_ref());
        let profile = path_text(self.after.profile.as_ref());
        let wrapped = self.after.profile_system.as_ref().filter(|wrapped| {
            system.as_ref().is_some_and(|system| system != *wrapped)
                && self.after.profile.as_ref() == Some(path)
        });
        let why = wrapped.map(|wrapped| {
            format!("\n  deploy.nodes.{host} deploys {wrapped}, which is not nixosConfigurations.{host}")
        });
        let next = verdict::other_next_boot(&self.plan.target, &self.after);
        let next = next.map(|next| format!("; its next boot starts {next}"));
        format!(
            "{host} does not run what was deployed: it runs {runs}, expected {}; {link} is {profile}, expected \
             {path}{}{}",
            self.desired(),
            next.unwrap_or_default(),
            why.unwrap_or_default()
        )
    }

    /// A clause for a rollback after which deploy-rs exited with 0.
    fn contradiction(&self) -> &'static str {
        if self.code() == 0 { ", although deploy-rs reported success" } else { "" }
    }

    fn failed_checks(&self) -> String {
        self.health
            .iter()
            .filter(|check| check.failed())
            .map(Check::describe)
            .collect::<Vec<_>>()
            .join("\n  ")
    }

    /// Why a trial, or the reboot, failed.
    pub fn trial_reason(&self) -> Option<String> {
        let rolled_back = || trial::rollback_reason(&self.after, self.desired());
        let is_rollback = self.verdict == Verdict::RolledBackAcrossReboot;
        self.reason.clone().or_else(|| is_rollback.then(rolled_back))
    }

    /// The verdict for programs, such as `rolled_back`.
    pub fn verdict_name(&self) -> String {
        json!(self.verdict).as_str().unwrap_or_default().to_owned()
    }

    /// The verdict for people, such as `rolled back`.
    pub fn words(&self) -> String {
        self.verdict_name().replace('_', " ")
    }

    /// The store path that the host runs.
    pub fn runs(&self) -> &str {
        path_text(self.running())
    }

    /// The exit code that the verdict stands for.
    pub fn exit_code(&self) -> u8 {
        self.verdict.failure().map_or(0, ExitKind::code)
    }

    fn running(&self) -> Option<&StorePath> {
        self.after.current.as_ref().or(self.after.profile.as_ref())
    }

    pub fn desired(&self) -> &StorePath {
        verdict::desired_system(&self.plan.target, &self.after).unwrap_or(&self.plan.target.path)
    }

    fn code(&self) -> i32 {
        self.deploy_rs.map_or(0, |exit| exit.code)
    }
}
