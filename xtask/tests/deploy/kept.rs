//! Connections that `status` keeps open, and hosts that change meanwhile.

use std::fs;
use std::time::Duration;

use crate::fixture::Fixture;
use crate::machine;
use crate::support::Outcome;
use crate::support::xtask::SignalTo;

/// A host that runs the profile `one`.
fn deployed() -> Fixture {
    let fixture = Fixture::new();
    fixture.set_profile("one", ":");
    fixture.deploy(&[]).assert_code(0);
    fixture
}

/// Runs `status` that keeps connections for a minute.
fn keep(fixture: &Fixture) -> Outcome {
    fixture.run(&["--json", "status", "--keep-connections=60"])
}

/// How often the log of the host's sshd has `text`.
fn count_in_log(fixture: &Fixture, text: &str) -> usize {
    let log = fs::read_to_string(fixture.machine.path("log")).expect("the log of sshd");
    log.matches(text).count()
}

/// Lets `act` end the host's sshd, and waits for the next one.
fn restart_sshd(fixture: &Fixture, act: impl FnOnce()) {
    let count = || count_in_log(fixture, "Server listening on 0.0.0.0 port 2222");
    let before = count();
    act();
    while count() == before {
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Asserts how many logins the host's sshd accepts while `act` runs.
#[track_caller]
fn assert_logins<T>(fixture: &Fixture, expected: usize, act: impl FnOnce() -> T) -> T {
    let count = || count_in_log(fixture, "Accepted publickey for ");
    let before = count();
    let returned = act();
    assert_eq!(count() - before, expected);
    returned
}

/// The process ids of the connections that are kept.
fn masters(fixture: &Fixture) -> Vec<String> {
    let folder = fixture.sandbox.path("state/kept").display().to_string();
    let processes = machine::run("ps", &["-eo", "pid,args"]);
    let masters = processes.lines().filter(|line| line.contains(&folder) && line.ends_with("[mux]"));
    masters.filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect()
}

/// Waits until no connection is kept.
fn wait_for_the_end_of_masters(fixture: &Fixture) {
    while !masters(fixture).is_empty() {
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Ends the connections that are kept.
fn end(fixture: &Fixture) -> Outcome {
    let outcome = fixture.run(&["status", "--keep-connections=0"]);
    wait_for_the_end_of_masters(fixture);
    outcome
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_connection_is_kept_for_the_next_status_and_for_nothing_else() {
    let fixture = deployed();
    assert_logins(&fixture, 1, || {
        for _ in 0..3 {
            assert_eq!(keep(&fixture).assert_code(0).json()["hosts"][0]["current"], true);
        }
        // What the host runs is read anew.
        fixture.set_profile("two", ":");
        assert_eq!(keep(&fixture).assert_code(0).json()["hosts"][0]["current"], false);
    });
    assert_eq!(masters(&fixture).len(), 1);
    assert_logins(&fixture, 1, || fixture.run(&["status"])).assert_code(0);
    // The questions, the confirmation, and the proof.
    assert_logins(&fixture, 3, || fixture.deploy(&[])).assert_code(0);
    fixture.assert_runs("two");
    end(&fixture).assert_stderr_contains("1 kept connection was ended\n").assert_code(0);
    assert_eq!(fs::read_dir(fixture.sandbox.path("state/kept")).expect("a folder").count(), 0);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_connection_ends_when_its_time_is_over() {
    let mut fixture = deployed();
    fixture.sandbox.env("XTASK_KEEP_CONNECTIONS", "1");
    for _ in 0..2 {
        assert_logins(&fixture, 1, || fixture.run(&["status"])).assert_code(0);
        wait_for_the_end_of_masters(&fixture);
    }
}

/// A running ssh cannot be given another time: the one that is there serves, with its own.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_connection_serves_whatever_its_time() {
    let mut fixture = deployed();
    assert_logins(&fixture, 1, || {
        keep(&fixture).assert_code(0);
        for option in ["--keep-connections=30", "--keep-connections", "--keep-connections=86400"] {
            fixture.run(&["status", option]).assert_code(0);
        }
    });
    fixture.sandbox.env("XTASK_KEEP_CONNECTIONS", "90");
    assert_logins(&fixture, 0, || fixture.run(&["status"])).assert_code(0);
    assert_eq!(masters(&fixture).len(), 1);
    end(&fixture).assert_stderr_contains("1 kept connection was ended\n").assert_code(0);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_connection_that_is_lost_is_made_anew() {
    let fixture = deployed();
    keep(&fixture).assert_code(0);
    let kill_masters = || {
        for master in masters(&fixture) {
            machine::run("kill", &["-KILL", &master]);
        }
    };
    let restart = || restart_sshd(&fixture, || drop(fixture.machine.run_inside("pkill -x sshd")));
    // Such a host takes what it is sent over that connection, and answers nothing.
    let freeze = || drop(fixture.machine.run_inside("pkill -STOP -f '^sshd: root'"));
    let faults: [(&str, &dyn Fn()); 3] =
        [("restart", &restart), ("freeze", &freeze), ("kill", &kill_masters)];
    for (fault, make) in faults {
        make();
        assert_logins(&fixture, 1, || {
            for _ in 0..2 {
                assert_eq!(keep(&fixture).assert_code(0).json()["hosts"][0]["current"], true, "{fault}");
            }
        });
    }
    end(&fixture).assert_code(0);
}

/// Neither the kept connection nor a new one is waited for as long as ssh would wait.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_that_is_gone_is_named_and_loses_its_connection() {
    let fixture = deployed();
    keep(&fixture).assert_code(0);
    fixture.machine.run_inside("ip link set eth0 down");
    assert_eq!(keep(&fixture).assert_code(12).json()["hosts"][0]["reachable"], false);
    wait_for_the_end_of_masters(&fixture);
    fixture.machine.run_inside("ip link set eth0 up");
    assert_logins(&fixture, 1, || keep(&fixture)).assert_code(0);
    end(&fixture).assert_code(0);
}

/// Another key, user, option or address would not be asked of a connection that was made with the old one.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_connection_is_of_use_only_where_ssh_would_make_the_same_one() {
    let mut fixture = deployed();
    keep(&fixture).assert_code(0);
    fixture.options = ["-o", "ServerAliveInterval=7"].map(str::to_owned).to_vec();
    fixture.set_profile("one", ":");
    assert_logins(&fixture, 1, || keep(&fixture)).assert_code(0);
    fixture.run(&["status", "--keep-connections=60", "target", "--to", "nobody@127.0.0.1"]).assert_code(12);
    // The host is known by another key than the one of the kept connection.
    let key = fs::read_to_string(fixture.machine.path("client_key.pub")).expect("a key");
    let known_hosts = fixture.known_hosts.clone();
    fs::write(known_hosts, format!("{} {key}", fixture.machine.address)).expect("writing known_hosts");
    keep(&fixture).assert_code(13);
    assert_eq!(masters(&fixture).len(), 2);
    end(&fixture).assert_stderr_contains("2 kept connections were ended\n").assert_code(13);
}

/// An sshd that allows one session has it for the question.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_that_allows_one_session_is_asked_over_a_kept_connection() {
    let fixture = deployed();
    restart_sshd(&fixture, || crate::ssh_mux::allow_one_session(&fixture));
    assert_logins(&fixture, 1, || {
        for _ in 0..2 {
            keep(&fixture).assert_code(0);
        }
    });
    end(&fixture).assert_code(0);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_state_folder_in_which_ssh_takes_no_socket_keeps_no_connection() {
    let mut fixture = deployed();
    let state = fixture.sandbox.path("my state");
    fixture.sandbox.env("XTASK_STATE", state);
    let outcome = fixture.run(&["status", "--keep-connections"]);
    outcome.assert_stderr_contains("no connection is kept: ssh takes no socket in ").assert_code(0);
}

/// The jump is made for the connection alone, and ends with it.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_host_behind_another_is_asked_over_a_kept_connection() {
    let fixture = deployed();
    let config = fixture.sandbox.path("config");
    let [key, known_hosts] = [fixture.machine.path("client_key"), fixture.known_hosts.clone()];
    let settings = format!(
        "IdentityFile {}\nUserKnownHostsFile {}\nStrictHostKeyChecking yes\n",
        key.display(),
        known_hosts.display()
    );
    fs::write(&config, settings).expect("writing the settings of ssh");
    let alias = format!("HostKeyAlias={}", fixture.machine.address);
    let config_name = config.display().to_string();
    let options = ["-F", &config_name, "-J", &fixture.login(), "-o", &alias].map(str::to_owned);
    // Behind the jump the host is reached by another address.
    fixture.add_host("target", "127.0.0.1", &options, "one", ":");
    // The jump and the host.
    assert_logins(&fixture, 2, || {
        for _ in 0..2 {
            keep(&fixture).assert_code(0);
        }
    });
    fixture.machine.run_inside("pkill -STOP -f '^sshd: root'");
    assert_logins(&fixture, 2, || keep(&fixture)).assert_code(0);
    end(&fixture).assert_code(0);
    while machine::run("ps", &["-eo", "args"]).contains(&config_name) {
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Nothing answers, so that the tool waits for the connection that it makes.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn an_interrupt_leaves_no_connection_that_is_being_made() {
    let fixture = deployed();
    fixture.machine.run_inside("pkill -STOP -x -o sshd");
    let flake = fixture.flake();
    let args = ["--flake", &flake, "status", "--keep-connections"];
    let state = fixture.sandbox.path("state/kept").display().to_string();
    let is_ready = || machine::run("ps", &["-eo", "args"]).lines().any(|line| line.contains(&state));
    let outcome = fixture.sandbox.xtask(&args).interrupt_once(is_ready, SignalTo::Group);
    outcome.assert_code(130);
    assert!(!is_ready());
    assert_eq!(fs::read_dir(state).expect("a folder").count(), 0);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_connection_that_does_not_answer_is_not_called_ended() {
    let fixture = deployed();
    keep(&fixture).assert_code(0);
    let masters = masters(&fixture);
    let [master] = &masters[..] else { panic!("{masters:?}") };
    machine::run("kill", &["-STOP", master]);
    let outcome = fixture.run(&["status", "--keep-connections=0"]);
    machine::run("kill", &["-KILL", master]);
    outcome
        .assert_stderr_contains("warning: 1 kept connection does not answer: it ends by itself")
        .assert_code(0);
    assert!(!outcome.stderr.contains("ended"), "{}", outcome.stderr);
}
