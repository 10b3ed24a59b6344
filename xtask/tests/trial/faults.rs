//! Faults of a new generation: each sends the host back to the old one, by itself.

use std::collections::BTreeSet;

use crate::guest::Guest;
use crate::guest::card::{SYSTEM_1, SYSTEM_2, saved};

/// All marks of a trial that ran until it was to be blessed.
const ALL_MARKS: &str = "begun sysinit.target network.target ssh.service healthy";

/// A fault of a generation.
#[derive(Default)]
struct Fault<'a> {
    /// A script that changes the system in the folder `$s` before it is installed.
    change: &'a str,
    /// A script for after the installation.
    after: &'a str,
    /// The reason that the host notes; empty where it cannot know one.
    reason: &'a str,
    /// How far the trial comes.
    marks: &'a str,
}

impl Fault<'_> {
    /// Installs the generation, reboots, and asserts that the host comes back with the old one.
    #[track_caller]
    fn sends_the_host_back(&self) {
        let guest = Guest::restore(saved());
        guest.install(self.change);
        guest.run(&format!("boot-trial arm deployer; {}", self.after));
        let from = guest.begin_reboot();
        let from = guest.wait_for_line("trial: nixos-trial, once", from);
        let from = guest.wait_for_boot_of(SYSTEM_1, from);
        // By then the host has noted what became of the trial.
        guest.wait_for_line("boot-complete.target", from);
        let status = guest.status();
        let names = ["blessed", "pending", "last-system", "last-outcome", "last-reason"];
        let values = names.map(|name| status[name].as_str());
        assert_eq!(values, [SYSTEM_1, "", SYSTEM_2, "rolled-back", self.reason], "{status:?}");
        // Units that start at the same time leave their marks in any order.
        let marks = |text: &str| text.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>();
        assert_eq!(marks(&status["last-marks"]), marks(self.marks));
    }
}

/// A kernel of its own for the second system, in the store.
const OWN_KERNEL: &str = "k=/nix/store/mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm-linux; cp -r /nix/store/k*-linux $k; \
                          for f in kernel:Image initrd:initrd; do ln -sfn $k/${f#*:} $s/${f%:*}; done";

/// Lets the second system panic right after its initrd.
pub const PANIC: &str = "printf '#!/nix/store/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-busybox/bin/sh\\n\
                         echo c >/proc/sysrq-trigger\\n' >$s/init";

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_kernel_that_panics_without_a_root() {
    let change = "echo rdinit=none root=none $(cat $s/kernel-params) >$s/kernel-params";
    Fault { change, ..Fault::default() }.sends_the_host_back();
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_kernel_that_panics_after_the_initrd() {
    Fault { change: PANIC, ..Fault::default() }.sends_the_host_back();
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_system_without_init() {
    Fault { change: "rm $s/init", ..Fault::default() }.sends_the_host_back();
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_kernel_that_is_missing() {
    Fault { change: OWN_KERNEL, after: "rm /nix/boot/nixos/m*-Image; sync", ..Fault::default() }
        .sends_the_host_back();
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn an_initrd_that_is_missing() {
    Fault { change: OWN_KERNEL, after: "rm /nix/boot/nixos/m*-initrd; sync", ..Fault::default() }
        .sends_the_host_back();
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn an_initrd_that_hangs() {
    let change = "echo fault=initrd-hangs $(cat $s/kernel-params) >$s/kernel-params";
    Fault { change, ..Fault::default() }.sends_the_host_back();
}

/// A unit of the second system that runs `command` before sysinit.target.
fn early_unit(command: &str) -> String {
    format!(
        "u=$s/etc/systemd/system; mkdir -p $u/sysinit.target.wants; ln -s ../bad.service $u/sysinit.target.wants/
         printf '[Unit]\\nDefaultDependencies=no\\nAfter=boot-trial-begin.service\\nBefore=sysinit.target\\n[Service]\\n\
         Type=oneshot\\nTimeoutStartSec=infinity\\nExecStart=/bin/sh -c \"{command}\"\\n' >$u/bad.service"
    )
}

/// Lets the trial of the second system end soon.
const SOON: &str = "echo within=90 $(cat $s/kernel-params) >$s/kernel-params";

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_pid_1_that_dies() {
    let change = early_unit("kill -SEGV 1");
    Fault { change: &change, marks: "begun", ..Fault::default() }.sends_the_host_back();
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_job_that_never_ends() {
    let change = format!("{SOON}; {}", early_unit("sleep 100000"));
    let reason = "not blessed within 90 s";
    // The network comes before the job that hangs.
    Fault { change: &change, reason, marks: "begun network.target", ..Fault::default() }
        .sends_the_host_back();
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_system_without_a_network() {
    let change =
        format!("{SOON}; mkdir -p $s/etc/systemd/network; : >$s/etc/systemd/network/10-ethernet.network");
    let reason = "not blessed within 90 s";
    Fault { change: &change, reason, marks: ALL_MARKS, ..Fault::default() }.sends_the_host_back();
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn an_sshd_that_does_not_start() {
    let change = format!("{SOON}; mkdir -p $s/etc/ssh; echo Nonsense yes >$s/etc/ssh/sshd_config");
    let marks = &ALL_MARKS.replace(" ssh.service", "");
    let reason = "not blessed within 90 s";
    Fault { change: &change, reason, marks, ..Fault::default() }.sends_the_host_back();
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_health_check_that_fails() {
    let change = "printf '#!/bin/sh\\nexit 1\\n' >$s/checks/printer; chmod 755 $s/checks/printer";
    let marks = &ALL_MARKS.replace(" healthy", "");
    let reason = "the check printer failed";
    Fault { change, reason, marks, ..Fault::default() }.sends_the_host_back();
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_deployer_who_never_confirms() {
    let reason = "not blessed within 90 s";
    Fault { change: SOON, reason, marks: ALL_MARKS, ..Fault::default() }.sends_the_host_back();
}

/// Boots the second system with systemd in its initrd, as on NixOS.
const SYSTEMD_INITRD: &str = "ln -sfn $(dirname $(readlink $s/initrd))/systemd-initrd $s/initrd";

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_unit_of_the_initrd_that_fails() {
    let fault = "echo fault=initrd-fails boot.panic_on_fail $(cat $s/kernel-params) >$s/kernel-params";
    let change = format!("{SYSTEMD_INITRD}; {fault}");
    Fault { change: &change, ..Fault::default() }.sends_the_host_back();
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_job_of_the_initrd_that_never_ends() {
    let fault = "echo fault=initrd-job-hangs $(cat $s/kernel-params) >$s/kernel-params";
    let change = format!("{SYSTEMD_INITRD}; {fault}");
    Fault { change: &change, ..Fault::default() }.sends_the_host_back();
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_good_generation_with_systemd_in_its_initrd_is_blessed() {
    let guest = Guest::restore(saved());
    guest.install(SYSTEMD_INITRD);
    guest.reboot_into(SYSTEM_2);
    guest.wait_until("boot-trial status | grep -qx last-outcome=blessed");
    let journal = guest.run("journalctl -b -o cat");
    let at = |text: &str| journal.find(text).unwrap_or_else(|| panic!("no \"{text}\" in\n{journal}"));
    // The second systemd is that of the system.
    let switched = journal.rfind("running in system mode").unwrap();
    assert!(at("Running in initrd") < at("hardware watchdog"), "{journal}");
    assert!(at("hardware watchdog") < switched, "armed in the initrd: {journal}");
}
