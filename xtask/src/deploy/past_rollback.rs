//! A rollback that was the last act on a host: the host differs from the flake because the user wanted that.

use super::host::State;
use crate::base::Timestamp;

/// A rollback of the user, after which nothing was deployed to the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastRollback {
    /// When the rollback ended.
    pub when: Timestamp,
    /// The system that was deployed, or the profile of a flake without a system.
    pub to: String,
    /// The system that the host ran before; `None` if unknown.
    pub from: Option<String>,
    /// Whether the host was to run that system from its next boot on.
    pub is_for_next_boot: bool,
}

impl PastRollback {
    /// Whether a host in `state` is as the rollback has left it: another checkout may have deployed since.
    pub fn explains(&self, state: &State) -> bool {
        let is = |path: &str| {
            [&state.current, &state.profile].into_iter().flatten().any(|own| own.as_str() == path)
        };
        is(&self.to) || self.is_for_next_boot && self.from.as_deref().is_some_and(is)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::verdict::tests::{state, store};

    #[test]
    fn a_rollback_explains_what_it_has_left() {
        let path = |name: &str| store(name).as_str().to_owned();
        for (to, is_for_next_boot, host, expected) in [
            ("old", false, state("profile", Some("old")), true),
            ("old", false, state("profile", Some("new")), false),
            ("old", false, state("profile", Some("other")), false),
            ("profile", false, state("profile", Some("x")), true),
            ("old", true, state("profile", Some("new")), true),
            ("old", true, state("profile", Some("old")), true),
            ("old", true, state("profile", Some("other")), false),
            ("old", false, State::default(), false),
        ] {
            let from = Some(path("new"));
            let rollback = PastRollback { when: Timestamp::at(0), to: path(to), from, is_for_next_boot };
            assert_eq!(rollback.explains(&host), expected, "{to} {is_for_next_boot} {host:?}");
        }
    }
}
