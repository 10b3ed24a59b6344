//! Faults of a new generation: each sends the host back to the old one, by itself.

use crate::guest::fault::Fault;

/// The marks of a trial that lacks only the blessing.
pub const ALL_MARKS: &str = "begun sysinit.target network.target ssh.service healthy";

/// The script that gives the second system a kernel and an initrd of its own.
const OWN_KERNEL: &str = "k=/nix/store/mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm-linux; cp -r /nix/store/k*-linux $k; \
                          for f in kernel:Image initrd:initrd; do ln -sfn $k/${f#*:} $s/${f%:*}; done";

/// The script that makes the second system panic right after its initrd.
pub const PANIC: &str = "printf '#!/nix/store/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-busybox/bin/sh\\n\
                         echo c >/proc/sysrq-trigger\\n' >$s/init";

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_kernel_that_panics_without_a_root_sends_the_host_back() {
    let change = "echo rdinit=none root=none $(cat $s/kernel-params) >$s/kernel-params";
    Fault { change, ..Fault::default() }.assert_sends_the_host_back();
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_kernel_that_panics_after_the_initrd_sends_the_host_back() {
    Fault { change: PANIC, ..Fault::default() }.assert_sends_the_host_back();
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_system_without_init_sends_the_host_back() {
    Fault { change: "rm $s/init", ..Fault::default() }.assert_sends_the_host_back();
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_kernel_that_is_missing_sends_the_host_back() {
    Fault { change: OWN_KERNEL, after: "rm /nix/boot/nixos/m*-Image; sync", ..Fault::default() }
        .assert_sends_the_host_back();
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn an_initrd_that_is_missing_sends_the_host_back() {
    Fault { change: OWN_KERNEL, after: "rm /nix/boot/nixos/m*-initrd; sync", ..Fault::default() }
        .assert_sends_the_host_back();
}

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_health_check_that_fails_sends_the_host_back() {
    let change = "printf '#!/bin/sh\\nexit 1\\n' >$s/checks/printer; chmod 755 $s/checks/printer";
    let marks = &ALL_MARKS.replace(" healthy", "");
    let reason = "the check printer failed";
    Fault { change, reason, marks, ..Fault::default() }.assert_sends_the_host_back();
}
