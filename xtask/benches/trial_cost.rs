//! The cost of a trial: the time of `deploy --reboot` from the reboot to the verdict, with a trial and without one.
//! Prints a JSON object for each round. `cargo xtask bench trial` runs it.

#![allow(clippy::unwrap_used, reason = "the helpers of the suites end in a panic")]
#![expect(clippy::print_stdout, reason = "the times are for `cargo xtask bench trial`")]

#[path = "../tests/guest/mod.rs"]
mod guest;
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "../tests/host/workstation.rs"]
mod workstation;

use serde_json::json;
use xtask::dev::bench::ROUNDS;

use workstation::Workstation;

fn main() {
    let rounds = std::env::var(ROUNDS).unwrap().parse().unwrap();
    for _ in 0..rounds {
        println!("{}", json!({ "trial": reboot_on_trial(), "plain": reboot_without_trial() }));
    }
}

/// The seconds of a reboot of a new guest on trial.
fn reboot_on_trial() -> f64 {
    reboot_seconds(&new_workstation(), &["--reboot"])
}

/// The seconds of a reboot of a new guest without a trial.
fn reboot_without_trial() -> f64 {
    let workstation = new_workstation();
    // The status mounts FIRMWARE. Without boot.scr there is no trial.
    workstation.guest.run("boot-trial status; rm /boot/firmware/boot.scr");
    reboot_seconds(&workstation, &["--reboot", "--keep-firmware"])
}

/// A workstation with a new guest, whose flake has another system.
fn new_workstation() -> Workstation {
    let workstation = Workstation::new();
    workstation.set_desired_system("new", "");
    workstation
}

/// Deploys with `args`, and returns the seconds of the reboot.
fn reboot_seconds(workstation: &Workstation, args: &[&str]) -> f64 {
    let result = workstation.deploy(args);
    assert_eq!(result["verdict"], "done", "{result:#}");
    let phases = result["seconds"].as_array().unwrap();
    let phase = phases.iter().find(|phase| phase["phase"] == "reboot").unwrap();
    phase["seconds"].as_f64().unwrap()
}
