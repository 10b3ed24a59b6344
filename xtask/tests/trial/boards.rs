//! Trials on emulated boards: a Pi 3, with the U-Boot and the device tree of a Pi.

use crate::guest::Guest;
use crate::guest::card::{SYSTEM_1, SYSTEM_2, saved};

#[test]
#[ignore = "needs QEMU and Debian's packages: run `cargo xtask test`"]
fn a_kernel_that_panics_sends_a_pi_3_back() {
    let guest = Guest::restore(saved());
    guest.install(crate::faults::PANIC);
    guest.run("boot-trial arm deployer");
    let card = guest.into_card("pi-3.img");
    let guest = Guest::power_on_pi_3(&card, None);
    let from = guest.wait_for_line("trial: nixos-trial, once", 0);
    let from = guest.wait_for_boot_of(SYSTEM_2, from);
    let from = guest.wait_for_line("Kernel panic - not syncing: sysrq triggered crash", from);
    let from = guest.wait_for_line("trial: none", from);
    let from = guest.wait_for_boot_of(SYSTEM_1, from);
    guest.wait_for_line("boot-complete.target", from);
}
