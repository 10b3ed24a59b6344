//! `up HOST` with a real build, a card that the kernel writes, and a host that starts with the keys on that card.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::card::MIB;
use crate::faulty::FaultyCard;
use crate::fixture::Fixture;
use crate::fuse_card::DeviceFault;
use crate::host_image::{CARD_MIB, assert_sound, debugfs, stock_image};
use crate::image::pack;
use crate::support::xtask::{SignalTo, Xtask};

/// A position in the store of the image.
const POSITION: usize = 5 * MIB + 77 * 512;

/// A host that is switched off, its flake, and the card for it.
struct NewPi {
    fixture: Fixture,
    card: FaultyCard,
}

impl NewPi {
    /// The first write of the card in the middle of the image waits for [`FaultyCard::release`].
    fn new() -> Self {
        let mut fixture = Fixture::new();
        let login_key = fixture.machine.path("client_key.pub");
        fs::copy(&login_key, fixture.sandbox.path("home/me.pub")).expect("copying the login key");
        // What the host has comes from the card alone.
        fs::remove_file(login_key).expect("removing the login key");
        fixture.machine.run_inside("mv /mnt/sshd_config /mnt/sshd_config.off; pkill sshd");
        fixture.known_hosts = fixture.sandbox.path("home/known_hosts");
        let deployment = json!({ "targetHost": fixture.machine.address, "targetUser": "root" });
        fixture.set_configuration("one", ":", &deployment);
        pack(&fixture.sandbox.path("flake"), "img.zst", &stock_image());
        fixture.edit(|facts| {
            facts["configurations"]["target"]["image"] = "nixos-sd-image.img.zst".into();
            facts["configurations"]["target"]["options"] = options();
        });
        Self { fixture, card: FaultyCard::new(CARD_MIB, DeviceFault::StallsWrite(POSITION)) }
    }

    /// The run `up target CARD ARGS`, confirmed.
    fn up(&self, args: &[&str]) -> Xtask {
        let flake = self.fixture.flake();
        let key = self.fixture.sandbox.path("home/me.pub").display().to_string();
        let card =
            [self.card.path(), "--allow-virtual", "--yes", "--expect-size", "48MiB", "--ssh-key", &key];
        self.fixture.sandbox.xtask(&[&["--flake", &flake, "up", "target"], &card[..], args].concat())
    }

    /// Puts the card into the host and switches it on: its sshd gets the keys on the card.
    fn boot(&self) {
        assert_sound(self.card.path());
        for (on_card, file) in [
            ("/etc/ssh/ssh_host_ed25519_key", "host_key"),
            ("/etc/ssh/ssh_host_ed25519_key.pub", "host_key.pub"),
            ("/etc/ssh/authorized_keys.d/root", "client_key.pub"),
        ] {
            let text = debugfs(self.card.path(), &format!("cat {on_card}"));
            fs::write(self.fixture.machine.path(file), text).expect("writing a file of the host");
        }
        self.fixture.machine.run_inside("mv /mnt/sshd_config.off /mnt/sshd_config");
    }

    /// Asserts the name of the system that the host runs, read without the tool.
    #[track_caller]
    fn assert_runs(&self, name: &str) {
        let current = self.fixture.machine.run_inside("readlink -f /run/current-system");
        assert!(current.ends_with(&format!("-{name}")), "{current}, not {name}");
    }
}

/// The options of the host that decide what its card gets.
fn options() -> Value {
    let key = json!({ "path": "/etc/ssh/ssh_host_ed25519_key", "type": "ed25519" });
    json!({
        "fileSystems": { "/": { "device": "/dev/disk/by-label/NIXOS_SD", "fsType": "ext4" } },
        "services": { "openssh": {
            "enable": true, "hostKeys": [key], "authorizedKeysFiles": ["/etc/ssh/authorized_keys.d/%u"],
        } },
        "users": { "users": { "root": { "shell": "/bin/sh" } } },
    })
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
    let pi = NewPi::new();
    let mut stopped = pi.up(&["--json"]).spawn();
    pi.card.wait_for_stall();
    stopped.signal(SignalTo::Group, Signal::INT);
    pi.card.release();
    let result = stopped.finish().assert_code(130).json();
    assert_eq!(
        outcomes(&result),
        "login_keys=done image=done card=done flash=failed deploy=not_reached status=not_reached"
    );

    let flashed = pi.up(&["--skip", "deploy"]).run();
    flashed
        .assert_code(0)
        .assert_stderr_contains("  flash       to do    again: broken off on 2")
        .assert_stderr_contains("next: put the card into the Pi, then: cargo xtask --flake");
    assert_sound(pi.card.path());
    let card = pi.card.bytes();

    let mut waiting = pi.up(&["--json"]).spawn();
    waiting.wait_for("does not answer yet");
    pi.boot();
    let result = waiting.finish().assert_code(0).json();
    assert_eq!(outcomes(&result), after_flash("done"));
    assert_eq!(result["status"]["current"], true);
    pi.assert_runs("one");

    let again = pi.up(&[]).run();
    let plan =
        "  login keys  done\n  image       done\n  card        done\n  flash       done     card written 2";
    again
        .assert_code(0)
        .assert_stderr_contains(plan)
        .assert_stderr_contains("runs the system of the flake\n");
    assert!(again.stdout.contains("\ntarget  current  "), "{}", again.stdout);

    pi.fixture.edit(|facts| facts["configurations"]["target"]["name"] = "two".into());
    let result = pi.up(&["--json"]).run().assert_code(0).json();
    assert_eq!(outcomes(&result), after_flash("done"));
    pi.assert_runs("two");
    assert!(pi.card.bytes() == card, "only the flash writes the card");
}

#[test]
#[ignore = "needs root, FUSE, loop devices, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_without_an_address_gets_a_card_but_no_deploy() {
    let pi = NewPi::new();
    pi.card.release();
    pi.fixture.edit(|facts| facts["configurations"]["target"]["deployment"] = json!({}));
    let before = pi.card.bytes();
    for skipped in [&[][..], &["--skip", "deploy"], &["--skip", "status"]] {
        pi.up(skipped).run().assert_stderr_contains("--to").assert_stdout("").assert_code(2);
    }
    assert!(pi.card.bytes() == before);
    let outcome = pi.up(&["--skip", "deploy", "--skip", "status", "--json"]).run();
    assert_eq!(
        outcomes(&outcome.assert_code(0).json()),
        "login_keys=done image=done card=done flash=done deploy=skipped status=skipped"
    );
    assert!(outcome.stdout.contains(" deploy target --wait\""), "{}", outcome.stdout);
    assert_sound(pi.card.path());
}
