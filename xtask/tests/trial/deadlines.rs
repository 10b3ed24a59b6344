//! Faults of a new generation that only a time limit ends: that of the trial, or the watchdog's. They take longest, and
//! begin first, as tests run in the order of their names.

use super::faults::ALL_MARKS;
use crate::guest::fault::Fault;

/// The script that limits the trial of the second system to 90 s.
const SHORT_TRIAL: &str = "echo within=90 $(cat $s/kernel-params) >$s/kernel-params";

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn an_initrd_that_hangs_sends_the_host_back() {
    let change = "echo fault=initrd-hangs $(cat $s/kernel-params) >$s/kernel-params";
    Fault { change, ..Fault::default() }.assert_sends_the_host_back();
}

/// The script that gives the second system a unit that runs `command` before sysinit.target.
fn early_unit(command: &str) -> String {
    format!(
        "u=$s/etc/systemd/system; mkdir -p $u/sysinit.target.wants; ln -s ../bad.service $u/sysinit.target.wants/
         printf '[Unit]\\nDefaultDependencies=no\\nAfter=boot-trial-begin.service\\nBefore=sysinit.target\\n[Service]\\n\
         Type=oneshot\\nTimeoutStartSec=infinity\\nExecStart=/bin/sh -c \"{command}\"\\n' >$u/bad.service"
    )
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_job_that_never_ends_sends_the_host_back() {
    let change = format!("{SHORT_TRIAL}; {}", early_unit("sleep 100000"));
    let reason = "not blessed within 90 s";
    // The network comes before the job that hangs.
    Fault { change: &change, reason, marks: "begun network.target", ..Fault::default() }
        .assert_sends_the_host_back();
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_pid_1_that_dies_sends_the_host_back() {
    let change = early_unit("kill -SEGV 1");
    Fault { change: &change, marks: "begun", ..Fault::default() }.assert_sends_the_host_back();
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_system_without_a_network_sends_the_host_back() {
    let change = format!(
        "{SHORT_TRIAL}; mkdir -p $s/etc/systemd/network; : >$s/etc/systemd/network/10-ethernet.network"
    );
    let reason = "not blessed within 90 s";
    Fault { change: &change, reason, marks: ALL_MARKS, ..Fault::default() }.assert_sends_the_host_back();
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn an_sshd_that_does_not_start_sends_the_host_back() {
    let change = format!("{SHORT_TRIAL}; mkdir -p $s/etc/ssh; echo Nonsense yes >$s/etc/ssh/sshd_config");
    let marks = &ALL_MARKS.replace(" ssh.service", "");
    let reason = "not blessed within 90 s";
    Fault { change: &change, reason, marks, ..Fault::default() }.assert_sends_the_host_back();
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_deployer_who_never_confirms_sends_the_host_back() {
    let reason = "not blessed within 90 s";
    Fault { change: SHORT_TRIAL, reason, marks: ALL_MARKS, ..Fault::default() }.assert_sends_the_host_back();
}
