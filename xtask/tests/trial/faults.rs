//! Faults of a new generation: each sends the host back to the old one, by itself.

use crate::guest::fault::Fault;

/// All marks of a trial that ran until it was to be blessed.
const ALL_MARKS: &str = "begun sysinit.target network.target ssh.service healthy";

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
