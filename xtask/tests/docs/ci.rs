//! The scripts of the page about CI: one on the image of the demo, and one with a host in a network namespace.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::demo::folder_with_demo;
use crate::fixture::Fixture;
use crate::page;
use crate::scene::Scene;
use crate::support::Sandbox;

/// The script of the page for `scene`, with the first text of each of `edits` replaced by the second.
fn script(scene: &str, edits: &[(&str, &str)]) -> String {
    let block = page::blocks_of("docs/ci.md").into_iter().find(|block| block.scene == scene);
    edits.iter().fold(block.expect("a script").text, |script, (text, here)| {
        assert!(script.contains(text), "{text}");
        script.replace(text, here)
    })
}

/// Asserts that each line of the file of events in `folder` is an event.
#[track_caller]
fn assert_events(folder: &Path) {
    let events = fs::read_to_string(folder.join("events.jsonl")).expect("reading the events");
    let is_event =
        |line: &str| serde_json::from_str::<Value>(line).is_ok_and(|event| event["event"].is_string());
    assert!(!events.is_empty() && events.lines().all(is_event), "{events}");
}

#[test]
#[ignore = "needs Nix, AArch64 emulation, QEMU and jq: run `cargo xtask test`"]
fn the_script_of_the_page_boots_an_image_and_fails_with_the_code_of_the_tool() {
    let mut sandbox = Sandbox::new();
    let (folder, _) = folder_with_demo(&mut sandbox);
    sandbox.env("XTASK_UBOOT", folder.join(".xtask/demo/flake/inputs/emulator/u-boot.bin"));
    sandbox.env("XTASK_FLAKE", "path:.xtask/demo/flake");
    for (expect, timeout, code, printed) in
        [("demo: up", "5m", 0, "up in virt after "), ("no such line", "15s", 4, "verification: /nix/store/")]
    {
        // The host of the demo has no login.
        let edits = [("host=stinky", "host=demo"), ("$host login:", expect), ("10m", timeout)];
        fs::write(folder.join("image.sh"), script("ci", &edits)).unwrap();
        let outcome = Scene::new(&sandbox, &folder).run("sh image.sh", false);
        assert!(outcome.assert_code(code).stderr.contains(printed), "{outcome:?}");
        assert!(!outcome.stderr.contains("null"), "{outcome:?}");
        assert_events(&folder);
    }
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs and jq: run `cargo xtask test`"]
fn the_script_of_the_page_deploys_a_host_and_fails_with_the_code_of_the_tool() {
    let mut fixture = Fixture::new();
    let flake = fixture.flake();
    fixture.sandbox.env("XTASK_FLAKE", flake);
    let folder = fixture.sandbox.path("home");
    let deploy = |fixture: &Fixture, host: &str, wait: &str| {
        let edits = [("host=stinky", format!("host={host}")), ("--wait=5", wait.to_owned())];
        let edits = edits.each_ref().map(|(text, here)| (*text, here.as_str()));
        fs::write(folder.join("deploy.sh"), script("ci-deploy", &edits)).unwrap();
        let outcome = Scene::new(&fixture.sandbox, &folder).run("sh deploy.sh", false);
        let words_of_jq = outcome.stderr.replace("/dev/null", "");
        assert!(!words_of_jq.contains("null") && !words_of_jq.contains("jq: error"), "{outcome:?}");
        assert_events(&folder);
        outcome
    };
    fixture.set_profile("one", ":");
    for verdict in ["done", "already_current"] {
        let outcome = deploy(&fixture, "target", "--wait=5");
        let printed = outcome.assert_code(0).stderr.contains(&format!("target {verdict}: /nix/store/"));
        assert!(printed && outcome.stderr.contains("receipt of 2"), "{outcome:?}");
    }
    // There is no such host, so that the result has no hosts.
    assert!(deploy(&fixture, "tarte", "--wait=5").assert_code(2).stderr.contains("usage: "));
    fixture.set_profile("bad", "exit 1");
    let outcome = deploy(&fixture, "target", "--wait=5");
    assert!(outcome.assert_code(10).stderr.contains("target rolled_back: /nix/store/"), "{outcome:?}");
    fixture.machine.run_inside("ip route flush table main");
    let outcome = deploy(&fixture, "target", "");
    assert!(outcome.assert_code(12).stderr.contains("unreachable: "), "{outcome:?}");
}
