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
        let step = NextStep::run("cargo xtask hosts").after("connect this machine to the network");
        return nix::needs_network(error).then(|| step.because("Nix has to fetch what the flake needs"));
    }
    let step = first_of_machine(overview)
        .or_else(|| unfinished_flash(overview))
        .or_else(|| flash_of_card(overview))
        .or_else(|| first_deploy(overview))
        .or_else(|| first_flash(overview))
        .or_else(|| failed_deploy(overview))
        .unwrap_or_else(|| last_step(overview));
    Some(step)
}

/// Where nothing is left to do: `status` without names asks the hosts with a node, which a flake may lack.
fn last_step(overview: &Overview) -> NextStep {
    if overview.hosts.iter().any(|host| host.has_node) {
        return NextStep::run("cargo xtask status").because("shows what each host runs");
    }
    NextStep::run("cargo xtask history").because("shows what was flashed and deployed")
}

/// What is missing before there are hosts.
fn first_of_machine(overview: &Overview) -> Option<NextStep> {
    if !overview.has_nix {
        return Some(NextStep::run("cargo xtask setup").because("this machine has no Nix"));
    }
    if overview.no_flake.is_some() {
        let step =
            NextStep::run("cargo xtask demo").because("shows the whole way without a flake and without a Pi");
        return Some(step);
    }
    let is_any_image_known = overview.hosts.iter().any(HostRow::has_known_image);
    let is_any_used =
        overview.hosts.iter().any(|host| host.last_flash.is_some() || host.last_deploy.is_some());
    (!is_any_image_known && !is_any_used).then(|| first_host(overview))
}

/// The host for a Pi that the flake lacks, or that an evaluation may find in it.
fn first_host(overview: &Overview) -> NextStep {
    let evaluate = || NextStep::run("cargo xtask hosts --evaluate");
    if overview.hosts.iter().any(|host| matches!(host.image, KnownImage::NotEvaluated)) {
        return evaluate().because("no host is known to have an SD image");
    }
    let reason = if overview.hosts.is_empty() {
        "the flake has no hosts"
    } else {
        "no host of the flake has an SD image"
    };
    if overview.has_folder { steps::new_host().because(reason) } else { evaluate().because(reason) }
}

fn unfinished_flash(overview: &Overview) -> Option<NextStep> {
    let is_unfinished = |flash: &LastFlash| flash.is_newest && !flash.is_done;
    let host = overview.hosts.iter().find(|host| host.last_flash.as_ref().is_some_and(is_unfinished))?;
    Some(flash(overview, host, &format!("the last flash of {} did not end", host.name)))
}

/// The flash of a host that never had a card, where a card is in for it.
fn flash_of_card(overview: &Overview) -> Option<NextStep> {
    let host = overview.hosts.iter().find(|host| host.needs_card())?;
    free_card(overview)?;
    Some(flash(overview, host, &format!("{} was never flashed, and a card is in", host.name)))
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
    Some(flash(overview, host, &format!("{} was never flashed", host.name)))
}

fn failed_deploy(overview: &Overview) -> Option<NextStep> {
    let has_failed = |host: &&HostRow| host.last_deploy.as_ref().is_some_and(|deploy| !deploy.is_good);
    let host = overview.hosts.iter().find(has_failed)?;
    let step = NextStep::run(format!("cargo xtask status {:#}", host.name));
    Some(step.because(format!("the last deploy of {} did not end well", host.name)))
}

/// The flash of `host`, to the card that is in for it, if it is the only one.
fn flash(overview: &Overview, host: &HostRow, reason: &str) -> NextStep {
    let device = free_card(overview).map(|device| format!(" {device}")).unwrap_or_default();
    if host.needs_login_key() {
        let step = NextStep::run(format!("cargo xtask flash {:#}{device} --ssh-key FILE", host.name));
        return step.because(format!("{reason}, and the flake has no login key for it"));
    }
    NextStep::run(format!("cargo xtask flash {:#}{device}", host.name)).because(reason)
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
    use crate::failure;

    fn overview(hosts: Vec<HostRow>, cards: Vec<super::super::CardRow>) -> Overview {
        Overview { no_flake: None, has_folder: true, has_nix: true, unlisted: None, hosts, cards }
    }

    #[test]
    fn a_flake_that_cannot_be_listed_has_no_step_that_would_only_repeat_the_error() {
        let broken = Overview { unlisted: Some(failure!(Other, "no")), ..overview(vec![], vec![]) };
        assert_eq!(next_step(&broken), None);
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
            (overview(vec![new()], vec![]), "cargo xtask flash a"),
            (overview(vec![new()], vec![card(None, true)]), "cargo xtask flash a /dev/sdb"),
            (overview(vec![new()], vec![card(None, false)]), "cargo xtask flash a"),
            (overview(vec![new()], vec![card(None, true), card(None, true)]), "cargo xtask flash a"),
            (overview(vec![new(), flashed()], vec![]), "cargo xtask deploy b --wait"),
            (overview(vec![new(), flashed()], vec![card(Some("b"), true)]), "cargo xtask deploy b --wait"),
            (overview(vec![new(), flashed()], vec![card(Some("c"), true)]), "cargo xtask flash a /dev/sdb"),
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
