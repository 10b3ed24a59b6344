//! What becomes of each host of a fleet in a deploy.

use serde::Serialize;

/// What becomes of a host in the deploy to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The host runs the new system afterwards.
    Good,
    /// The activation fails.
    Failing,
    /// The activation cuts the link, so that nobody confirms it.
    RollingBack,
    /// The flake has an address where no host is.
    Dead,
}

/// The shares of the hosts that are not good, in percent.
const SHARES: &[(Role, usize)] = &[(Role::Dead, 10), (Role::Failing, 5), (Role::RollingBack, 5)];

/// The fewest hosts of which some are not good; then there is one of each role at least.
const MIN_MIXED: usize = 4;

/// The roles of `count` hosts, each spread evenly over all.
pub fn roles(count: usize) -> Vec<Role> {
    let mut roles = vec![Role::Good; count];
    for &(role, percent) in SHARES.iter().filter(|_| count >= MIN_MIXED) {
        let members = ((count * percent + 50) / 100).max(1);
        for member in 0..members {
            let wanted = (2 * member + 1) * count / (2 * members);
            let mut from_wanted = (wanted..count).chain(0..wanted);
            if let Some(free) = from_wanted.find(|position| roles[*position] == Role::Good) {
                roles[free] = role;
            }
        }
    }
    roles
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `count` hosts have each role: good, failing, rolling back, dead.
    fn counts(count: usize) -> [usize; 4] {
        let roles = roles(count);
        [Role::Good, Role::Failing, Role::RollingBack, Role::Dead]
            .map(|role| roles.iter().filter(|other| **other == role).count())
    }

    #[test]
    fn a_tenth_is_dead_and_a_tenth_does_not_keep_the_system() {
        for (count, expected) in [
            (1, [1, 0, 0, 0]),
            (3, [3, 0, 0, 0]),
            (4, [1, 1, 1, 1]),
            (6, [3, 1, 1, 1]),
            (10, [7, 1, 1, 1]),
            (50, [39, 3, 3, 5]),
            (200, [160, 10, 10, 20]),
        ] {
            assert_eq!(counts(count), expected, "{count} hosts");
        }
    }

    #[test]
    fn roles_are_spread_over_all_hosts() {
        let roles = roles(200);
        let dead = roles.chunks(20).map(|hosts| hosts.iter().filter(|role| **role == Role::Dead).count());
        assert!(dead.eq([2; 10]));
    }
}
