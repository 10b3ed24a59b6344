//! Power cuts. The suite records the writes of one deploy with a reboot, and makes a cut offline after each write.
//! U-Boot must then find a system to start: the old one or the new one.

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

mod cut;
mod firmware;
#[path = "../guest/mod.rs"]
mod guest;
mod recording;
mod uboot_view;

use std::collections::BTreeMap;
use std::path::Path;

use cut::cut_everywhere;
use guest::Guest;
use guest::card::{SYSTEM_1, SYSTEM_2, lab, run, saved};
use recording::{Write, record_deploy, record_uboot_of_a_pi_3};
use tempfile::TempPath;
use uboot_view::{Entry, UbootView};

/// The number of cuts with a loss after each write.
const ROUNDS: u32 = 2;
/// The number of cuts after which a real U-Boot starts, unless `XTASK_CUTS` has another number.
const DEFAULT_UBOOT_CUTS: usize = 10;

/// The entry of the old system.
const OLD: Entry = Entry { label: "nixos-default", system: SYSTEM_1 };
/// The entry of the trial of the new system.
const TRIAL: Entry = Entry { label: "nixos-trial", system: SYSTEM_2 };
/// The entry of the new system after its blessing.
const NEW: Entry = Entry { label: "nixos-default", system: SYSTEM_2 };

/// The number of cuts that lead to each outcome: the entry that U-Boot starts, or the reason why it starts none. The
/// cuts are those of [`cut_everywhere`] in the `writes` to the card `base`, with `rounds` cuts with a loss after each
/// write.
fn count_outcomes(base: &Path, writes: &[Write], rounds: u32) -> BTreeMap<Result<Entry, String>, u32> {
    let view = UbootView::of(&saved().card);
    let mut outcomes = BTreeMap::new();
    cut_everywhere(base, writes, rounds, |_, _, card| {
        *outcomes.entry(view.start(card)).or_default() += 1;
    });
    outcomes
}

/// Copies of the card after `count` cuts with a loss, spread over all writes, each with the entry that U-Boot must
/// start.
fn sample_cuts(base: &Path, writes: &[Write], count: usize) -> Vec<(TempPath, Entry)> {
    let view = UbootView::of(&saved().card);
    let mut samples = Vec::new();
    cut_everywhere(base, writes, 1, |number, round, card| {
        let is_due = number * count / writes.len() >= samples.len();
        if round == 1 && is_due && samples.len() < count {
            let path = lab().new_file();
            run("cp", &["--sparse=always", card.path.to_str().unwrap(), path.to_str().unwrap()]);
            samples.push((path, view.start(card).unwrap()));
        }
    });
    samples
}

/// Asserts that the U-Boot of `guest` starts `entry`.
#[track_caller]
fn assert_starts(guest: &Guest, entry: &Entry) {
    let after = guest.wait_for_line("append: init=", 0);
    let line = guest.line(after - 1);
    assert!(line.contains(&format!("init={}/init ", entry.system)), "{line}: {entry:?}");
    let is_trial = (0..after).any(|number| guest.line(number).contains("trial: nixos-trial, once"));
    assert_eq!(is_trial, entry.label == TRIAL.label, "{entry:?}");
}

/// Boots `card`, and asserts that the host runs the system of `entry` and reports it. After a cut before a deployer has
/// armed the trial, the host blesses the new system by its own checks, and may have done so already.
#[track_caller]
fn assert_host_runs(card: &Path, entry: &Entry) {
    let guest = Guest::power_on(card);
    assert_starts(&guest, entry);
    guest.wait_for_ssh();
    let status = guest.status();
    let value = |name: &str| status.get(name).map(String::as_str);
    let trial = value("trial");
    // Before the end of its first trial, a host reports no last one.
    let last = (value("last-system"), value("last-outcome"));
    let has_blessed_itself = *entry == TRIAL && last == (Some(SYSTEM_2), Some("blessed"));
    if has_blessed_itself {
        guest.run("journalctl -b | grep -q 'is on trial; self has to bless it'");
    }
    let is_on_trial = *entry == TRIAL && !has_blessed_itself;
    let blessed = if is_on_trial { SYSTEM_1 } else { entry.system };
    assert_eq!(
        (status["booted"].as_str(), status["blessed"].as_str(), trial),
        (entry.system, blessed, is_on_trial.then_some(SYSTEM_2)),
        "{status:?}"
    );
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_host_boots_by_itself_after_a_power_cut_at_any_write_of_a_deploy() {
    let writes = record_deploy(":");
    assert!(writes.len() > 100, "{} writes", writes.len());
    let outcomes = count_outcomes(&saved().card, &writes, ROUNDS);
    println!("{} writes: {outcomes:?}", writes.len());
    let starts = outcomes.keys().cloned().collect::<Vec<_>>();
    assert_eq!(starts, [Ok(OLD), Ok(NEW), Ok(TRIAL)], "{outcomes:?}");
    let cuts = std::env::var("XTASK_CUTS").map_or(DEFAULT_UBOOT_CUTS, |text| text.parse().unwrap());
    let samples = sample_cuts(&saved().card, &writes, cuts);
    assert_eq!(samples.len(), cuts);
    for (card, entry) in &samples {
        assert_starts(&Guest::power_on(card), entry);
    }
    // Linux boots from the first cut of a trial, and from the last cut.
    let trial = samples.iter().find(|(_, entry)| *entry == TRIAL);
    for (card, entry) in [trial.expect("a cut of a trial"), samples.last().unwrap()] {
        assert_host_runs(card, entry);
    }
}

/// Other writers of menus sync and rename the menu, and sync again.
#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_menu_that_is_only_synced_and_renamed_is_lost_at_times() {
    let sync_and_rename = "f=$(echo /nix/store/t*-boot-trial)/menu.sh; \
        sed -i 's/^flush_journal() {/flush_journal() { sync; return/; /ln -f/d' $f; grep -c 'sync; return' $f";
    let writes = record_deploy(sync_and_rename);
    let outcomes = count_outcomes(&saved().card, &writes, 8);
    println!("{} writes: {outcomes:?}", writes.len());
    assert!(outcomes.keys().any(Result::is_err), "{outcomes:?}");
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_pi_3_boots_by_itself_after_a_power_cut_while_it_clears_the_flag() {
    let guest = Guest::restore(saved());
    guest.install("");
    guest.run("boot-trial arm deployer");
    let armed = guest.into_card("armed.img");
    let writes = record_uboot_of_a_pi_3(&armed);
    let outcomes = count_outcomes(&armed, &writes, 8);
    println!("{} writes: {outcomes:?}", writes.len());
    let starts = outcomes.keys().cloned().collect::<Vec<_>>();
    assert_eq!(starts, [Ok(OLD), Ok(TRIAL)], "{outcomes:?}");
    for (card, entry) in sample_cuts(&armed, &writes, 2) {
        assert_starts(&Guest::power_on_pi_3(&card, None), &entry);
    }
}
