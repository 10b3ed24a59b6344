//! The plan that is shown before anything is done, and the outcome in words and as JSON.

use std::fmt;

use serde_json::{Value, json};

use super::host::State;
use super::meant::Target;
use super::verdict::{self, Proof, Ran, Verdict};
use crate::nix::StorePath;

/// What is going to be done.
#[derive(Debug)]
pub struct Plan {
    pub target: Target,
    pub before: State,
    /// Arguments for deploy-rs.
    pub extra: Vec<String>,
}

/// What became of it.
#[derive(Debug)]
pub struct Outcome {
    pub plan: Plan,
    pub after: State,
    pub verdict: Verdict,
    /// How deploy-rs ended; `None` where there was nothing to do.
    pub deploy_rs: Option<Ran>,
}

impl Plan {
    /// The verdict where the host already runs what is meant, so that nothing needs to be done.
    pub fn already_done(&self) -> Option<Verdict> {
        verdict::judge_before(&self.target, &self.before)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Target { host, connection, system, path, .. } = &self.target;
        let before = shown(self.before.current.as_ref().or(self.before.profile.as_ref()));
        writeln!(f, "deploy {host} as {}", connection.destination)?;
        writeln!(f, "  from  {before}")?;
        write!(f, "  to    {}", system.as_ref().unwrap_or(path))
    }
}

impl Outcome {
    /// The outcome of a plan that needed nothing to be done.
    pub fn unchanged(plan: Plan, verdict: Verdict) -> Self {
        Self { after: plan.before.clone(), verdict, deploy_rs: None, plan }
    }

    /// One line, or more where there is something to explain.
    pub fn summary(&self) -> String {
        let (host, runs) = (&self.plan.target.host, shown(self.running()));
        let units = self.after.failed_units.join(", ");
        match self.verdict {
            Verdict::Done => format!("{host} runs {runs}"),
            Verdict::AlreadyCurrent => format!("{host} already runs {runs}"),
            Verdict::UnitsFailed => format!("{host} runs {runs}, but units have failed: {units}"),
            Verdict::RolledBack => {
                format!("{host} went back to {runs}: {} was not taken{}", self.meant(), self.contradiction())
            }
            Verdict::NotActivated => format!(
                "deploy-rs failed with exit code {} before it activated anything: {host} runs {runs} as before",
                self.code()
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
        if self.after.reboot_needed {
            let host = &self.plan.target.host;
            remarks.push(format!("{host} needs a reboot: its kernel is not yet that of the system it runs"));
        }
        if self.verdict == Verdict::Done && self.code() != 0 {
            remarks.push(format!("deploy-rs failed with exit code {}, and yet it is true", self.code()));
        }
        remarks
    }

    pub fn json(&self) -> Value {
        let Plan { target, before, .. } = &self.plan;
        json!({
            "host": target.host,
            "verdict": self.verdict,
            "proof": verdict::proof(target, &self.after),
            "meant": { "system": verdict::meant(target, &self.after), "profile": target.path },
            "before": before,
            "after": self.after,
            "deploy_rs_exit_code": self.deploy_rs.map(|ran| ran.code),
        })
    }

    fn proof(&self) -> String {
        let Target { host, link, .. } = &self.plan.target;
        match verdict::proof(&self.plan.target, &self.after) {
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

fn shown(path: Option<&StorePath>) -> &str {
    path.map_or("nothing that is in a store", StorePath::as_str)
}
