//! What programs get of a deploy: the same fields for each host, whatever became of it.

use schemars::JsonSchema;
use serde::Serialize;

use super::boot_check::BootFault;
use super::closure::Diff;
use super::host::{Check, State, TrialStatus};
use super::multi_host::{Ending, Member};
use super::outcome::Outcome;
use super::plan::Plan;
use super::target::Target;
use super::timings::Timings;
use super::trial::{DecisionOutcome, DecisionPlan, DecisionVerdict};
use super::verdict::{self, Basis, Verdict};
use super::via_cache::Copied;
use crate::base::failure::{self, ExitKind};
use crate::base::{ErrorReport, HostName};
use crate::nix::StorePath;

/// The deploy of one host.
#[derive(Serialize, JsonSchema)]
pub struct HostResult {
    host: HostName,
    /// Whether the run came to this host, which need not have answered; false where too many other hosts failed before,
    /// where the user stopped the run, and for a host that the flake does not have.
    reached: bool,
    /// What is true on the host; `None` for a dry run, and where a deploy ended without a verdict.
    verdict: Option<AnyVerdict>,
    /// The failure of this host; `None` for a success.
    error: Option<ErrorReport>,
    /// What the host is to run.
    desired: Option<DesiredSystem>,
    /// Whether the host was as desired before.
    already_done: Option<bool>,
    before: Option<State>,
    after: Option<State>,
    /// The packages that change; `None` if unknown, or if there is nothing to compare with.
    diff: Option<Diff>,
    /// What would keep the host from its next boot.
    boot_faults: Vec<BootFault>,
    /// What a rollback cannot do; `None` if deploy-rs can roll back.
    rollback: Option<&'static str>,
    /// What the verdict is based on.
    proof: Option<Basis>,
    /// Why a trial or the reboot failed.
    reason: Option<String>,
    health: Vec<Check>,
    /// How the system came to the host; `None` where it did not have to, or where the deploy ended before.
    copied: Option<Copied>,
    /// The exit code of deploy-rs; `None` if it did not run.
    deploy_rs_exit_code: Option<i32>,
    /// What `--bless` or `--abort-trial` changed.
    trial: Option<TrialChange>,
    phases: Timings,
}

/// The verdict of a deploy, or that of a decision about a trial.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum AnyVerdict {
    Deploy(Verdict),
    Decision(DecisionVerdict),
}

/// What a host is to run.
#[derive(Serialize, JsonSchema)]
pub struct DesiredSystem {
    /// The NixOS system; `None` if the flake has none of that name, and its profile is not on the host yet.
    system: Option<StorePath>,
    /// The profile of the node; `None` for a decision about a trial.
    profile: Option<StorePath>,
}

/// The trials of a host around a decision.
#[derive(Serialize, JsonSchema)]
struct TrialChange {
    before: TrialStatus,
    /// `None` before the decision is carried out.
    after: Option<TrialStatus>,
}

impl DesiredSystem {
    pub fn of(target: &Target) -> Self {
        Self { system: target.system.clone(), profile: Some(target.path.clone()) }
    }
}

impl HostResult {
    /// A host of which nothing is known yet.
    fn new(host: &HostName) -> Self {
        Self {
            host: host.clone(),
            reached: true,
            verdict: None,
            error: None,
            desired: None,
            already_done: None,
            before: None,
            after: None,
            diff: None,
            boot_faults: Vec::new(),
            rollback: None,
            proof: None,
            reason: None,
            health: Vec::new(),
            copied: None,
            deploy_rs_exit_code: None,
            trial: None,
            phases: Timings::default(),
        }
    }

    /// The result of `member`.
    pub fn of_member(member: &Member) -> Self {
        match &member.result {
            Ok(Ending::Planned(plan)) => Self::planned(plan),
            Ok(Ending::Ended(outcome)) => Self::ended(outcome),
            Ok(Ending::NotReached(_)) => Self { reached: false, ..Self::new(&member.host) },
            Err(error) => Self::failed(&member.host, error),
        }
    }

    /// A deploy that ended with `error`, without a verdict.
    pub fn failed(host: &HostName, error: &anyhow::Error) -> Self {
        let reached = failure::kind(error) != ExitKind::Usage;
        Self { reached, error: Some(ErrorReport::of(error)), ..Self::new(host) }
    }

    /// A deploy that was only planned.
    pub fn planned(plan: &Plan) -> Self {
        Self {
            desired: Some(DesiredSystem::of(&plan.target)),
            already_done: Some(plan.already_done().is_some()),
            before: Some(plan.before.clone()),
            diff: plan.diff.clone(),
            boot_faults: plan.boot.as_ref().map_or_else(Vec::new, |outlook| outlook.faults.clone()),
            rollback: plan.rollback_note(),
            copied: plan.copied.clone(),
            phases: plan.timings.clone(),
            ..Self::new(&plan.target.host)
        }
    }

    /// A deploy with a verdict.
    pub fn ended(outcome: &Outcome) -> Self {
        let plan = &outcome.plan;
        let system = verdict::desired_system(&plan.target, &outcome.after).cloned();
        Self {
            verdict: Some(AnyVerdict::Deploy(outcome.verdict)),
            error: outcome.error().as_ref().map(ErrorReport::of),
            desired: Some(DesiredSystem { system, ..DesiredSystem::of(&plan.target) }),
            after: Some(outcome.after.clone()),
            proof: Some(verdict::basis(&plan.target, plan.goal, &outcome.after)),
            reason: outcome.trial_reason(),
            health: outcome.health.clone(),
            deploy_rs_exit_code: outcome.deploy_rs.map(|exit| exit.code),
            ..Self::planned(plan)
        }
    }

    /// A decision about a trial, before it is carried out.
    pub fn undecided(plan: &DecisionPlan) -> Self {
        Self {
            desired: Some(DesiredSystem { system: Some(plan.system.clone()), profile: None }),
            already_done: Some(!plan.has_changes()),
            trial: Some(TrialChange { before: plan.before.clone(), after: None }),
            ..Self::new(&plan.target.host)
        }
    }

    /// A decision about a trial that was carried out.
    pub fn decided(outcome: &DecisionOutcome) -> Self {
        let before = outcome.plan.before.clone();
        Self {
            verdict: Some(AnyVerdict::Decision(outcome.verdict)),
            trial: Some(TrialChange { before, after: Some(outcome.after.clone()) }),
            ..Self::undecided(&outcome.plan)
        }
    }
}
