//! Power cuts. One deploy with a reboot is recorded write by write. A cut is then made offline after each write, and U-Boot
//! must find a system to start: the old one or the new one.

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

mod cut;
#[path = "../guest/mod.rs"]
mod guest;
mod recording;
mod uboot_view;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cut::cut_everywhere;
use guest::Guest;
use guest::card::{SYSTEM_1, SYSTEM_2, lab, run, saved};
use recording::{Write, record_deploy};
use uboot_view::{Entry, View};

/// How often each cut is made with a loss.
const ROUNDS: u32 = 2;
/// How many cuts U-Boot starts from, if `XTASK_CUTS` does not say it.
const IN_UBOOT: usize = 10;

const OLD: Entry = Entry { label: "nixos-default", system: SYSTEM_1 };
const TRIAL: Entry = Entry { label: "nixos-trial", system: SYSTEM_2 };
const NEW: Entry = Entry { label: "nixos-default", system: SYSTEM_2 };

/// What U-Boot starts after each cut, and how often.
fn count(writes: &[Write], rounds: u32) -> BTreeMap<Result<Entry, String>, u32> {
    let view = View::of(&saved().card);
    let mut outcomes = BTreeMap::new();
    cut_everywhere(&saved().card, writes, rounds, |_, _, card| {
        *outcomes.entry(view.start(card)).or_default() += 1;
    });
    outcomes
}

/// Copies of `count` cuts with a loss, spread over all writes, each with the entry that is to be started.
fn samples(writes: &[Write], count: usize) -> Vec<(PathBuf, Entry)> {
    let view = View::of(&saved().card);
    let mut samples = Vec::new();
    cut_everywhere(&saved().card, writes, 1, |number, round, card| {
        let is_due = number * count / writes.len() >= samples.len();
        if round == 1 && is_due && samples.len() < count {
            let path = lab().path(&format!("sample-{number}.img"));
            run("cp", &["--sparse=always", card.path.to_str().unwrap(), path.to_str().unwrap()]);
            samples.push((path, view.start(card).unwrap()));
        }
    });
    samples
}

/// Boots `card`, and asserts that U-Boot starts `entry`.
#[track_caller]
fn assert_uboot_starts(card: &Path, entry: &Entry) -> Guest {
    let guest = Guest::power_on(card);
    let after = guest.wait_for_line("append: init=", 0);
    let line = guest.line(after - 1);
    assert!(line.contains(&format!("init={}/init ", entry.system)), "{line}: {entry:?}");
    let is_trial = (0..after).any(|number| guest.line(number).contains("trial: nixos-trial, once"));
    assert_eq!(is_trial, entry.label == TRIAL.label, "{}: {entry:?}", card.display());
    guest
}

/// Boots `card`, and asserts that the host runs the system of `entry`, and says so.
#[track_caller]
fn assert_host_runs(card: &Path, entry: &Entry) {
    let guest = assert_uboot_starts(card, entry);
    guest.wait_for_ssh();
    let status = guest.status();
    let blessed = if *entry == TRIAL { SYSTEM_1 } else { entry.system };
    assert_eq!(
        (status["booted"].as_str(), status["blessed"].as_str()),
        (entry.system, blessed),
        "{status:?}"
    );
    let trial = status.get("trial").map(String::as_str);
    assert_eq!(trial, (*entry == TRIAL).then_some(entry.system), "{status:?}");
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_power_cut_at_any_write_of_a_deploy_needs_no_hand() {
    let writes = record_deploy("deploy.log", ":");
    assert!(writes.len() > 100, "{} writes", writes.len());
    let outcomes = count(&writes, ROUNDS);
    println!("{} writes: {outcomes:?}", writes.len());
    let starts = outcomes.keys().cloned().collect::<Vec<_>>();
    assert_eq!(starts, [Ok(OLD), Ok(NEW), Ok(TRIAL)], "{outcomes:?}");
    let cuts = std::env::var("XTASK_CUTS").map_or(IN_UBOOT, |text| text.parse().unwrap());
    let samples = samples(&writes, cuts);
    assert_eq!(samples.len(), cuts);
    for (card, entry) in &samples {
        drop(assert_uboot_starts(card, entry));
    }
    // Linux boots from the first cut of a trial, and from the last cut.
    let trial = samples.iter().find(|(_, entry)| *entry == TRIAL);
    for (card, entry) in [trial.expect("a cut of a trial"), samples.last().unwrap()] {
        assert_host_runs(card, entry);
    }
}

/// What other writers of menus do, with the same recording: the menu is synced and renamed, and synced again.
#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_menu_that_is_only_synced_and_renamed_is_lost_at_times() {
    let sync_and_rename = "f=$(echo /nix/store/t*-boot-trial)/menu.sh; \
        sed -i 's/^settle() {/settle() { sync; return/; /ln -f/d' $f; grep -c 'sync; return' $f";
    let writes = record_deploy("rename.log", sync_and_rename);
    let outcomes = count(&writes, 8);
    println!("{} writes: {outcomes:?}", writes.len());
    assert!(outcomes.keys().any(Result::is_err), "{outcomes:?}");
}
