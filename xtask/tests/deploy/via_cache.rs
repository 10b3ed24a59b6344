//! Deploys by way of a binary cache: pushed once, and fetched by each host.

use std::fs;

use serde_json::{Value, json};

use crate::cache_server::Answer;
use crate::cached_fleet::{Fleet, copied, fallbacks, fixture_name};
use crate::machine::{self, Machine};

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_system_is_pushed_once_and_each_host_fetches_it() {
    let fleet = Fleet::new(3, |_| Answer::Serve);
    let result = fleet.deploy(&["--json"]);
    let result = result.assert_code(0).json();
    fleet.assert_run(&fixture_name("first"));
    let pushed = result["cache"]["pushed"]["paths"].as_u64().expect("a number");
    assert!(pushed > 0 && result["cache"]["fault"].is_null(), "{result}");
    for copied in copied(&result) {
        assert_eq!(copied["via_cache"]["paths"].as_u64(), Some(pushed), "{copied}");
        assert!(copied["directly"].is_null() && copied["fallback"].is_null(), "{copied}");
    }
    assert_eq!(fleet.server.count("GET /nar/"), 3 * usize::try_from(pushed).expect("a count"));
    // What the hosts have is neither pushed nor fetched again.
    let again = fleet.deploy(&["--json"]).assert_code(0).json();
    assert_eq!(again["cache"]["pushed"], json!({ "paths": 0, "bytes": 0 }));
    assert!(copied(&again).iter().all(Value::is_null), "{again}");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_push_by_http_reaches_the_cache() {
    let fleet = Fleet::new(1, |_| Answer::Serve);
    let result = fleet.deploy_with(&["--via-cache", &fleet.url(), "--json"]).assert_code(0).json();
    assert_eq!(fallbacks(&result), ["none"], "{result}");
    assert!(fleet.server.count("PUT /nar/") > 0);
    fleet.assert_run(&fixture_name("first"));
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn waves_push_only_what_is_new() {
    let fleet = Fleet::new(3, |_| Answer::Serve);
    let options = fleet.machines[2].ssh_options(&fleet.machines[2].write_known_hosts());
    let other = fixture_name("first-of-two");
    fleet.fixture.add_host("host2", &fleet.machines[2].address, &options, &other, ":");
    let result = fleet.deploy(&["--waves", "1,2,100%", "--json"]).assert_code(0).json();
    assert_eq!(fallbacks(&result), ["none"; 3], "{result}");
    // The second wave has the system of the first. The third has one path more.
    let fetched = |number: usize| copied(&result)[number]["via_cache"]["paths"].as_u64();
    assert_eq!(result["cache"]["pushed"]["paths"].as_u64(), fetched(0).map(|paths| paths + 1), "{result}");
    assert_eq!(fetched(1), fetched(0));
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_dry_run_pushes_nothing_and_shows_the_cache() {
    let fleet = Fleet::new(1, |_| Answer::Serve);
    let outcome = fleet.deploy(&["--dry-run"]);
    outcome.assert_code(0).assert_stderr_contains(format!("\n  via   {}\n", fleet.url()));
    assert_eq!(fleet.server.count(""), 0);
    assert!(!fleet.fixture.sandbox.path("cache/nix-cache-info").exists());
}

/// sudo makes the fetch one of root, whom the Nix of the host lets choose a cache.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_user_with_sudo_fetches_and_one_whom_nix_does_not_trust_gets_signed_copies() {
    let fleet = Fleet::of(vec![Machine::start_with_user("ALL=(ALL) NOPASSWD: ALL")], |_| Answer::Serve);
    let machine = &fleet.machines[0];
    let conf = machine.path("etc/nix.conf");
    let text = fs::read_to_string(&conf).expect("the settings of Nix");
    fs::write(&conf, text.replace("trusted-users = root pi", "trusted-users = root")).expect("writing them");
    machine.restart_daemon();
    let set = |name: &str| {
        fleet.set_profiles(&fixture_name(name));
        fleet.fixture.edit(|facts| facts["hosts"]["host0"]["node"]["sshUser"] = json!("pi"));
    };
    set("by-sudo");
    let result = fleet.deploy(&["--json"]).assert_code(0).json();
    assert_eq!(fallbacks(&result), ["none"], "{result}");
    fleet.assert_run(&fixture_name("by-sudo"));
    // Without the cache, the key of the project signs what is copied.
    set("signed");
    fleet.deploy_with(&[]).assert_code(0);
    fleet.assert_run(&fixture_name("signed"));
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_key_is_in_no_log_and_no_argument() {
    let fleet = Fleet::new(1, |_| Answer::Serve);
    let sandbox = &fleet.fixture.sandbox;
    let log = sandbox.path("log");
    fleet.deploy(&["--log-file", &log.display().to_string(), "-v"]).assert_code(0);
    let dir = sandbox.path("state/identity/.cache-key");
    machine::run("chmod", &["700", &dir.display().to_string()]);
    let secret = fs::read_to_string(dir.join("cache_key")).expect("the key");
    let secret = secret.trim().split(':').nth(1).expect("its bytes").to_owned();
    let log = fs::read_to_string(log).expect("the log");
    assert!(log.contains("store sign") && !log.contains(&secret[..16]), "{log}");
}
