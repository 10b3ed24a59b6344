//! `sd-image`: the built host, the output, and the state after an interrupt.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fake_build::{STINKY, giving, installable};
use crate::fake_nix::{Answers, FLAKE, fails, prints};
use crate::support::Sandbox;

#[test]
fn the_path_is_the_only_result() {
    let (answers, out) = giving(&["nixos-sd-image-stinky.img.zst", "notes.txt"]);
    let nix = answers.install();
    let outcome = nix.run(&[&STINKY[..], &["--", "--max-jobs", "2"]].concat());
    let file = out.path().join("sd-image/nixos-sd-image-stinky.img.zst");
    outcome.assert_code(0).assert_stdout(format!("{}\n", file.display()));
    let story = outcome.stderr.lines().collect::<Vec<_>>();
    assert_eq!(story[..2], ["            building image", "warning: Git tree '/f' is dirty"]);
    assert!(story[2].starts_with("     build  1 step in "), "{story:?}");
    assert!(
        story[3].starts_with("nixos-sd-image-stinky.img.zst: 4.9 KiB, 19 B compressed, in "),
        "{story:?}"
    );
    let build = ["build", "--json", "--no-link", "--log-format", "internal-json", &installable()].join(" ");
    assert_eq!(
        nix.asked(),
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
fn json() {
    let (answers, out) = giving(&["a.img.zst"]);
    let outcome = answers.install().run(&[&["--json"], &STINKY[..]].concat());
    let result: Value = serde_json::from_str(&outcome.assert_code(0).stdout).expect("JSON");
    assert_eq!(result["path"], out.path().join("sd-image/a.img.zst").display().to_string());
    assert_eq!((&result["size"], &result["stored"]), (&5000.into(), &19.into()));
    let mut events = outcome.stderr.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    let names = events.by_ref().map(|event| event["event"].as_str().expect("a name").to_owned());
    let expected = ["phase", "over", "phase", "step", "progress", "progress", "warning", "done"];
    assert_eq!(names.collect::<Vec<_>>(), expected);
}

#[test]
fn hosts_that_have_no_image() {
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
    let outcome = empty.install().run(&STINKY);
    let lines = "error: github:o/f has no hosts\n\
                 hint: add packages.<system>.<host>-sdImage or deploy.nodes.<host> to the flake\n";
    outcome.assert_code(2).assert_stdout("").assert_stderr(lines);
}

#[test]
fn broken_nodes_do_not_matter() {
    let (answers, _out) = giving(&["a.img"]);
    Answers { deploy: fails("error: no nodes today"), ..answers }.install().run(&STINKY).assert_code(0);
}

#[test]
fn paths_among_the_arguments_of_nix_are_those_of_the_user() {
    let (answers, _out) = giving(&["a.img"]);
    let build = format!("echo linked >here\n{}", answers.build);
    let nix = Answers { build, ..Answers::default() }.install();
    let user = nix.path("home");
    let args = [&STINKY[..], &["--", "--out-link", "here"]].concat();
    nix.xtask(&args).current_dir(&user).run().assert_code(0);
    assert_eq!(std::fs::read_to_string(user.join("here")).expect("nix ran in the folder"), "linked\n");
}

#[test]
fn an_output_without_its_image() {
    for (names, says) in
        [(&[][..], "there is no image in"), (&["a.img", "b.img.zst"], "there is more than one image in")]
    {
        let (answers, out) = giving(names);
        let outcome = answers.install().run(&STINKY);
        outcome.assert_stderr_contains(format!("error: {says} {}\n", out.path().join("sd-image").display()));
        outcome.assert_code(1).assert_stdout("");
    }
    let absent = prints(r#"[{"outputs":{"out":"/nix/store/absent"}}]"#);
    let outcome = Answers { build: absent, ..Answers::default() }.install().run(&STINKY);
    outcome.assert_stderr_contains(
        "error: the build made no SD image: there is no folder /nix/store/absent/sd-image",
    );
    let none = prints(r#"[{"outputs":{"out":null}}]"#);
    let outcome = Answers { build: none, ..Answers::default() }.install().run(&STINKY);
    outcome.assert_stderr_contains("nix build printed no output 'out'").assert_code(1);
}

/// A nix that does what `answers` makes of an endless script is asked to stop, and the binary `says` so.
#[track_caller]
fn check_stop(answers: impl FnOnce(String) -> Answers, says: &str) {
    let nix = Sandbox::with_fakes_only();
    let (begun, ended) = (nix.path("begun"), nix.path("ended"));
    let endless = format!(
        "trap 'touch {}; exit 1' INT; touch {}; while :; do sleep 0.05; done",
        ended.display(),
        begun.display()
    );
    let nix = answers(endless).install_in(nix);
    let child = nix.command(&STINKY).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.expect("starting the binary");
    let patience = Instant::now();
    while !begun.exists() {
        assert!(patience.elapsed() < Duration::from_secs(20), "nix does not begin");
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("asking it to stop");
    let output = child.wait_with_output().expect("waiting for the binary");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(130), &b""[..]));
    assert!(ended.exists());
    assert_eq!(String::from_utf8_lossy(&output.stderr), says);
}

#[test]
fn a_request_to_stop_is_passed_on_and_waited_for() {
    check_stop(
        |packages| Answers { packages, ..Answers::default() },
        "error: stopped while nix evaluated the flake; nothing was changed\n",
    );
    check_stop(
        |build| Answers { build, ..Answers::default() },
        "error: stopped before the build was complete\nhint: run the command again to continue: only finished parts \
         are left, and the next run uses them\n",
    );
}
