//! The rollback that was the last act on a host, by the receipts.

use super::Receipt;
use super::recorded_system::TOOK;
use crate::base::HostName;
use crate::deploy::PastRollback;

/// The verdicts of deploys whose system waits for the next boot.
const FOR_NEXT_BOOT: &[&str] = &["ready", "on_trial"];
/// The verdicts of decisions that keep what a deploy has brought.
const KEPT: &[&str] = &["blessed", "already_blessed"];

/// The rollback of `host` after which nothing was deployed or flashed, if it took. `receipts` begin with the newest.
pub fn past_rollback(receipts: &[Receipt], host: &HostName) -> Option<PastRollback> {
    let mut of_host = receipts.iter().filter(|receipt| receipt.host() == Some(host));
    let is_kept = |receipt: &&Receipt| match receipt {
        Receipt::Deploy(deploy) => KEPT.contains(&deploy.verdict.as_str()),
        _ => false,
    };
    let Receipt::Deploy(last) = of_host.find(|receipt| !is_kept(receipt))? else { return None };
    let verdict = last.verdict.as_str();
    let is_for_next_boot = FOR_NEXT_BOOT.contains(&verdict);
    let has_taken = TOOK.contains(&verdict) || is_for_next_boot;
    (last.is_rollback && has_taken).then(|| PastRollback {
        when: last.when.clone(),
        to: last.to.clone(),
        from: last.from.clone(),
        is_for_next_boot,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::receipt::Deployed;

    /// The receipt of a deploy of `host`, or of a rollback.
    fn deploy(host: &str, rollback: bool, verdict: &str) -> Receipt {
        let json = json!({"time": "2026-11-25T12:00:00Z", "host": host, "flake": "F", "system_before": "b", "system": "a",
            "verdict": verdict, "exit_code": 0, "phases": [], "rollback": rollback});
        serde_json::from_value::<Deployed>(json).unwrap().into()
    }

    #[test]
    fn a_rollback_counts_until_something_else_is_deployed() {
        let old = || deploy("pi", false, "done");
        for (newest_first, expected) in [
            (vec![deploy("pi", true, "done"), old()], Some(false)),
            (vec![deploy("x", false, "done"), deploy("pi", true, "units_failed")], Some(false)),
            (vec![deploy("pi", true, "already_current"), deploy("pi", true, "done")], Some(false)),
            (vec![deploy("pi", true, "ready")], Some(true)),
            (vec![deploy("pi", true, "on_trial")], Some(true)),
            (vec![deploy("pi", false, "blessed"), deploy("pi", true, "reboot_needed")], Some(false)),
            (vec![deploy("pi", false, "aborted"), deploy("pi", true, "on_trial")], None),
            (vec![deploy("pi", false, "already_current"), deploy("pi", true, "done")], None),
            (vec![deploy("pi", false, "rolled_back"), deploy("pi", true, "done")], None),
            (vec![deploy("pi", true, "rolled_back"), old()], None),
            (vec![deploy("pi", true, "not_copied")], None),
            (vec![old()], None),
            (vec![], None),
        ] {
            let found = past_rollback(&newest_first, &"pi".into());
            assert_eq!(found.map(|past| past.is_for_next_boot), expected, "{newest_first:?}");
        }
    }
}
