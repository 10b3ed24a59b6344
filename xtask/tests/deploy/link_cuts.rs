//! Cuts of the link to the host during a deploy: the host then runs either the old or the new system, as the verdict
//! reports, and the next deploy succeeds.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::Duration;

use crate::fixture::Fixture;

/// A cut of the link: begins `delay_ms` milliseconds after the tool printed `marker`, and lasts `duration_ms`
/// milliseconds.
struct Cut {
    marker: &'static str,
    delay_ms: u64,
    duration_ms: u64,
}

const COPY: &str = r#""name":"copy""#;
const SWITCH: &str = "Activating profile `";
const CONFIRM: &str = "attempting to confirm activation";
/// A duration in milliseconds that is shorter than the time that the host waits for the confirmation.
const SHORT: u64 = 900;
/// A duration in milliseconds that is longer than the time that the host waits for the confirmation.
const LONG: u64 = 5500;

const fn cut(marker: &'static str, delay_ms: u64, duration_ms: u64) -> Cut {
    Cut { marker, delay_ms, duration_ms }
}

/// The cuts, in groups that run in parallel, each with a host of its own.
const CUTS: &[&[Cut]] = &[
    &[
        cut(COPY, 0, SHORT),
        cut(COPY, 150, LONG),
        cut(COPY, 300, SHORT),
        cut(COPY, 450, LONG),
        cut(COPY, 700, LONG),
        cut(COPY, 1000, SHORT),
    ],
    &[
        cut(SWITCH, 0, SHORT),
        cut(SWITCH, 0, LONG),
        cut(SWITCH, 150, LONG),
        cut(SWITCH, 250, SHORT),
        cut(SWITCH, 350, LONG),
        cut(SWITCH, 450, LONG),
    ],
    &[
        cut(SWITCH, 600, SHORT),
        cut(SWITCH, 800, LONG),
        cut(SWITCH, 1000, LONG),
        cut(SWITCH, 1200, LONG),
        cut(SWITCH, 1400, SHORT),
        cut(SWITCH, 1600, LONG),
    ],
    &[
        cut(CONFIRM, 0, LONG),
        cut(CONFIRM, 0, SHORT),
        cut(CONFIRM, 40, LONG),
        cut(CONFIRM, 80, LONG),
        cut(CONFIRM, 120, SHORT),
        cut(CONFIRM, 200, LONG),
    ],
];

/// Deploys while the link is cut. Returns the exit code and the output of the tool.
fn deploy_with_cut(fixture: &Fixture, cut: &Cut) -> (i32, String) {
    let mut command = fixture.sandbox.command(&["--json", "--flake", &fixture.flake(), "deploy", "target"]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("running the binary");
    let mut output = String::new();
    std::thread::scope(|scope| {
        let mut is_pending = true;
        for line in BufReader::new(child.stderr.take().expect("stderr is a pipe")).lines() {
            let line = line.expect("reading stderr");
            if is_pending && line.contains(cut.marker) {
                is_pending = false;
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_millis(cut.delay_ms));
                    fixture.machine.run_inside("ip link set eth0 down");
                    std::thread::sleep(Duration::from_millis(cut.duration_ms));
                    fixture.machine.run_inside("ip link set eth0 up");
                });
            }
            output.extend([line.as_str(), "\n"]);
        }
        assert!(!is_pending, "not printed: {}\n{output}", cut.marker);
    });
    child.stdout.take().expect("stdout is a pipe").read_to_string(&mut output).expect("reading stdout");
    (child.wait().expect("waiting for the binary").code().unwrap_or(-1), output)
}

/// Deploys without a cut. The host waits 120 s for the confirmation, because a busy machine confirms late. The tool
/// waits for the host: for a moment after a cut, the kernel knows no route to it.
#[track_caller]
fn deploy_without_a_cut(fixture: &Fixture) {
    fixture.deploy(&["--wait=10", "--", "--confirm-timeout", "120"]).assert_code(0);
}

/// Asserts for each of the `cuts` that the host runs the system that the tool reports.
#[track_caller]
fn assert_host_survives(cuts: &[Cut]) {
    let mut fixture = Fixture::new();
    fixture.options =
        ["-o", "ConnectTimeout=2", "-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2"]
            .map(str::to_owned)
            .to_vec();
    fixture.set_profile("old", ":");
    deploy_without_a_cut(&fixture);
    for (number, cut) in cuts.iter().enumerate() {
        let old = format!("old{number}");
        let new = format!("new{number}");
        fixture.set_profile(&old, ":");
        deploy_without_a_cut(&fixture);
        fixture.set_profile(&new, "sleep 1");
        let (code, output) = deploy_with_cut(&fixture, cut);
        fixture.machine.wait_for_the_end_of_activations();
        let systems = ["/run/current-system", "/nix/var/nix/profiles/system"]
            .map(|link| fixture.machine.run_inside(&format!("readlink -f {link}")));
        let reported_system = match code {
            0 => &new,
            // 12: the link broke before anything was changed.
            1 | 10 | 12 => &old,
            _ => panic!("{} + {} ms: exit code {code}\n{output}", cut.marker, cut.delay_ms),
        };
        let is_as_reported = systems.iter().all(|path| path.ends_with(&format!("-{reported_system}")));
        assert!(
            is_as_reported,
            "{} + {} ms: exit code {code}, and the host has {systems:?}\n{output}",
            cut.marker, cut.delay_ms
        );
        deploy_without_a_cut(&fixture);
        fixture.assert_runs(&new);
    }
}

/// The groups run in parallel, because most of the time is spent waiting for hosts.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_cut_link_leaves_the_host_with_the_old_or_the_new_system() {
    std::thread::scope(|scope| {
        for cuts in CUTS {
            scope.spawn(|| assert_host_survives(cuts));
        }
    });
}
