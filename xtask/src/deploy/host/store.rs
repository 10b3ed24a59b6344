//! The Nix of the host: whether it takes what would be copied to it.

use serde_json::Value;

use super::disks::free_bytes;
use super::query::{Answer, Query};
use crate::deploy::target::Target;

/// How the output of `nix-store --version` begins, of Nix, Lix and Determinate Nix.
const VERSION_PREFIX: &str = "nix-store (";

/// The store of the host, as the host answers before anything is built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteStore {
    /// Why `nix-store` does not run on the host: what it prints there, which may be nothing. `None` if it runs.
    pub fault: Option<String>,
    /// What the shell of the host prints before each command.
    pub greeting: String,
    /// Whether the store takes unsigned paths from the login user; `None` for root, whom each store trusts, and if the
    /// host does not report it.
    pub trusted: Option<bool>,
    /// Free space for the store, in bytes.
    pub free: Option<u64>,
}

impl RemoteStore {
    /// Adds the commands from whose output the store of `target` is read.
    pub fn add_queries(query: &mut Query, target: &Target) {
        // With the dummy store, the command does not create /nix on a host that has none yet.
        query.add("store", "nix-store --store dummy:// --version 2>&1");
        query.add("free", "df -Pk /nix");
        // The store trusts root. All versions know the subcommand `ping`, the older name of `info`.
        if target.connection.user() != "root" {
            query.add("trust", "nix --extra-experimental-features nix-command store ping --json");
        }
    }

    /// Reads the parts of [`Self::add_queries`].
    pub fn read(answer: &Answer) -> Self {
        let has_run = answer.first_line("store").is_some_and(|line| line.starts_with(VERSION_PREFIX));
        let is_missing = answer.has_part("store") && !has_run;
        let json = answer.lines("trust").find_map(|line| serde_json::from_str::<Value>(line).ok());
        let first_lines = || answer.lines("store").take(3).collect::<Vec<_>>().join("; ");
        Self {
            fault: is_missing.then(first_lines),
            greeting: answer.greeting().to_owned(),
            trusted: json.as_ref().and_then(is_trusted),
            free: free_bytes(answer),
        }
    }
}

/// The field `trusted` of an answer of Nix, which is a number in older versions; `None` if there is none.
fn is_trusted(json: &Value) -> Option<bool> {
    let trusted = &json["trusted"];
    trusted.as_bool().or(trusted.as_u64().map(|number| number != 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::verdict::tests::target;

    #[test]
    fn the_trust_of_each_version_is_read() {
        for recorded in crate::nix::recorded::ALL {
            let json = serde_json::from_str(recorded.store).unwrap();
            assert_eq!(is_trusted(&json), Some(true), "{}", recorded.release);
        }
    }

    #[test]
    fn only_root_is_surely_trusted() {
        for (destination, expected) in
            [("root@pi", false), ("pi@pi", true), ("root@example.org@pi", true), ("rooty@pi", true)]
        {
            let mut target = target(None);
            target.connection.destination = destination.into();
            let mut query = Query::new("the query of the store").unwrap();
            RemoteStore::add_queries(&mut query, &target);
            assert_eq!(query.command().contains("store ping"), expected, "{destination}");
        }
    }

    #[test]
    fn a_store_that_names_no_version_has_a_fault() {
        for (store, expected) in [
            ("nix-store (Nix) 2.26.3\n", None),
            ("nix-store (Lix, like Nix) 2.91.1\n", None),
            (
                "bash: line 1: nix-store: command not found\n",
                Some("bash: line 1: nix-store: command not found"),
            ),
            ("", Some("")),
        ] {
            let found = RemoteStore::read(&Answer::of(&[("store", store)]));
            assert_eq!(found.fault.as_deref(), expected, "{store}");
        }
        assert_eq!(RemoteStore::read(&Answer::default()), RemoteStore::default());
    }

    #[test]
    fn a_store_reports_whether_it_trusts_the_user() {
        for (trust, expected) in [
            ("{\"trusted\":0,\"url\":\"daemon\"}\n", Some(false)),
            ("{\"trusted\":1,\"url\":\"daemon\"}\n", Some(true)),
            ("{\"trusted\":true}\n", Some(true)),
            ("{\"trusted\":null}\n", None),
            ("{\"url\":\"daemon\"}\n", None),
            ("", None),
        ] {
            let found = RemoteStore::read(&Answer::of(&[("trust", trust)]));
            assert_eq!(found.trusted, expected, "{trust}");
        }
    }

    #[test]
    fn fuzz() {
        crate::base::fuzz::check_text(&["nix-store (Nix) 2.26.3\n", "{\"trusted\":0}"], |text| {
            RemoteStore::read(&Answer::of(&[("store", text), ("trust", text), ("free", text)]))
        });
    }
}
