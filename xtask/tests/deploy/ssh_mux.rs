//! The shared ssh connection, and hosts and users without it.

use std::fs;

use crate::fixture::Fixture;
use crate::machine;

/// The command lines of the ssh processes that have a socket in the state folder of the fixture; empty without any.
fn ssh_processes(fixture: &Fixture) -> String {
    let state = fixture.sandbox.path("state").display().to_string();
    let processes = machine::run("ps", &["-eo", "args"]);
    processes.lines().filter(|line| line.starts_with("ssh") && line.contains(&state)).collect()
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_deploy_works_with_a_state_folder_with_spaces() {
    let mut fixture = Fixture::new();
    let state = fixture.sandbox.path("my state");
    fixture.sandbox.env("XTASK_STATE", state);
    for name in ["one", "two"] {
        fixture.set_profile(name, ":");
        fixture.deploy(&[]).assert_code(0);
        fixture.assert_runs(name);
    }
}

/// Lets the host's sshd allow one session in a connection, from its next start on, which this begins.
pub fn allow_one_session(fixture: &Fixture) {
    let file = fixture.machine.path("sshd_config");
    let settings = fs::read_to_string(&file).expect("the settings of sshd");
    fs::write(&file, format!("MaxSessions 1\n{settings}")).expect("writing the settings of sshd");
    fixture.machine.run_inside("pkill -x sshd");
}

/// The session of the master connection is the only one that the host's sshd allows.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_that_allows_one_session_is_deployed_to_without_sharing() {
    let fixture = Fixture::new();
    allow_one_session(&fixture);
    for name in ["one", "two"] {
        fixture.set_profile(name, ":");
        fixture.deploy(&["--wait"]).assert_code(0);
        fixture.assert_runs(name);
    }
}

/// The user's ssh settings keep shared connections open; no connection of the tool stays open.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn no_connection_of_the_tool_stays_open_whatever_the_settings_of_the_user() {
    let fixture = Fixture::new();
    let config = fixture.sandbox.path("config");
    let user_socket = fixture.sandbox.path("own-%C");
    let settings = format!("ControlMaster auto\nControlPath {}\nControlPersist 30\n", user_socket.display());
    fs::write(&config, settings).expect("writing the settings of ssh");
    let mut options = fixture.machine.ssh_options(&fixture.known_hosts);
    // The options begin with `-F` and the file of settings.
    options[1] = config.display().to_string();
    fixture.add_host("target", &fixture.machine.address, &options, "one", ":");
    fixture.deploy(&[]).assert_code(0);
    fixture.assert_runs("one");
    assert_eq!(ssh_processes(&fixture), "");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn the_master_connection_is_a_child_that_ends() {
    let fixture = Fixture::new();
    fixture.set_profile("good", ":");
    let outcome = fixture.deploy(&["--json", "-v"]);
    let events = outcome.assert_code(0).events();
    let master = events.iter().find(|event| event["argv"].to_string().contains("ControlMaster=yes"));
    let master = &master.expect("a master connection")["child"];
    let is_end = |event: &&serde_json::Value| event["event"] == "child_ended" && event["child"] == *master;
    assert_eq!(events.iter().filter(is_end).count(), 1, "{outcome:?}");
}
