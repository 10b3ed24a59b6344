//! Deploys by way of a binary cache: pushed once, and fetched by each host.

use std::fs;

use serde_json::{Value, json};

use crate::cache_server::Answer;
use crate::cached_fleet::{Fleet, copied, fallbacks, fixture_name};
use crate::fixture::Fixture;
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
fn hosts_get_the_bytes_from_the_cache_and_not_from_this_machine() {
    let fleet = Fleet::new(4, |_| Answer::Serve);
    let name = fixture_name("large");
    fleet.set_profiles(&name);
    let packages = (0..5).map(|number| format!("{name}-{number}")).collect::<Vec<_>>();
    fleet.fixture.edit(|facts| facts["packages"] = json!(packages));
    let links = || fleet.machines.iter().map(|machine| machine.received_bytes()).sum::<u64>();
    let before = links();
    let result = fleet.deploy(&["--json"]).assert_code(0).json();
    let closure = result["cache"]["pushed"]["bytes"].as_u64().expect("a size");
    // The server of the test is on this machine too: what it sent is not what the deploy sent.
    let sent = links() - before - fleet.server.sent();
    assert!(closure >= 20 << 20, "{closure}");
    for copied in copied(&result) {
        // Nix reports no progress of the last bytes of a path.
        assert!(copied["via_cache"]["bytes"].as_u64() >= Some(20 << 20), "{copied}");
    }
    // The handshakes and the questions of ssh, about 30 KB for each host, and no store path.
    assert!(sent / 4 < closure / 100, "{sent} bytes for 4 hosts");
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

/// The store of another machine is the cache. No host of a test reaches another one.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_machine_with_nix_takes_the_push_by_ssh() {
    let fleet = Fleet::new(1, |_| Answer::Serve);
    let nas = Machine::start();
    let host_key = machine::run("base64", &["-w0", &nas.path("host_key.pub").display().to_string()]);
    let key = nas.path("client_key").display().to_string();
    let url = format!("ssh-ng://root@{}?ssh-key={key}&base64-ssh-public-host-key={host_key}", nas.address);
    let result = fleet.deploy_with(&["--via-cache", &url, "--json"]).assert_code(0).json();
    assert!(result["cache"]["pushed"]["paths"].as_u64() > Some(0), "{result}");
    assert_eq!(fallbacks(&result), ["unreachable"], "{result}");
    let signatures = nas.run_inside("NIX_CONF_DIR=/mnt/etc nix path-info --sigs --all");
    let name = fleet.key.split(':').next().expect("a name");
    assert!(signatures.contains(&fixture_name("first")) && signatures.contains(name), "{signatures}");
    fleet.assert_run(&fixture_name("first"));
    // A machine that is switched off is gone.
    nas.run_inside("ip link set eth0 down");
    fleet.set_profiles(&fixture_name("second"));
    let result = fleet.deploy_with(&["--via-cache", &url, "--json"]).assert_code(0).json();
    assert_eq!(fallbacks(&result), ["gone"], "{result}");
    fleet.assert_run(&fixture_name("second"));
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

/// The next deploy would be refused, and only that could mend it.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_system_that_trusts_neither_the_user_nor_the_key_is_warned_of() {
    let mut fixture = Fixture::new();
    fixture.machine = Machine::start_with_user("ALL=(ALL) NOPASSWD: ALL");
    fixture.known_hosts = fixture.machine.write_known_hosts();
    let key = fixture.run(&["identity", "cache-key"]).assert_code(0).stdout.trim().to_owned();
    let name = key.split(':').next().expect("a name");
    let warning = format!(
        "warning: the new system of target would refuse the next deploy: its Nix trusts neither pi nor the cache key {name}\n"
    );
    for (conf, is_warned) in [
        ("trusted-users = root\ntrusted-public-keys = other-1:AA=".to_owned(), true),
        (format!("trusted-users = root\ntrusted-public-keys = other-1:AA= {key}"), false),
        ("trusted-users = root pi".to_owned(), false),
        ("trusted-users = root @wheel".to_owned(), false),
    ] {
        let system = fixture_name("system");
        fixture.set_profile("keyed", ":");
        fixture.edit(|facts| facts["nixConf"] = conf.as_str().into());
        fixture.set_nixos(&system, &system);
        fixture.edit(|facts| facts["hosts"]["target"]["node"]["sshUser"] = json!("pi"));
        let outcome = fixture.deploy(&["--dry-run"]);
        assert_eq!(outcome.assert_code(0).stderr.contains(&warning), is_warned, "{conf}: {}", outcome.stderr);
    }
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
