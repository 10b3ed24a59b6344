//! `up HOST` with a real build, a card that the kernel writes, and a host that starts with the keys on that card.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::card::MIB;
use crate::faulty::FaultyCard;
use crate::fuse_card::DeviceFault;
use crate::host_image::{CARD_MIB, assert_sound};
use crate::new_pi::NewPi;
use crate::support::xtask::{SignalTo, Xtask};

/// A position in the store of the image.
const POSITION: usize = 5 * MIB + 77 * 512;

/// A card whose first write in the middle of the image waits for [`FaultyCard::release`].
fn stalling_card() -> FaultyCard {
    FaultyCard::new(CARD_MIB, DeviceFault::StallsWrite(POSITION))
}

/// The run `up target CARD ARGS`, confirmed.
fn up(pi: &NewPi, card: &FaultyCard, args: &[&str]) -> Xtask {
    let flake = pi.fixture.flake();
    let key = pi.fixture.sandbox.path("home/me.pub").display().to_string();
    let card = [card.path(), "--allow-virtual", "--yes", "--expect-size", "48MiB", "--ssh-key", &key];
    pi.fixture.sandbox.xtask(&[&["--flake", &flake, "up", "target"], &card[..], args].concat())
}

/// The outcomes of the steps in a result, in their order.
fn outcomes(result: &Value) -> String {
    let steps = result["steps"].as_array().expect("steps").iter();
    let words = steps.map(|step| {
        format!(
            "{}={}",
            step["step"].as_str().expect("a step"),
            step["outcome"].as_str().expect("an outcome")
        )
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The outcomes of a run whose card was written before.
fn after_flash(deploy: &str) -> String {
    format!(
        "login_keys=already_done image=already_done card=already_done flash=already_done deploy={deploy} status=done"
    )
}

#[test]
#[ignore = "needs root, FUSE, loop devices, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_new_pi_is_taken_from_the_flake_to_a_deploy_over_several_runs() {
    let (pi, card) = (NewPi::new(), stalling_card());
    let mut stopped = up(&pi, &card, &["--json"]).spawn();
    card.wait_for_stall();
    stopped.signal(SignalTo::Group, Signal::INT);
    card.release();
    let result = stopped.finish().assert_code(130).json();
    assert_eq!(
        outcomes(&result),
        "login_keys=done image=done card=done flash=failed deploy=not_reached status=not_reached"
    );

    let flashed = up(&pi, &card, &["--skip", "deploy"]).run();
    flashed
        .assert_code(0)
        .assert_stderr_contains("  flash       to do    again: broken off on 2")
        .assert_stderr_contains("next: put the card into the Pi, then: cargo xtask --flake");
    assert_sound(card.path());
    let written = card.bytes();

    let mut waiting = up(&pi, &card, &["--json"]).spawn();
    waiting.wait_for("does not answer yet");
    pi.boot(card.path());
    let result = waiting.finish().assert_code(0).json();
    assert_eq!(outcomes(&result), after_flash("done"));
    assert_eq!(result["status"]["current"], true);
    pi.assert_runs("one");

    let again = up(&pi, &card, &[]).run();
    let plan =
        "  login keys  done\n  image       done\n  card        done\n  flash       done     card written 2";
    again
        .assert_code(0)
        .assert_stderr_contains(plan)
        .assert_stderr_contains("runs the system of the flake\n");
    assert!(again.stdout.contains("\ntarget  current  "), "{}", again.stdout);

    pi.fixture.edit(|facts| facts["configurations"]["target"]["name"] = "two".into());
    let result = up(&pi, &card, &["--json"]).run().assert_code(0).json();
    assert_eq!(outcomes(&result), after_flash("done"));
    pi.assert_runs("two");
    assert!(card.bytes() == written, "only the flash writes the card");
}

#[test]
#[ignore = "needs root, FUSE, loop devices, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_without_an_address_gets_a_card_but_no_deploy() {
    let (pi, card) = (NewPi::new(), stalling_card());
    card.release();
    pi.fixture.edit(|facts| facts["configurations"]["target"]["deployment"] = json!({}));
    let before = card.bytes();
    for skipped in [&[][..], &["--skip", "deploy"], &["--skip", "status"]] {
        up(&pi, &card, skipped).run().assert_stderr_contains("--to").assert_stdout("").assert_code(2);
    }
    assert!(card.bytes() == before);
    let outcome = up(&pi, &card, &["--skip", "deploy", "--skip", "status", "--json"]).run();
    assert_eq!(
        outcomes(&outcome.assert_code(0).json()),
        "login_keys=done image=done card=done flash=done deploy=skipped status=skipped"
    );
    assert!(outcome.stdout.contains(" deploy target --wait\""), "{}", outcome.stdout);
    assert_sound(card.path());
}
