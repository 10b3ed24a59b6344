//! The runs of cargo: which tests of which suites.

use std::num::NonZero;

use super::{Requirement, Suite};

/// The arguments for cargo to run `suites`.
pub fn cargo_args(suites: &[&Suite], extent: Extent) -> Vec<String> {
    let targets = suites.iter().flat_map(|suite| suite.target.iter().copied());
    let mut args = vec!["test", "--workspace", "--no-fail-fast"];
    args.extend(targets);
    let mut args = args.into_iter().map(str::to_owned).collect::<Vec<_>>();
    if extent == Extent::WithoutRequirements {
        return args;
    }
    args.extend(["--", "--include-ignored"].map(str::to_owned));
    args.extend(test_threads(suites).map(|count| format!("--test-threads={count}")));
    if extent == Extent::WithoutRoot {
        args.extend(["--skip", AS_ROOT].map(str::to_owned));
    }
    args
}

/// The number of tests that run at once; `None` leaves the number to cargo. Guests wait much, for deadlines and
/// watchdogs: where all `suites` have guests, one more test runs than there are processors.
fn test_threads(suites: &[&Suite]) -> Option<usize> {
    let have_guests = suites.iter().all(|suite| suite.needs(Requirement::Qemu));
    have_guests.then(|| std::thread::available_parallelism().map_or(1, NonZero::get) + 1)
}

/// What the names of tests that need root have in common, in suites that need no root: they are in modules of this
/// name. `as_root_tests.rs` checks that.
pub(super) const AS_ROOT: &str = "as_root::";

/// Which tests of a suite run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All tests.
    Whole,
    /// All tests but those that need root.
    WithoutRoot,
    /// Only the tests that need nothing but cargo.
    WithoutRequirements,
}

impl Extent {
    /// The most that this user can run of a suite whose requirements are met.
    pub fn of_this_user() -> Self {
        if rustix::process::geteuid().is_root() { Self::Whole } else { Self::WithoutRoot }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::suites::select;

    #[test]
    fn one_cargo_command_runs_all_suites() {
        let suites = select(&["unit".into(), "cli".into()]).unwrap();
        let args = cargo_args(&suites, Extent::Whole).join(" ");
        assert_eq!(args, "test --workspace --no-fail-fast --lib --test cli -- --include-ignored");
        let args = cargo_args(&suites[1..], Extent::WithoutRoot).join(" ");
        assert_eq!(args, "test --workspace --no-fail-fast --test cli -- --include-ignored --skip as_root::");
        let args = cargo_args(&suites[1..], Extent::WithoutRequirements).join(" ");
        assert_eq!(args, "test --workspace --no-fail-fast --test cli");
        let suites = select(&["boot".into()]).unwrap();
        let args = cargo_args(&suites, Extent::Whole).join(" ");
        let start =
            "test --workspace --no-fail-fast --test boot --test trial -- --include-ignored --test-threads=";
        assert!(args.starts_with(start), "{args}");
    }
}
