//! The cost of a trial: the time of `deploy --reboot` from the reboot to the verdict, with a trial and without one. Prints
//! a JSON object for each round. `cargo xtask bench trial` runs it.

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
        println!("{}", json!({ "trial": reboot(true), "plain": reboot(false) }));
    }
}

/// The seconds of the reboot of a new guest.
fn reboot(on_trial: bool) -> f64 {
    let workstation = Workstation::new();
    workstation.desire("new", "");
    let args: &[&str] = if on_trial {
        &["--reboot"]
    } else {
        workstation.guest.run("boot-trial status; rm /boot/firmware/boot.scr");
        &["--reboot", "--keep-firmware"]
    };
    let done = workstation.deploy(args);
    assert_eq!(done["verdict"], "done", "{done:#}");
    let phases = done["seconds"].as_array().unwrap();
    let phase = phases.iter().find(|phase| phase["phase"] == "reboot").unwrap();
    phase["seconds"].as_f64().unwrap()
}
