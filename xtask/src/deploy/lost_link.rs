//! A host that does not answer after its activation has begun: the new system may have cut its network.

use super::activation::DeployExit;
use super::options::Goal;
use super::target::Target;
use crate::base::failure::{ExitKind, kind};

/// The link to a host after deploy-rs has exited.
#[derive(Clone, Copy)]
pub struct LostLink<'a> {
    target: &'a Target,
    /// Whether the new system was activated, and not only set for the next boot.
    is_switched: bool,
    /// Whether deploy-rs reached the host after the activation.
    is_confirmed: bool,
}

impl<'a> LostLink<'a> {
    /// The link to the host of `target` after a deploy for `goal` with this `exit`.
    pub fn after(target: &'a Target, goal: Goal, exit: DeployExit) -> Self {
        let is_switched = exit.activated && goal == Goal::Switch;
        Self { target, is_switched, is_confirmed: exit.code == 0 }
    }

    /// Whether the host goes back by itself: nobody has confirmed the activation.
    fn goes_back(self) -> bool {
        self.target.goes_back.without_confirmation && !self.is_confirmed
    }

    /// What a host that does not answer may be doing, for the line of the wait; empty where no system was activated.
    pub fn clause(self) -> String {
        match self {
            Self { is_switched: false, .. } => String::new(),
            _ if self.goes_back() => format!(
                "; if the new system has cut its network, it goes back by itself, {} s after the activation",
                self.target.confirm_timeout
            ),
            _ => "; the new system may have cut its network, and it does not go back by itself".to_owned(),
        }
    }

    /// `error` with the remedy, where the host was not reached after the activation; any other error unchanged.
    pub fn explain(self, error: anyhow::Error) -> anyhow::Error {
        if !self.is_switched || kind(&error) != ExitKind::Unreachable {
            return error;
        }
        let host = &self.target.host;
        let back = if self.goes_back() {
            format!(
                "{host} goes back by itself, {} s after an activation that nobody confirms: switch {host} off and on if it \
                 still does not answer, then run `cargo xtask status {host:#}`",
                self.target.confirm_timeout
            )
        } else {
            let why = if self.is_confirmed { "the deploy was confirmed" } else { "magicRollback is off" };
            format!(
                "{host} does not go back by itself, as {why}: choose an older generation in its boot menu, then run `cargo \
                 xtask rollback {host:#}`"
            )
        };
        let hint = format!(
            "the new system may have cut the network of {host}, as a firewall or another Wi-Fi does; {back}"
        );
        ExitKind::Unreachable.error_with_hint(format!("{error:#}"), hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::hint;
    use crate::deploy::verdict::tests::target;

    #[test]
    fn a_host_that_is_lost_after_an_activation_is_suspected_to_have_cut_its_network() {
        for (code, activated, goal, magic_rollback, clause, remedy) in [
            (1, true, Goal::Switch, true, "goes back by itself, 30 s", "switch stinky off and on"),
            (130, true, Goal::Switch, true, "goes back by itself, 30 s", "cargo xtask status stinky"),
            (1, true, Goal::Switch, false, "does not go back", "magicRollback is off"),
            (0, true, Goal::Switch, true, "does not go back", "the deploy was confirmed"),
            (1, false, Goal::Switch, true, "", "plug it in"),
            (1, true, Goal::Boot, true, "", "plug it in"),
        ] {
            let mut target = target(None);
            target.goes_back.without_confirmation = magic_rollback;
            let link = LostLink::after(&target, goal, DeployExit { code, activated, needs_reboot: false });
            let error = link.explain(ExitKind::Unreachable.error_with_hint("gone", "plug it in"));
            assert!(link.clause().contains(clause) && link.clause().is_empty() == clause.is_empty());
            assert!(hint(&error).is_some_and(|hint| hint.contains(remedy)), "{error:?}");
            assert_eq!((kind(&error), error.to_string()), (ExitKind::Unreachable, "gone".to_owned()));
            let other = link.explain(ExitKind::HostKey.error_with_hint("no", "compare"));
            assert_eq!(hint(&other), Some("compare"));
        }
    }
}
