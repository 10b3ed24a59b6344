//! What became of a deploy, in words and as JSON.

use serde_json::{Value, json};

use super::host::{Check, State};
use super::plan::{Plan, shown};
use super::target::Target;
use super::verdict::{self, DeployExit, Proof, Verdict};
use crate::base::failure::ExitKind;
use crate::nix::StorePath;

/// What became of it.
#[derive(Debug)]
pub struct Outcome {
    pub plan: Plan,
    pub after: State,
    pub verdict: Verdict,
    /// How deploy-rs ended; `None` where it did not run.
    pub deploy_rs: Option<DeployExit>,
    /// What kept the host from getting all that it needs.
    pub copy_failed: Option<String>,
    /// The commands that were to succeed on the host.
    pub health: Vec<Check>,
}

impl Outcome {
    /// The outcome of a plan that needed nothing to be done.
    pub fn unchanged(plan: Plan, verdict: Verdict) -> Self {
        let after = plan.before.clone();
        Self { after, verdict, deploy_rs: None, copy_failed: None, health: Vec::new(), plan }
    }

    /// One line, or more where there is something to explain.
    pub fn summary(&self) -> String {
        let (host, runs) = (&self.plan.target.host, shown(self.running()));
        let units = self.after.failed_in_words();
        match self.verdict {
            Verdict::Done => format!("{host} runs {runs}"),
            Verdict::AlreadyCurrent => format!("{host} already runs {runs}"),
            Verdict::Ready => format!("{host} boots {} from its next boot on", self.meant()),
            Verdict::RebootNeeded => {
                format!("{host} runs {runs}, and needs a reboot: its kernel is not yet that of this system")
            }
            Verdict::UnitsFailed => format!("{host} runs {runs}, but units have failed: {units}"),
            Verdict::Degraded => {
                format!(
                    "{host} runs {runs}, but is degraded: units had failed before, and still are: {units}"
                )
            }
            Verdict::Unhealthy => format!("{host} runs {runs}, but is not healthy: {}", self.unhealthy()),
            Verdict::Unchecked => {
                format!("{host} runs {runs}, but is not known to be healthy: the check was stopped")
            }
            Verdict::RolledBack => {
                format!("{host} went back to {runs}: {} was not taken{}", self.meant(), self.contradiction())
            }
            Verdict::NotActivated => format!(
                "deploy-rs failed with exit code {} before it activated anything: {host} runs {runs} as before",
                self.code()
            ),
            Verdict::NotCopied => format!(
                "not all that {host} needs could be copied to it, so nothing was activated and it runs {runs} as \
                 before: {}",
                self.copy_failed.as_deref().unwrap_or_default()
            ),
            Verdict::Stopped => {
                format!("stopped before anything was activated: {host} runs {runs} as before")
            }
            Verdict::Mismatch => self.mismatch(),
            Verdict::Undecided => format!(
                "the profile of {host} is {runs}, but deploy-rs failed with exit code {} and the host has no \
                 /run/current-system to tell what it runs",
                self.code()
            ),
        }
    }

    /// What else is worth knowing, for the story.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = vec![self.proof()];
        let host = &self.plan.target.host;
        if self.after.reboot_needed && self.verdict != Verdict::RebootNeeded {
            remarks.push(format!("{host} needs a reboot: its kernel is not yet that of the system it runs"));
        }
        if self.after.failed_units.is_none() {
            remarks
                .push(format!("whether units of {host} have failed is not known: no systemd answers there"));
        }
        if self.verdict.failure().is_none() && self.code() != 0 {
            remarks.push(format!("deploy-rs failed with exit code {}, and yet it is true", self.code()));
        }
        if self.verdict == Verdict::RolledBack && self.deploy_rs.is_some_and(|ran| ran.wants_reboot) {
            let text = "the system can only be brought about by a reboot (exit code 100): again with `--boot --reboot`";
            remarks.push(text.into());
        }
        remarks
    }

    pub fn json(&self) -> Value {
        let Plan { target, before, .. } = &self.plan;
        json!({
            "host": target.host,
            "verdict": self.verdict,
            "exit_code": self.exit_code(),
            "proof": verdict::proof(target, self.plan.goal, &self.after),
            "diff": self.plan.diff,
            "health": self.health,
            "seconds": self.plan.timings,
            "meant": { "system": verdict::meant(target, &self.after), "profile": target.path },
            "before": before,
            "after": self.after,
            "deploy_rs_exit_code": self.deploy_rs.map(|ran| ran.code),
        })
    }

    fn proof(&self) -> String {
        let Target { host, link, .. } = &self.plan.target;
        match verdict::proof(&self.plan.target, self.plan.goal, &self.after) {
            Proof::System => format!(
                "read on {host}: /run/current-system, against nixosConfigurations.{host}, and {link}, against \
                 deploy.nodes.{host}"
            ),
            Proof::Profile => format!(
                "read on {host}: {link}, against deploy.nodes.{host}, and /run/current-system, against what that \
                 profile activates (the flake has no nixosConfigurations.{host})"
            ),
            Proof::Link => format!(
                "read on {host}: {link}, against deploy.nodes.{host} (it has no /run/current-system, so whether \
                 the activation did its work is deploy-rs's word)"
            ),
            Proof::NextBoot => {
                format!("read on {host}: {link}, against deploy.nodes.{host}: it is what boots")
            }
        }
    }

    fn mismatch(&self) -> String {
        let Target { host, path, system, link, .. } = &self.plan.target;
        let (runs, profile) = (shown(self.after.current.as_ref()), shown(self.after.profile.as_ref()));
        let wrapped = self.after.offered.as_ref().filter(|offered| {
            system.as_ref().is_some_and(|system| system != *offered)
                && self.after.profile.as_ref() == Some(path)
        });
        let why = wrapped.map(|offered| {
            format!("\n  deploy.nodes.{host} deploys {offered}, which is not nixosConfigurations.{host}")
        });
        format!(
            "{host} does not run what was deployed: it runs {runs}, meant is {}; {link} is {profile}, meant is \
             {path}{}",
            self.meant(),
            why.unwrap_or_default()
        )
    }

    /// What there is to say where deploy-rs claims the opposite.
    fn contradiction(&self) -> &'static str {
        if self.code() == 0 { ", although deploy-rs reported success" } else { "" }
    }

    fn unhealthy(&self) -> String {
        self.health.iter().filter(|check| check.failed()).map(Check::story).collect::<Vec<_>>().join("\n  ")
    }

    /// The verdict as programs are told it.
    pub fn verdict_name(&self) -> String {
        json!(self.verdict).as_str().unwrap_or_default().to_owned()
    }

    /// The verdict for people, in a word or two.
    pub fn words(&self) -> String {
        self.verdict_name().replace('_', " ")
    }

    /// What the host runs.
    pub fn runs(&self) -> &str {
        shown(self.running())
    }

    /// The exit code of the tool that the verdict stands for.
    pub fn exit_code(&self) -> u8 {
        self.verdict.failure().map_or(0, ExitKind::code)
    }

    fn running(&self) -> Option<&StorePath> {
        self.after.current.as_ref().or(self.after.profile.as_ref())
    }

    fn meant(&self) -> &StorePath {
        verdict::meant(&self.plan.target, &self.after).unwrap_or(&self.plan.target.path)
    }

    fn code(&self) -> i32 {
        self.deploy_rs.map_or(0, |ran| ran.code)
    }
}
