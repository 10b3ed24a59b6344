//! Trials of generations with systemd in the initrd, as NixOS has it.

use crate::guest::Guest;
use crate::guest::card::{SYSTEM_2, saved};
use crate::guest::fault::Fault;

/// The script that gives the second system an initrd with systemd, in place of busybox.
const SYSTEMD_INITRD: &str = "ln -sfn $(dirname $(readlink $s/initrd))/systemd-initrd $s/initrd";

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_unit_of_the_initrd_that_fails_sends_the_host_back() {
    let fault = "echo fault=initrd-fails boot.panic_on_fail $(cat $s/kernel-params) >$s/kernel-params";
    let change = format!("{SYSTEMD_INITRD}; {fault}");
    Fault { change: &change, ..Fault::default() }.assert_sends_the_host_back();
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_job_of_the_initrd_that_never_ends_sends_the_host_back() {
    let fault = "echo fault=initrd-job-hangs $(cat $s/kernel-params) >$s/kernel-params";
    let change = format!("{SYSTEMD_INITRD}; {fault}");
    Fault { change: &change, ..Fault::default() }.assert_sends_the_host_back();
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_good_generation_with_systemd_in_its_initrd_is_blessed() {
    let guest = Guest::restore(saved());
    guest.install(SYSTEMD_INITRD);
    guest.reboot_into(SYSTEM_2);
    guest.wait_until("boot-trial status | grep -qx last-outcome=blessed");
    let journal = guest.run("journalctl -b -o cat");
    let position = |text: &str| journal.find(text).unwrap_or_else(|| panic!("no \"{text}\" in\n{journal}"));
    // The second systemd is that of the system.
    let switched = journal.rfind("running in system mode").unwrap();
    assert!(position("Running in initrd") < position("hardware watchdog"), "{journal}");
    assert!(position("hardware watchdog") < switched, "armed in the initrd: {journal}");
}
