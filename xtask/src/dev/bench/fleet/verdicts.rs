//! Whether what the tool says of each host is true.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::role::Role;
use crate::bail;

/// The exit code of a host that cannot be reached.
const UNREACHABLE: u64 = 12;

/// How many wrong words an error names.
const MAX_NAMED: usize = 5;

/// A host, and the paths of the systems that it ran before and after a command, read without ssh; `None` for a dead
/// host.
#[derive(Clone, Copy)]
pub struct Actual<'a> {
    pub name: &'a str,
    pub role: Role,
    pub before: Option<&'a str>,
    pub after: Option<&'a str>,
}

/// What a deploy to all hosts came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdicts {
    /// How many hosts have each verdict; `unreachable` is that of a dead one.
    pub counts: BTreeMap<String, u32>,
    /// The hosts whose verdict is true, but not the one that their role leads to: `HOST: VERDICT`.
    pub unexpected: Vec<String>,
}

/// Compares the `result` of a deploy of new systems with what the hosts run.
///
/// # Errors
/// A host whose verdict is not true, or that is missing in the result.
pub fn of_deploy(result: &Value, hosts: &[Actual<'_>]) -> Result<Verdicts> {
    let mut verdicts = Verdicts { counts: BTreeMap::new(), unexpected: Vec::new() };
    let mut wrong = Vec::new();
    for host in hosts {
        let said = row(result, host.name)?;
        let verdict = verdict(said);
        if !is_true(said, verdict, *host) {
            wrong.push(format!("{}: {verdict}, but it runs {}", host.name, host.after.unwrap_or("nothing")));
        }
        if verdict != expected_verdict(host.role) {
            verdicts.unexpected.push(format!("{}: {verdict}", host.name));
        }
        *verdicts.counts.entry(verdict.to_owned()).or_default() += 1;
    }
    refuse_wrong(&wrong, hosts.len()).map(|()| verdicts)
}

/// Whether the row `said` with `verdict` says what became of `host`.
fn is_true(said: &Value, verdict: &str, host: Actual<'_>) -> bool {
    let Some(runs) = host.after else { return verdict == "unreachable" };
    let is_new = said["desired"]["profile"] == runs && host.before != host.after;
    let has_verdict = match verdict {
        "done" => is_new,
        "unreachable" => false,
        _ => host.before == host.after,
    };
    has_verdict && said["after"]["system"] == runs
}

/// Compares the `result` of `status` with what the hosts run.
///
/// # Errors
/// A host of which something else was read, or that is missing in the result.
pub fn check_status(result: &Value, hosts: &[Actual<'_>]) -> Result<()> {
    let mut wrong = Vec::new();
    for host in hosts {
        let said = row(result, host.name)?;
        let read = said["system"].as_str();
        if read != host.after || said["reachable"].as_bool() != Some(host.after.is_some()) {
            let [read, runs] = [read, host.after].map(|system| system.unwrap_or("nothing"));
            wrong.push(format!("{}: it runs {runs}, not {read}", host.name));
        }
    }
    refuse_wrong(&wrong, hosts.len())
}

fn refuse_wrong(wrong: &[String], count: usize) -> Result<()> {
    if wrong.is_empty() {
        return Ok(());
    }
    let named = &wrong[..wrong.len().min(MAX_NAMED)];
    bail!(
        Verification,
        "what the tool says of {} of {count} hosts is wrong: {}",
        wrong.len(),
        named.join("; ")
    )
}

/// The row of the host `name` in `result`.
fn row<'a>(result: &'a Value, name: &str) -> Result<&'a Value> {
    let rows = result["hosts"].as_array().into_iter().flatten();
    rows.into_iter()
        .find(|row| row["host"] == name)
        .with_context(|| format!("the result of the tool lacks {name}"))
}

/// The verdict of a row; `unreachable` without one, where the error says so.
fn verdict(row: &Value) -> &str {
    match row["verdict"].as_str() {
        Some(verdict) => verdict,
        None if row["error"]["code"].as_u64() == Some(UNREACHABLE) => "unreachable",
        None => "none",
    }
}

fn expected_verdict(role: Role) -> &'static str {
    match role {
        Role::Good => "done",
        Role::Failing | Role::RollingBack => "rolled_back",
        Role::Dead => "unreachable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const HOSTS: &[Actual<'_>] = &[
        Actual { name: "a", role: Role::Good, before: Some("old"), after: Some("new") },
        Actual { name: "b", role: Role::Failing, before: Some("old"), after: Some("old") },
        Actual { name: "c", role: Role::Dead, before: None, after: None },
    ];

    /// The verdicts of a deploy that says this of the hosts `a`, `b` and `c`, and what it read of `a`.
    fn verdicts(said: [&str; 3], read: &str) -> Result<Verdicts> {
        let row = |host: &str, verdict: &str, read: &str| match verdict {
            "unreachable" => json!({ "host": host, "verdict": null, "error": { "code": 12 }, "after": null }),
            _ => json!({
                "host": host, "verdict": verdict, "after": { "system": read }, "desired": { "profile": "new" },
            }),
        };
        let rows = [row("a", said[0], read), row("b", said[1], "old"), row("c", said[2], "new")];
        of_deploy(&json!({ "hosts": rows }), HOSTS)
    }

    #[test]
    fn a_verdict_is_true_where_the_host_runs_what_it_says() {
        let good = verdicts(["done", "rolled_back", "unreachable"], "new").unwrap();
        assert!(good.unexpected.is_empty());
        assert_eq!(good.counts.into_values().collect::<Vec<_>>(), [1, 1, 1]);
        let unexpected = verdicts(["done", "not_copied", "unreachable"], "new").unwrap();
        assert_eq!(unexpected.unexpected, ["b: not_copied"]);
        for (said, read) in [
            (["rolled_back", "rolled_back", "unreachable"], "new"),
            (["unreachable", "rolled_back", "unreachable"], "new"),
            (["done", "done", "unreachable"], "new"),
            (["done", "unreachable", "unreachable"], "new"),
            (["done", "rolled_back", "done"], "new"),
            (["done", "rolled_back", "unreachable"], "old"),
        ] {
            assert!(verdicts(said, read).is_err(), "{said:?} {read}");
        }
        assert!(of_deploy(&json!({ "hosts": [] }), HOSTS).is_err());
    }

    #[test]
    fn a_status_is_true_where_it_names_what_the_host_runs() {
        let status = |a: &str, c: bool| {
            let rows = [
                json!({ "host": "a", "reachable": true, "system": a }),
                json!({ "host": "b", "reachable": true, "system": "old" }),
                json!({ "host": "c", "reachable": c, "system": null }),
            ];
            check_status(&json!({ "hosts": rows }), HOSTS)
        };
        assert!(status("new", false).is_ok());
        assert!(status("old", false).is_err());
        assert!(status("new", true).is_err());
    }
}
