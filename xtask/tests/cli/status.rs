//! `status`: the output for hosts that answer and for hosts that do not.

use std::fs;

use serde_json::{Value, json};

use crate::deploy_fixture::{Fixture, NEW, NEW_PROFILE, probe_answer};

const STATUS_ARGS: &[&str] = &["--flake", "github:o/f", "status", "stinky"];

/// A fixture whose host runs the system of the flake.
pub fn fixture_with_current_host() -> Fixture {
    let fixture = Fixture::new("", "", 0);
    fixture.write("before", &probe_answer(NEW_PROFILE, NEW, ""));
    fixture
}

/// Writes a receipt of a flash whose image has the hash `hash`.
pub fn write_flash_receipt(fixture: &Fixture, hash: &str) {
    let receipt = json!({
        "kind": "flash", "when": "2026-11-25T12:00:00Z", "host": "stinky", "flake": "github:o/f",
        "image": {
            "path": "/i.img", "store_path": null, "size": 1, "hash": hash,
            "layout": { "id": 0, "partitions": [] },
        },
        "card": {
            "path": "/dev/sdb", "kind": { "type": "usb" }, "size": 1, "serial": null, "diskseq": null, "vendor": null,
            "model": null,
        },
        "mode": "auto", "seconds": { "capacity": 0.0, "write": 0.0, "verify": 0.0 },
        "rates": { "read": 1, "write": 1 }, "retries": 0, "written": 1,
    });
    fs::create_dir_all(fixture.sandbox.path("state/receipts")).expect("making the folder of receipts");
    fixture.write("state/receipts/1.json", &receipt.to_string());
}

/// Runs `status --json`, asserts its exit code, and returns the status of the host.
fn status_json(fixture: &Fixture, code: i32) -> Value {
    let outcome = fixture.sandbox.run(&[STATUS_ARGS, &["--json"]].concat());
    outcome.assert_code(code).json()["hosts"][0].take()
}

#[test]
fn status_shows_whether_a_host_answers() {
    let none = r#"{"names":["other"],"node":null}"#;
    for (stderr, nodes, code, column, reachable) in [
        ("ssh: connect to host stinky.lan port 22: No route to host", None, 12, "unreachable", json!(false)),
        ("Host key verification failed.", None, 13, "key not known", json!(true)),
        (
            "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @",
            None,
            13,
            "another host key",
            json!(true),
        ),
        ("root@stinky.lan: Permission denied (publickey).", None, 6, "login refused", json!(true)),
        ("", Some(none), 2, "unknown", json!(null)),
    ] {
        let fixture = fixture_with_current_host();
        fixture.sandbox.fake("ssh", &format!("echo '{stderr}' >>/dev/stdin; exit 255"));
        if let Some(nodes) = nodes {
            fixture.write("nodes", nodes);
        }
        let status = status_json(&fixture, code);
        assert_eq!((&status["reachable"], &status["error"]["code"]), (&reachable, &code.into()), "{status}");
        let table = fixture.sandbox.run(STATUS_ARGS);
        let row = table.assert_code(code).stdout.lines().nth(1).expect("a row");
        assert!(row.starts_with(&format!("stinky  {column}  ")), "{row}");
    }
    let status = status_json(&fixture_with_current_host(), 0);
    assert_eq!((&status["reachable"], &status["current"]), (&json!(true), &json!(true)));
}

#[test]
fn failed_units_are_unknown_without_systemd() {
    let fixture = fixture_with_current_host();
    assert_eq!(status_json(&fixture, 0)["failed_units"], json!([]));
    fixture.write("before", &probe_answer(NEW_PROFILE, NEW, "untold"));
    assert_eq!(status_json(&fixture, 0)["failed_units"], json!(null));
    let table = fixture.sandbox.run(STATUS_ARGS);
    let expected = "HOST    RUNS     BOOTED  FAILED UNITS  FREE  LAST\n\
                    stinky  current  -       unknown       -     -\n";
    table.assert_code(0).assert_stdout(expected);
    let deploy = fixture.deploy(&["stinky"]);
    deploy.assert_stderr_contains("the failed units of stinky are unknown: no systemd answers there\n");
    deploy.assert_code(0).assert_stdout(format!("stinky already runs {NEW}\n"));
}

#[test]
fn status_shows_the_last_receipt_in_one_row() {
    let fixture = fixture_with_current_host();
    let hash = "0123456789abcdef".repeat(4);
    write_flash_receipt(&fixture, &hash);
    let table = fixture.sandbox.run(STATUS_ARGS);
    assert!(table.assert_code(0).stdout.ends_with("  flashed 2026-11-25\n"), "{}", table.stdout);
    assert_eq!(status_json(&fixture, 0)["last_flash"]["image"]["hash"], json!(hash));
}
