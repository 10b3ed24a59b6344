//! What became of several hosts: a row for each, or for many hosts a row for each verdict.

use super::host;
use super::multi_host::{Ending, Member};
use super::via_cache::Copied;
use crate::base::{Cell, Table, Tone};

/// More hosts than these are grouped by their verdicts.
const MAX_ROWS: usize = 24;
/// How many hosts a line names.
const MAX_NAMED: usize = 8;
/// The words of the table for a host whose plan was shown, for one that was not begun, and for one whose deploy ended
/// with an error that has no word of its own.
pub const PLANNED: &str = "planned";
pub const NOT_REACHED: &str = "not reached";
pub const FAILED: &str = "failed";
/// What the same command does with the hosts of the command before.
const LEFT_ALONE: &str = "hosts that are done are left alone";

impl Member {
    /// What became of the host, in a word or two.
    fn verdict(&self) -> Cell {
        match &self.result {
            Ok(Ending::Planned(_)) => PLANNED.into(),
            Ok(Ending::NotReached(_)) => Cell::new(NOT_REACHED, Tone::Attention),
            Ok(Ending::Ended(outcome)) => Cell::new(outcome.verdict_words(), outcome.tone()),
            Err(error) => Cell::new(host::failure_label(error).unwrap_or(FAILED), Tone::Bad),
        }
    }

    fn cells(&self) -> [Cell; 4] {
        let seconds = |total: f64| Cell::from(format!("{total:.1} s"));
        let (verdict, runs, time) = match &self.result {
            Ok(Ending::Planned(plan)) => {
                (self.verdict(), Cell::from(plan.summary()), seconds(plan.timings.total()))
            }
            Ok(Ending::Ended(outcome)) => {
                let runs = Cell::from(outcome.running_text());
                (self.verdict(), runs, seconds(outcome.plan.timings.total()))
            }
            Ok(Ending::NotReached(_)) | Err(_) => (self.verdict(), "-".into(), "-".into()),
        };
        [self.host.to_string().into(), verdict, runs, time]
    }
}

/// A table with a row for each host, or for each verdict where the hosts are many.
pub fn verdict_table(members: &[Member]) -> Table {
    if members.len() > MAX_ROWS {
        return grouped_table(members);
    }
    let mut table = Table::new(&["HOST", "VERDICT", "RUNS", "TIME"]).with_optional(&["TIME"]);
    for member in members {
        table.row(member.cells());
    }
    table
}

/// A table with a row for each verdict, the rarest first, as it is the one to look at.
fn grouped_table(members: &[Member]) -> Table {
    let mut groups = Vec::<(Cell, Vec<&str>)>::new();
    for member in members {
        let verdict = member.verdict();
        match groups.iter_mut().find(|(other, _)| *other == verdict) {
            Some((_, hosts)) => hosts.push(&member.host),
            None => groups.push((verdict, vec![&member.host])),
        }
    }
    groups.sort_by_key(|(_, hosts)| hosts.len());
    let mut table = Table::new(&["VERDICT", "HOSTS", "WHICH"]).with_folded("WHICH");
    for (verdict, hosts) in groups {
        table.row([verdict, hosts.len().to_string().into(), some_names(hosts.into_iter()).into()]);
    }
    table
}

/// The first `names`, and how many there are beside them.
pub fn some_names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names = names.collect::<Vec<_>>();
    let first = names.iter().take(MAX_NAMED).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// All `names` of an error; of more than [`MAX_ROWS`] the first, as in the table of the hosts.
pub fn error_names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names = names.collect::<Vec<_>>();
    if names.len() > MAX_ROWS { some_names(names.into_iter()) } else { names.join(", ") }
}

/// How the systems of `members` came to them, where some were to be fetched from a cache; `None` where nothing was.
pub fn cache_text(members: &[Member]) -> Option<String> {
    let (mut fetched, mut direct) = (0, Vec::new());
    for member in members {
        let Ok(Ending::Ended(outcome)) = &member.result else { continue };
        match &outcome.plan.copied {
            Some(Copied { via_cache: Some(_), fallback: None, .. }) => fetched += 1,
            Some(Copied { fallback: Some(_), .. }) => direct.push(member.host.as_str()),
            _ => {}
        }
    }
    let noun = if fetched == 1 { "host" } else { "hosts" };
    match direct.len() {
        0 if fetched == 0 => None,
        0 => Some(format!("{fetched} {noun} fetched from the cache")),
        count => {
            let names = some_names(direct.into_iter());
            Some(format!("{fetched} {noun} fetched from the cache, and {count} got a direct copy: {names}"))
        }
    }
}

/// One error with the most severe kind of all hosts, which names those that failed; `None` if none did.
pub fn worst_failure(members: &[Member]) -> Option<anyhow::Error> {
    let kind = members.iter().filter_map(Member::failure).max_by_key(|kind| kind.severity())?;
    let (unreached, reached): (Vec<_>, Vec<_>) =
        members.iter().partition(|member| matches!(member.result, Ok(Ending::NotReached(_))));
    let failed = reached.iter().filter(|member| member.failure().is_some());
    let names = failed.map(|member| member.host.as_str()).collect::<Vec<_>>();
    let all = members.len();
    let noun = if all == 1 { "host" } else { "hosts" };
    let is_stopped = members.iter().any(Member::is_stopped);
    let stopped = if is_stopped { "stopped: " } else { "" };
    let failures = format!("{} of {all} {noun} failed: {}", names.len(), error_names(names.iter().copied()));
    let text = match (names.len(), unreached.len()) {
        (_, 0) => format!("{stopped}{failures}"),
        (0, count) => format!("{stopped}{count} of {all} {noun} not reached"),
        (_, count) => format!("{stopped}{failures}; {count} not reached"),
    };
    let again = "run the same command again";
    let hint = match (is_stopped, unreached.len(), names.len()) {
        (true, ..) => format!("{again}: {LEFT_ALONE}"),
        (false, 0, _) => return Some(kind.error(text)),
        (false, _, failed) => format!(
            "{again} once they are well: {LEFT_ALONE}. Where they stay as they are, it goes on with `--max-failures {failed}`"
        ),
    };
    Some(kind.error_with_hint(text, hint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::{ExitKind, kind};
    use crate::deploy::multi_host::Unreached;

    fn member(host: &str, kind: ExitKind) -> Member {
        Member { host: host.into(), result: Err(kind.error("no")) }
    }

    #[test]
    fn the_most_severe_failure_decides() {
        for (kinds, expected) in [
            (vec![ExitKind::Degraded, ExitKind::RolledBack], ExitKind::RolledBack),
            (vec![ExitKind::RolledBack, ExitKind::Unreachable, ExitKind::Other], ExitKind::Unreachable),
            (vec![ExitKind::Undecided, ExitKind::Interrupted], ExitKind::Interrupted),
        ] {
            let members = kinds.iter().map(|kind| member("a", *kind)).collect::<Vec<_>>();
            assert_eq!(kind(&worst_failure(&members).unwrap()), expected, "{kinds:?}");
        }
        assert!(worst_failure(&[]).is_none());
    }

    #[test]
    fn the_hosts_that_failed_are_named_and_listed() {
        let members = [
            member("a", ExitKind::Unreachable),
            member("b", ExitKind::HostKey),
            member("c", ExitKind::Other),
        ];
        assert_eq!(worst_failure(&members).unwrap().to_string(), "3 of 3 hosts failed: a, b, c");
        assert_eq!(worst_failure(&members[..1]).unwrap().to_string(), "1 of 1 host failed: a");
        let expected = "HOST  VERDICT           RUNS  TIME\na     unreachable       -     -\n\
                        b     host key refused  -     -\nc     failed            -     -";
        assert_eq!(verdict_table(&members).to_string(), expected);
    }

    #[test]
    fn hosts_that_were_not_reached_do_not_count_as_failed() {
        let unreached = |reason| Member { host: "x".into(), result: Ok(Ending::NotReached(reason)) };
        let stopped = [unreached(Unreached::Stopped), unreached(Unreached::Stopped)];
        let error = worst_failure(&stopped).unwrap();
        assert_eq!(error.to_string(), "stopped: 2 of 2 hosts not reached");
        assert_eq!(kind(&error), ExitKind::Interrupted);
        let mixed = [member("a", ExitKind::Unreachable), unreached(Unreached::Stopped)];
        let error = worst_failure(&mixed).unwrap();
        assert_eq!(error.to_string(), "stopped: 1 of 2 hosts failed: a; 1 not reached");
        assert_eq!(kind(&error), ExitKind::Interrupted);
        let limited = [member("a", ExitKind::Unreachable), unreached(Unreached::TooManyFailed)];
        assert_eq!(kind(&worst_failure(&limited).unwrap()), ExitKind::Unreachable);
    }

    /// While a host stays away, the same command would never reach the others.
    #[test]
    fn the_hint_leads_past_hosts_that_stay_away_and_past_a_stop() {
        let unreached = |reason| Member { host: "x".into(), result: Ok(Ending::NotReached(reason)) };
        let away = |count| (0..count).map(|_| member("a", ExitKind::Unreachable)).collect::<Vec<_>>();
        let once_well = "run the same command again once they are well: hosts that are done are left alone";
        let again = "run the same command again: hosts that are done are left alone";
        for (failed, left, expected) in [
            (
                1,
                Some(Unreached::TooManyFailed),
                format!("{once_well}. Where they stay as they are, it goes on with `--max-failures 1`"),
            ),
            (
                3,
                Some(Unreached::TooManyFailed),
                format!("{once_well}. Where they stay as they are, it goes on with `--max-failures 3`"),
            ),
            (1, Some(Unreached::Stopped), again.to_owned()),
            (0, Some(Unreached::Stopped), again.to_owned()),
            (2, None, String::new()),
        ] {
            let members = away(failed).into_iter().chain(left.map(unreached)).collect::<Vec<_>>();
            let error = worst_failure(&members).unwrap();
            let hint = crate::base::failure::hint(&error).unwrap_or_default();
            assert_eq!(hint, expected, "{failed} failed, {left:?}");
        }
    }

    #[test]
    fn many_hosts_are_grouped_by_their_verdicts_the_rarest_first() {
        let mut members = (0..198)
            .map(|number| member(&format!("pi{number:03}"), ExitKind::Unreachable))
            .collect::<Vec<_>>();
        members.push(member("odd", ExitKind::HostKey));
        members
            .push(Member { host: "late".into(), result: Ok(Ending::NotReached(Unreached::TooManyFailed)) });
        let table = verdict_table(&members).to_string();
        let lines = table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>();
        assert_eq!(lines[1..3], ["host key refused 1 odd", "not reached 1 late"]);
        assert!(
            lines[3].starts_with("unreachable 198 pi000, pi001, ") && lines[3].ends_with("and 190 more"),
            "{table}"
        );
        let error = worst_failure(&members).unwrap().to_string();
        assert!(error.starts_with("199 of 200 hosts failed: pi000, "), "{error}");
        assert!(error.ends_with(" and 191 more; 1 not reached"), "{error}");
    }
}
