//! New generations on trial, on cards with a real systemd and sshd in QEMU: a good one is blessed, a bad one sends the
//! host back. All guests continue from one saved state.

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

mod boards;
mod deadlines;
mod faults;
#[path = "../guest/mod.rs"]
mod guest;

use guest::Guest;
use guest::card::{SYSTEM_1, SYSTEM_2, saved};

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_good_generation_is_blessed_by_its_deployer() {
    let guest = Guest::restore(saved());
    let status = guest.status();
    assert_eq!((status["booted"].as_str(), status["missing"].as_str()), (SYSTEM_1, ""), "{status:?}");
    guest.install("");
    guest.run("boot-trial arm deployer");
    let status = guest.status();
    assert_eq!((status["pending"].as_str(), status["blessed"].as_str()), (SYSTEM_2, SYSTEM_1));
    guest.reboot_into(SYSTEM_2);
    let status = guest.status();
    assert_eq!((status["trial"].as_str(), status["blessed"].as_str()), (SYSTEM_2, SYSTEM_1), "{status:?}");
    guest.run("boot-trial bless");
    let status = guest.status();
    assert_eq!((status["blessed"].as_str(), status["last-outcome"].as_str()), (SYSTEM_2, "blessed"));
    guest.wait_until("systemctl is-active boot-complete.target");
    guest.reboot_into(SYSTEM_2);
    let status = guest.status();
    assert_eq!((status["booted"].as_str(), status["pending"].as_str()), (SYSTEM_2, ""), "{status:?}");
}
