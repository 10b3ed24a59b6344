//! `status` of real hosts.

use std::fs;

use serde_json::Value;

use crate::fixture::Fixture;
use crate::machine;

/// Runs `status --json ARGS`, asserts its exit code, and returns its result.
fn status_json(fixture: &Fixture, args: &[&str], code: i32) -> Value {
    let outcome = fixture.run(&[&["--json", "status"], args].concat());
    outcome.assert_code(code).json()["hosts"].take()
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn status_shows_the_state_of_a_host() {
    let fixture = Fixture::new();
    fixture.set_profile("old-profile", ":");
    fixture.set_nixos("old", "old");
    fixture.deploy(&["--reboot"]).assert_code(0);
    let table = fixture.run(&["status"]);
    let line = table.assert_code(0).stdout.lines().nth(1).expect("a row").to_owned();
    assert!(line.starts_with("target  current  current  -  "), "{line}");
    // A deploy that is done has its day alone.
    let day = line.split(" deployed ").nth(1).unwrap_or_default();
    assert!(day.starts_with("20") && day.len() == "2026-11-30".len(), "{line}");
    fixture.set_profile("new-profile", ":");
    fixture.set_nixos("new", "new");
    fixture.edit(|facts| facts["kernel"] = "linux-6.2".into());
    assert_eq!(status_json(&fixture, &["target"], 0)[0]["current"], false);
    fixture.deploy(&["--dry-run"]).assert_code(0);
    let status = status_json(&fixture, &[], 0);
    let names =
        status[0]["diff"]["packages"].as_array().expect("packages").iter().map(|package| &package["name"]);
    assert_eq!(names.collect::<Vec<_>>(), ["linux", "new", "old"]);
    fixture.deploy(&[]).assert_code(0);
    let pending = fixture.run(&["status"]);
    pending.assert_code(0).assert_stderr_contains(" deploy target --reboot\n  starts what was deployed\n");
    fs::write(fixture.machine.path("failed-units"), "a.service loaded failed failed A\n").expect("writing");
    let status = &status_json(&fixture, &[], 0)[0];
    assert_eq!((&status["current"], &status["reboot_pending"]), (&true.into(), &true.into()));
    assert_eq!(status["failed_units"][0], "a.service");
    let ill = fixture.run(&["status"]);
    ill.assert_code(0).assert_stderr_contains(" systemctl status --failed\n  shows why units have failed\n");
    assert!(status["free_bytes"].as_u64().is_some_and(|free| free > 0), "{status}");
}

/// On a dying card the file system meets an error, and the kernel makes the file system read-only.
#[test]
#[ignore = "needs root, network namespaces, loop devices, Nix, deploy-rs: run `cargo xtask test`"]
fn status_shows_a_file_system_that_became_read_only() {
    let fixture = Fixture::new();
    fixture.set_profile("one", ":");
    fixture.deploy(&[]).assert_code(0);
    // The kernel detaches the loop device when the host and its mounts are gone.
    let device = fixture.machine.run_inside(
        "truncate -s 8M /tmp/card && mkfs.ext4 -q /tmp/card && mkdir /tmp/mounted
         mount -o loop,errors=remount-ro /tmp/card /tmp/mounted && findmnt --noheadings --output SOURCE /tmp/mounted",
    );
    let is_read_only = |status: &Value| {
        status[0]["read_only"].as_array().expect("an array").contains(&device.as_str().into())
    };
    assert!(!is_read_only(&status_json(&fixture, &[], 0)), "{device}");
    let name = device.trim_start_matches("/dev/");
    fixture.machine.run_inside(&format!("echo x >/sys/fs/ext4/{name}/trigger_fs_error"));
    let status = status_json(&fixture, &[], 0);
    assert!(is_read_only(&status), "{device}: {status}");
    let warning = format!("{device} of target is mounted read-only, as the kernel does after an error\n");
    fixture.run(&["status"]).assert_stderr_contains(&warning).assert_code(0);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn hosts_that_are_off_are_queried_in_parallel() {
    let mut fixture = Fixture::new();
    fixture.options = ["-o", "ConnectTimeout=1"].map(str::to_owned).to_vec();
    fixture.set_profile("one", ":");
    // The host has no route, so that nothing answers.
    fixture.machine.run_inside("ip route flush table main");
    let options = [fixture.machine.ssh_options(&fixture.known_hosts), fixture.options.clone()].concat();
    for host in ["off1", "off2", "off3"] {
        fixture.add_host(host, &fixture.machine.address, &options, "one", ":");
    }
    // Each ssh process waits until those of the other hosts have started.
    let started = fixture.sandbox.path("started").display().to_string();
    let ssh = machine::real_program("ssh");
    fixture.sandbox.fake(
        "ssh",
        &format!(
            r#"echo >>{started}; turns=0
            while [ "$(wc -l <{started})" -lt 4 ] && [ $turns -lt 300 ]; do sleep 0.1; turns=$((turns + 1)); done
            [ $turns -lt 300 ] || touch {started}-alone
            exec {ssh} "$@""#
        ),
    );
    let status = status_json(&fixture, &[], 12);
    let hosts = status.as_array().expect("an array");
    assert!(hosts.len() == 4 && hosts.iter().all(|host| host["reachable"] == false), "{status}");
    assert!(!fixture.sandbox.path("started-alone").exists(), "a host was queried without the others");
}
