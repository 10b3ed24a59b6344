//! `sd-image`: the host that is built, the output, and interrupts.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fake_build::{SD_IMAGE, build_with_files, installable};
use crate::fake_nix::{Answers, FLAKE, fails, prints};
use crate::support::Sandbox;

#[test]
fn sd_image_prints_only_the_path() {
    let (answers, out) = build_with_files(&["nixos-sd-image-stinky.img.zst", "notes.txt"]);
    let nix = answers.install();
    let outcome = nix.run(&[&SD_IMAGE[..], &["--", "--max-jobs", "2"]].concat());
    let file = out.path().join("sd-image/nixos-sd-image-stinky.img.zst");
    outcome.assert_code(0).assert_stdout(format!("{}\n", file.display()));
    let lines = outcome.stderr.lines().collect::<Vec<_>>();
    assert_eq!(lines[..2], ["            building image", "warning: Git tree '/f' is dirty"]);
    assert!(lines[2].starts_with("     build  1 step in "), "{lines:?}");
    assert!(
        lines[3].starts_with("nixos-sd-image-stinky.img.zst: 4.9 KiB, 19 B compressed, in "),
        "{lines:?}"
    );
    let build = ["build", "--json", "--no-link", "--log-format", "internal-json", &installable()].join(" ");
    assert_eq!(
        nix.nix_calls(),
        [
            "--version",
            &format!("{build} --max-jobs 2"),
            "config show --json",
            "eval --json github:o/f#deploy --apply deploy: builtins.attrNames (deploy.nodes or { })",
            "eval --json github:o/f#packages --apply builtins.mapAttrs (_: builtins.attrNames)",
        ]
    );
}

#[test]
fn sd_image_prints_json() {
    let (answers, out) = build_with_files(&["a.img.zst"]);
    let outcome = answers.install().run(&[&["--json"], &SD_IMAGE[..]].concat());
    let result: Value = serde_json::from_str(&outcome.assert_code(0).stdout).expect("JSON");
    assert_eq!(result["path"], out.path().join("sd-image/a.img.zst").display().to_string());
    assert_eq!((&result["size"], &result["stored"]), (&5000.into(), &19.into()));
    let mut events = outcome.stderr.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    let names = events.by_ref().map(|event| event["event"].as_str().expect("a name").to_owned());
    let expected = ["phase", "over", "phase", "step", "progress", "progress", "warning", "done"];
    assert_eq!(names.collect::<Vec<_>>(), expected);
}

#[test]
fn a_host_without_an_image_is_a_usage_error() {
    for (host, message) in [
        ("stniky", "github:o/f has no host 'stniky' (hosts: server, stinky)\nhint: did you mean 'stinky'?"),
        ("octopus", "github:o/f has no host 'octopus' (hosts: server, stinky)"),
        (
            "server",
            "host 'server' has no SD image, only a deploy node\n\
             hint: add packages.<system>.server-sdImage to the flake, or run `cargo xtask deploy server`",
        ),
    ] {
        let nix = Answers { deploy: prints(r#"["server"]"#), ..Answers::default() }.install();
        let outcome = nix.run(&["--flake", FLAKE, "sd-image", host]);
        outcome.assert_code(2).assert_stdout("").assert_stderr(format!("error: {message}\n"));
    }
    let empty = Answers { packages: prints("{}"), deploy: prints("[]"), ..Answers::default() };
    let outcome = empty.install().run(&SD_IMAGE);
    let lines = "error: github:o/f has no hosts\n\
                 hint: add packages.<system>.<host>-sdImage or deploy.nodes.<host> to the flake\n";
    outcome.assert_code(2).assert_stdout("").assert_stderr(lines);
}

#[test]
fn broken_nodes_do_not_stop_a_build() {
    let (answers, _out) = build_with_files(&["a.img"]);
    Answers { deploy: fails("error: no nodes today"), ..answers }.install().run(&SD_IMAGE).assert_code(0);
}

#[test]
fn paths_in_nix_arguments_are_relative_to_the_working_directory() {
    let (answers, _out) = build_with_files(&["a.img"]);
    let build = format!("echo linked >here\n{}", answers.build);
    let nix = Answers { build, ..Answers::default() }.install();
    let user = nix.path("home");
    let args = [&SD_IMAGE[..], &["--", "--out-link", "here"]].concat();
    nix.xtask(&args).current_dir(&user).run().assert_code(0);
    assert_eq!(std::fs::read_to_string(user.join("here")).expect("nix ran in the folder"), "linked\n");
}

#[test]
fn an_output_without_exactly_one_image_is_an_error() {
    for (names, error) in
        [(&[][..], "there is no image in"), (&["a.img", "b.img.zst"], "there is more than one image in")]
    {
        let (answers, out) = build_with_files(names);
        let outcome = answers.install().run(&SD_IMAGE);
        outcome.assert_stderr_contains(format!("error: {error} {}\n", out.path().join("sd-image").display()));
        outcome.assert_code(1).assert_stdout("");
    }
    let absent = prints(r#"[{"outputs":{"out":"/nix/store/absent"}}]"#);
    let outcome = Answers { build: absent, ..Answers::default() }.install().run(&SD_IMAGE);
    outcome.assert_stderr_contains(
        "error: the build made no SD image: there is no folder /nix/store/absent/sd-image",
    );
    let none = prints(r#"[{"outputs":{"out":null}}]"#);
    let outcome = Answers { build: none, ..Answers::default() }.install().run(&SD_IMAGE);
    outcome.assert_stderr_contains("nix build printed no output 'out'").assert_code(1);
}

/// Sends SIGTERM to the tool while nix runs an endless script, and asserts `stderr`. `answers` puts the
/// script in place of an answer.
#[track_caller]
fn assert_stops(answers: impl FnOnce(String) -> Answers, stderr: &str) {
    let nix = Sandbox::with_fakes_only();
    let started = nix.path("started");
    let ended = nix.path("ended");
    let endless = format!(
        "trap 'touch {}; exit 1' INT; touch {}; while :; do sleep 0.05; done",
        ended.display(),
        started.display()
    );
    let nix = answers(endless).install_in(nix);
    let child = nix.command(&SD_IMAGE).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.expect("starting the binary");
    let start = Instant::now();
    while !started.exists() {
        assert!(start.elapsed() < Duration::from_secs(20), "nix did not start");
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("asking it to stop");
    let output = child.wait_with_output().expect("waiting for the binary");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(130), &b""[..]));
    assert!(ended.exists());
    assert_eq!(String::from_utf8_lossy(&output.stderr), stderr);
}

#[test]
fn sigterm_interrupts_nix_and_waits_for_it() {
    assert_stops(
        |packages| Answers { packages, ..Answers::default() },
        "error: stopped while nix evaluated the flake; nothing was changed\n",
    );
    assert_stops(
        |build| Answers { build, ..Answers::default() },
        "error: stopped before the build was complete\nhint: run the command again to continue: only finished parts \
         are left, and the next run uses them\n",
    );
}
