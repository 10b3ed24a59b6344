//! The next sensible command, by where things stand.

use super::Overview;
use super::host::{HostRow, LastFlash};
use crate::base::{NextStep, shell};
use crate::commands::known_image::KnownImage;
use crate::commands::next_step as steps;
use crate::nix;

/// The next step; `None` where the hosts cannot be listed and the error says what to do. The first that fits: what
/// every other step needs, what was begun, what a card in the reader waits for, and then what no host has had yet.
pub fn next_step(overview: &Overview) -> Option<NextStep> {
    if let Some(error) = &overview.unlisted {
        let step = NextStep::run("cargo xtask hosts", "lists the hosts")
            .after("connect this machine to the network");
        return nix::needs_network(error).then(|| step.because("Nix has to fetch what the flake needs"));
    }
    if overview.has_folder && overview.needs_git_add {
        let reason = "the flake needs a file that git does not list, so Nix does not see it";
        return Some(NextStep::run_because("git add FILE", reason));
    }
    let step = first_of_machine(overview)
        .or_else(|| unfinished_flash(overview))
        .or_else(|| own_host(overview))
        .or_else(|| flash_of_card(overview))
        .or_else(|| first_deploy(overview))
        .or_else(|| first_flash(overview))
        .or_else(|| failed_deploy(overview))
        .or_else(|| rolled_back_host(overview))
        .unwrap_or_else(|| last_step(overview));
    Some(step)
}

/// Where nothing is left to do: `status` without names asks the hosts with a node, which a flake may lack.
fn last_step(overview: &Overview) -> NextStep {
    if overview.hosts.iter().any(|host| host.has_node) {
        return NextStep::run_because("cargo xtask status", "shows what each host runs");
    }
    NextStep::run_because("cargo xtask history", "shows what was flashed and deployed")
}

/// What is missing before there are hosts.
fn first_of_machine(overview: &Overview) -> Option<NextStep> {
    if !overview.has_nix {
        return Some(NextStep::run_because("cargo xtask setup", "this machine has no Nix"));
    }
    if overview.no_flake.is_some() {
        let step =
            NextStep::run_because("cargo xtask demo", "shows the whole way without a flake and without a Pi");
        return Some(step);
    }
    let is_any_image_known = overview.hosts.iter().any(HostRow::has_known_image);
    let is_any_used =
        overview.hosts.iter().any(|host| host.last_flash.is_some() || host.last_deploy.is_some());
    (!is_any_image_known && !is_any_used).then(|| first_host(overview))
}

/// The host for a Pi that the flake lacks, or that an evaluation may find in it.
fn first_host(overview: &Overview) -> NextStep {
    let evaluate = || NextStep::run("cargo xtask hosts --evaluate", "finds all images");
    if overview.hosts.iter().any(|host| matches!(host.image, KnownImage::NotEvaluated)) {
        return evaluate().because("no host is known to have an SD image");
    }
    let reason = if overview.hosts.is_empty() {
        "the flake has no hosts"
    } else {
        "no host of the flake has an SD image"
    };
    if overview.has_folder { steps::new_host("").because(reason) } else { evaluate().because(reason) }
}

fn unfinished_flash(overview: &Overview) -> Option<NextStep> {
    let is_unfinished = |flash: &LastFlash| flash.is_newest && !flash.is_done;
    let host = overview.hosts.iter().find(|host| host.last_flash.as_ref().is_some_and(is_unfinished))?;
    Some(flash(overview, host, &format!("the last flash of {} did not end", host.name)))
}

/// The host that a new clone of this project's repository lacks: its only host has no card yet, and lets nobody in.
fn own_host(overview: &Overview) -> Option<NextStep> {
    let [host] = &overview.hosts[..] else { return None };
    let is_new = overview.lacks_login_keys && host.needs_card() && !host.has_way_in();
    is_new.then(|| {
        let reason = format!("nobody has a login key in the flake, whose only host is {}", host.name);
        steps::new_host(" --ssh-key FILE").because(reason)
    })
}

/// All steps to a host that never had a card, where a card is in for it.
fn flash_of_card(overview: &Overview) -> Option<NextStep> {
    let host = overview.hosts.iter().find(|host| host.needs_card())?;
    free_card(overview)?;
    Some(up(overview, host, &format!("{} was never flashed, and a card is in", host.name)))
}

fn first_deploy(overview: &Overview) -> Option<NextStep> {
    let is_waiting = |flash: &LastFlash| flash.is_newest && flash.is_done;
    let is_new = |host: &&HostRow| host.is_deployable && host.last_deploy.is_none();
    let host =
        overview.hosts.iter().filter(is_new).find(|host| host.last_flash.as_ref().is_some_and(is_waiting))?;
    let step = steps::first_deploy(&host.name);
    let is_in = overview.cards.iter().any(|card| card.host() == Some(&host.name));
    let step = if is_in { step.after(steps::INSERT) } else { step };
    Some(step.because(format!("{} was flashed, and never deployed", host.name)))
}

fn first_flash(overview: &Overview) -> Option<NextStep> {
    let host = overview.hosts.iter().find(|host| host.needs_card())?;
    Some(up(overview, host, &format!("{} was never flashed", host.name)))
}

fn failed_deploy(overview: &Overview) -> Option<NextStep> {
    let has_failed = |host: &&HostRow| host.last_deploy.as_ref().is_some_and(|deploy| !deploy.is_good);
    let host = overview.hosts.iter().find(has_failed)?;
    let reason = format!("the last deploy of {} did not end well", host.name);
    Some(NextStep::run_because(format!("cargo xtask status {:#}", host.name), reason))
}

/// The mended flake of a host that was rolled back; `status` shows the same step.
fn rolled_back_host(overview: &Overview) -> Option<NextStep> {
    overview.hosts.iter().find_map(|host| {
        let when = host.last_deploy.as_ref()?.rolled_back.as_ref()?;
        Some(steps::of_rolled_back("", &host.name, when))
    })
}

/// All steps to `host`, as `new-host` names them; the flash of one that no deploy reaches.
fn up(overview: &Overview, host: &HostRow, reason: &str) -> NextStep {
    write_card(if host.is_deployable { "up" } else { "flash" }, overview, host, reason)
}

/// The flash of `host`.
fn flash(overview: &Overview, host: &HostRow, reason: &str) -> NextStep {
    write_card("flash", overview, host, reason)
}

/// The `command` that writes a card for `host`: the one that is in for it, if it is the only one.
fn write_card(command: &str, overview: &Overview, host: &HostRow, reason: &str) -> NextStep {
    let device = free_card(overview).map(|device| format!(" {device}")).unwrap_or_default();
    let wifi = if host.has_wifi { " --wifi SSID" } else { "" };
    let command = format!("cargo xtask {command} {:#}{device}{wifi}", host.name);
    if host.needs_login_key() {
        let reason = format!("{reason}, and the flake has no login key for it");
        return NextStep::run_because(command + " --ssh-key FILE", reason);
    }
    NextStep::run_because(command, reason)
}

/// The only card that is in and accepted, and that no host waits for; `None` for none and for several.
fn free_card(overview: &Overview) -> Option<String> {
    let is_awaited = |card: &super::CardRow| {
        let of_card = |host: &&HostRow| card.host() == Some(&host.name);
        let host = overview.hosts.iter().find(of_card);
        host.is_some_and(|host| host.last_deploy.is_none())
    };
    let mut free = overview.cards.iter().filter(|card| card.listed.accepted && !is_awaited(card));
    let card = free.next().filter(|_| free.next().is_none())?;
    Some(shell::quote(&card.listed.disk.path.to_string_lossy()))
}

impl HostRow {
    fn has_known_image(&self) -> bool {
        matches!(self.image, KnownImage::Package(_) | KnownImage::Found { .. })
    }

    /// Whether the host has an image, and neither a card nor a deploy yet.
    fn needs_card(&self) -> bool {
        self.has_known_image() && self.last_flash.is_none() && self.last_deploy.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::super::card::tests::card;
    use super::super::host::tests::host;
    use super::*;
    use crate::base::Timestamp;
    use crate::failure;

    fn overview(hosts: Vec<HostRow>, cards: Vec<super::super::CardRow>) -> Overview {
        Overview {
            no_flake: None,
            has_folder: true,
            lacks_login_keys: false,
            has_nix: true,
            unlisted: None,
            needs_git_add: false,
            hosts,
            cards,
        }
    }

    #[test]
    fn a_flake_that_cannot_be_listed_has_no_step_that_would_only_repeat_the_error() {
        let broken = Overview { unlisted: Some(failure!(Other, "no")), ..overview(vec![], vec![]) };
        assert_eq!(next_step(&broken), None);
        let unlisted_file = Overview { needs_git_add: true, ..overview(vec![], vec![]) };
        assert_eq!(next_step(&unlisted_file).unwrap().command, "git add FILE");
    }

    /// `status` without names has nobody to ask there.
    #[test]
    fn a_flake_without_nodes_gets_a_step_that_needs_none() {
        let mut row = host("a", Some(true), Some(true));
        for (has_node, expected) in [(true, "cargo xtask status"), (false, "cargo xtask history")] {
            row.has_node = has_node;
            let shown = overview(vec![row], vec![]);
            assert_eq!(next_step(&shown).unwrap().command, expected);
            row = shown.hosts.into_iter().next().unwrap();
        }
    }

    #[test]
    fn a_host_that_was_never_flashed_gets_the_steps_that_fit_it() {
        let flashed = || host("b", Some(true), None);
        let new = || host("a", None, None);
        let changed = |change: fn(&mut HostRow)| {
            let mut row = host("a", None, None);
            change(&mut row);
            row
        };
        let with_wifi = || changed(|row| row.has_wifi = true);
        let for_image_alone = || changed(|row| row.is_deployable = false);
        for (overview, expected) in [
            (
                Overview { lacks_login_keys: true, ..overview(vec![new()], vec![card(None, true)]) },
                "cargo xtask new-host NAME --board pi4 --admin USER --ssh-key FILE",
            ),
            (Overview { lacks_login_keys: true, ..overview(vec![new(), new()], vec![]) }, "cargo xtask up a"),
            (
                Overview { lacks_login_keys: true, ..overview(vec![flashed()], vec![]) },
                "cargo xtask deploy b --wait",
            ),
            (overview(vec![with_wifi()], vec![card(None, true)]), "cargo xtask up a /dev/sdb --wifi SSID"),
            (overview(vec![for_image_alone()], vec![]), "cargo xtask flash a"),
        ] {
            assert_eq!(next_step(&overview).unwrap().command, expected);
        }
    }

    #[test]
    fn a_rollback_is_not_undone_silently() {
        let done = || host("c", Some(true), Some(true));
        let mut rolled_back = done();
        rolled_back.last_deploy.as_mut().unwrap().rolled_back = Some(Timestamp::at(0));
        let after_rollback = next_step(&overview(vec![done(), rolled_back], vec![])).unwrap();
        assert_eq!(
            after_rollback.to_string(),
            "next: mend the flake, then: cargo xtask deploy c\n  c has an older revision by the rollback of 1970-01-01 00:00 \
             UTC, which a deploy undoes"
        );
    }

    #[test]
    fn the_next_step_follows_from_where_things_stand() {
        let flashed = || host("b", Some(true), None);
        let new = || host("a", None, None);
        let done = || host("c", Some(true), Some(true));
        let with_image = |image| {
            let mut row = host("a", None, None);
            row.image = image;
            row
        };
        let with_nothing = || overview(Vec::new(), Vec::new());
        for (overview, expected) in [
            (Overview { has_nix: false, ..with_nothing() }, "cargo xtask setup"),
            (Overview { no_flake: Some(failure!(Usage, "none")), ..with_nothing() }, "cargo xtask demo"),
            (with_nothing(), "cargo xtask new-host NAME --board pi4 --admin USER"),
            (Overview { has_folder: false, ..with_nothing() }, "cargo xtask hosts --evaluate"),
            (overview(vec![with_image(KnownImage::NotEvaluated)], vec![]), "cargo xtask hosts --evaluate"),
            (
                overview(vec![with_image(KnownImage::None), with_image(KnownImage::NotEvaluated)], vec![]),
                "cargo xtask hosts --evaluate",
            ),
            (
                overview(vec![with_image(KnownImage::None)], vec![]),
                "cargo xtask new-host NAME --board pi4 --admin USER",
            ),
            (
                overview(vec![with_image(KnownImage::Missing(failure!(Other, "no")))], vec![]),
                "cargo xtask new-host NAME --board pi4 --admin USER",
            ),
            (overview(vec![new()], vec![]), "cargo xtask up a"),
            (overview(vec![new()], vec![card(None, true)]), "cargo xtask up a /dev/sdb"),
            (overview(vec![new()], vec![card(None, false)]), "cargo xtask up a"),
            (overview(vec![new()], vec![card(None, true), card(None, true)]), "cargo xtask up a"),
            (overview(vec![new(), flashed()], vec![]), "cargo xtask deploy b --wait"),
            (overview(vec![new(), flashed()], vec![card(Some("b"), true)]), "cargo xtask deploy b --wait"),
            (overview(vec![new(), flashed()], vec![card(Some("c"), true)]), "cargo xtask up a /dev/sdb"),
            (overview(vec![done(), host("d", Some(false), None)], vec![]), "cargo xtask flash d"),
            (overview(vec![done(), host("d", Some(true), Some(false))], vec![]), "cargo xtask status d"),
            (overview(vec![done()], vec![card(None, true)]), "cargo xtask status"),
        ] {
            assert_eq!(next_step(&overview).unwrap().command, expected);
        }
        let in_reader = next_step(&overview(vec![flashed()], vec![card(Some("b"), true)])).unwrap();
        assert_eq!(in_reader.by_hand.as_deref(), Some(steps::INSERT));
    }
}
