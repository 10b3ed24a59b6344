//! `sd-image` on what each Nix says about a build.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::fake_nix::{Answers, FLAKE, config, fails, prints, system};
use crate::support::Sandbox;

const STINKY: [&str; 4] = ["--flake", FLAKE, "sd-image", "stinky"];

/// The installable of the host's image.
fn installable() -> String {
    format!("{FLAKE}#packages.{}.stinky-sdImage", system())
}

/// One line of internal JSON, as a piece of shell script.
fn event(json: &str) -> String {
    format!("{} >&2\n", prints(&format!("@nix {json}")))
}

/// A build that says `events` and fails.
fn failing(events: &[&str]) -> Answers {
    let said = events.iter().map(|json| event(json)).collect::<String>();
    Answers { build: format!("{said}exit 1"), ..Answers::default() }
}

/// A failing build whose error is `text`.
fn failing_with(text: &str) -> Answers {
    let message = serde_json::json!({"action": "msg", "level": 0, "msg": format!("error: {text}")});
    failing(&[&message.to_string()])
}

/// A build whose output has the files `names` in `sd-image/`.
fn giving(names: &[&str]) -> (Answers, TempDir) {
    let out = tempfile::tempdir().expect("making the output");
    let dir = out.path().join("sd-image");
    std::fs::create_dir(&dir).expect("making the output");
    for name in names {
        let image = zstd::bulk::compress(&[0; 5000], 1).expect("compressing");
        std::fs::write(dir.join(name), image).expect("writing an image");
    }
    let events = [
        r#"{"action":"start","id":1,"type":104}"#,
        r#"{"action":"start","id":2,"type":105,"fields":["/nix/store/a-image.drv"]}"#,
        r#"{"action":"result","id":1,"type":105,"fields":[0,1,1,0]}"#,
        r#"{"action":"result","id":2,"type":101,"fields":["a line of the log"]}"#,
        r#"{"action":"msg","level":1,"msg":"warning: Git tree '/f' is dirty"}"#,
    ];
    let built =
        serde_json::json!([{"drvPath": "/nix/store/a-i.drv", "outputs": {"dev": "/x", "out": out.path()}}]);
    let said = events.iter().map(|json| event(json)).collect::<String>();
    (Answers { build: said + &prints(&built.to_string()), ..Answers::default() }, out)
}

#[test]
fn the_path_is_the_only_result() {
    let (answers, out) = giving(&["nixos-sd-image-stinky.img.zst", "notes.txt"]);
    let nix = answers.install();
    let outcome = nix.run(&[&STINKY[..], &["--", "--max-jobs", "2"]].concat());
    let file = out.path().join("sd-image/nixos-sd-image-stinky.img.zst");
    assert_eq!(outcome.exits(0), format!("{}\n", file.display()));
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
    let result: Value = serde_json::from_str(outcome.exits(0)).expect("JSON");
    assert_eq!(result["path"], out.path().join("sd-image/a.img.zst").display().to_string());
    assert_eq!((&result["size"], &result["stored"]), (&5000.into(), &19.into()));
    let mut events = outcome.stderr.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    let names = events.by_ref().map(|event| event["event"].as_str().expect("a name").to_owned());
    let expected = ["phase", "over", "phase", "step", "progress", "progress", "warning", "done"];
    assert_eq!(names.collect::<Vec<_>>(), expected);
}

#[test]
fn the_package_for_this_machine_is_preferred() {
    let (answers, _out) = giving(&["a.img"]);
    let both = format!(r#"{{"{}":["stinky-sdImage"],"riscv64-linux":["stinky-sdImage"]}}"#, system());
    let nix = Answers { packages: prints(&both), ..answers }.install();
    nix.run(&STINKY).exits(0);
    assert!(nix.asked().iter().any(|call| call.ends_with(&installable())));
}

/// The settings and the one package of a flake whose image is for `system`.
fn only_for(system: &str, extra_platforms: &str, builders: &str) -> (Answers, TempDir) {
    let (answers, out) = giving(&["a.img"]);
    let packages = prints(&format!(r#"{{"{system}":["stinky-sdImage"]}}"#));
    (Answers { packages, config: prints(&config(extra_platforms, builders)), ..answers }, out)
}

#[test]
fn what_cannot_be_built_here_is_refused_before_the_build() {
    for (system, builders, words) in [
        // Whether this machine runs such programs is its own matter; the remedy is for them.
        ("riscv64-linux", "", "`boot.binfmt.emulatedSystems = [ \"riscv64-linux\" ];`"),
        ("riscv64-linux", "@/no/such/file", "`extra-platforms = riscv64-linux`"),
        ("s390x-linux", "", "add a machine that builds for s390x-linux to /etc/nix/machines\n"),
    ] {
        let (answers, _out) = only_for(system, "[]", builders);
        let nix = answers.install();
        let outcome = nix.run(&STINKY);
        assert_eq!(outcome.exits(3), "");
        outcome.says(&format!("error: this machine cannot build for {system}: ")).says(words);
        assert!(!outcome.stderr.contains("aarch64"), "{}", outcome.stderr);
        assert!(!nix.asked().iter().any(|call| call.starts_with("build")));
    }
    let (answers, _out) = only_for("riscv64-linux", "[]", "ssh://far riscv64-linux");
    answers.install().run(&STINKY).exits(0);
}

#[test]
fn a_promise_that_nobody_can_try_is_left_to_nix() {
    let (answers, _out) = only_for("s390x-linux", r#"["s390x-linux"]"#, "");
    let outcome = answers.install().run(&STINKY);
    outcome.exits(0);
    outcome.says(
        "warning: building for s390x-linux: nix.conf promises it in extra-platforms; \
         whether the kernel runs its programs is not known\n",
    );
}

#[test]
fn hosts_that_have_no_image() {
    for (host, says) in [
        ("stniky", "github:o/f has no host 'stniky'; did you mean 'stinky'? (hosts: server, stinky)"),
        ("octopus", "github:o/f has no host 'octopus' (hosts: server, stinky)"),
        ("server", "host 'server' has no SD image, only a deploy node"),
    ] {
        let nix = Answers { deploy: prints(r#"["server"]"#), ..Answers::default() }.install();
        let outcome = nix.run(&["--flake", FLAKE, "sd-image", host]);
        assert_eq!((outcome.exits(2), outcome.stderr.clone()), ("", format!("error: {says}\n")));
    }
    let empty = Answers { packages: prints("{}"), deploy: prints("[]"), ..Answers::default() };
    let outcome = empty.install().run(&STINKY);
    let says = "github:o/f has no hosts: it needs packages.<system>.<host>-sdImage or deploy.nodes.<host>";
    assert_eq!((outcome.exits(2), outcome.stderr.clone()), ("", format!("error: {says}\n")));
}

#[test]
fn broken_nodes_do_not_matter() {
    let (answers, _out) = giving(&["a.img"]);
    Answers { deploy: fails("error: no nodes today"), ..answers }.install().run(&STINKY).exits(0);
}

#[test]
fn a_builder_that_failed() {
    let (two, three) = (
        "builder for '/nix/store/a-dep.drv' failed with exit code 3",
        "Cannot build '/nix/store/a-dep.drv'.\n       Reason: builder failed with exit code 3.",
    );
    for (cause, consequence) in [
        (two, "1 dependencies of derivation '/nix/store/b-top.drv' failed to build"),
        (three, "Cannot build '/nix/store/b-top.drv'.\n       Reason: 1 dependency failed."),
    ] {
        let message = |text| {
            serde_json::json!({"action": "msg", "level": 0, "msg": format!("error: {text}")}).to_string()
        };
        let mut events = vec![
            r#"{"action":"start","id":1,"type":105,"fields":["/nix/store/a-dep.drv"]}"#.to_owned(),
            r#"{"action":"start","id":2,"type":105,"fields":["/nix/store/c-other.drv"]}"#.to_owned(),
        ];
        let log = |id, text| format!(r#"{{"action":"result","id":{id},"type":101,"fields":["{text}"]}}"#);
        events.extend((1..=30).map(|number| log(1, format!("line {number}"))));
        events.extend([log(2, "another builder".into()), message(cause), message(consequence)]);
        let events = events.iter().map(String::as_str).collect::<Vec<_>>();
        let outcome = failing(&events).install().run(&STINKY);
        let tail = (11..=30).map(|number| format!("  | line {number}\n")).collect::<Vec<_>>().concat();
        let story = format!(
            "            building dep\n            building other\nerror: nix failed on {}: {cause}\n  \
             the last lines of the builder's log:\n{tail}  all of it: nix log /nix/store/a-dep.drv\n",
            installable()
        );
        assert_eq!((outcome.exits(1), outcome.stderr.clone()), ("", story));
    }
}

#[test]
fn the_remedy_for_what_nix_says() {
    let doctor = "this machine cannot build for that system: `cargo xtask doctor` says why";
    for (text, remedy) in [
        // To 2.29 and Lix, 2.30 to 2.33, from 2.34.
        (
            "a 'aarch64-linux' with features {} is required to build '/nix/store/a.drv', but I am a 'x86_64-linux'",
            doctor,
        ),
        (
            "Cannot build '/nix/store/a.drv'.\nReason: required system or feature not available\nRequired system: 'aarch64-linux'",
            doctor,
        ),
        (
            "Cannot build '/nix/store/a.drv'.\nReason: platform mismatch\nRequired system: 'aarch64-linux'",
            doctor,
        ),
        (
            "builder for '/nix/store/a.drv' failed with exit code 1; last 1 log lines: executing '/nix/store/b': Exec format error",
            "this machine cannot run the programs of that system: `cargo xtask doctor` says why",
        ),
        (
            "Failed to find a machine for remote build!\nderivation: a.drv",
            "no remote builder takes this build: see `builders` in nix.conf and /etc/nix/machines",
        ),
        (
            "cannot build on 'ssh://pi': error: failed to start SSH connection to 'pi'",
            "the remote builder does not answer: try `nix store info --store` with its address",
        ),
        (
            "flake 'github:o/f' does not provide attribute 'x'",
            "`cargo xtask hosts` lists what the flake offers",
        ),
        (
            "derivation '/nix/store/a.drv' does not have wanted outputs 'out'",
            "the image's package needs an output 'out'",
        ),
        (
            "derivation '/nix/store/a.drv' does not have output 'out'",
            "the image's package needs an output 'out'",
        ),
        (
            "writing to file: No space left on device",
            "the disk is full: `nix store gc` makes room in the Nix store",
        ),
    ] {
        let outcome = failing_with(text).install().run(&STINKY);
        assert_eq!(outcome.exits(1), "");
        assert_eq!(outcome.stderr, format!("error: nix failed on {}: {text}\n  {remedy}\n", installable()));
    }
}

#[test]
fn an_error_of_evaluation_names_the_place() {
    let trace = "\n … while a\n   at /nix/store/a-source/flake.nix:3:7:\n     3| x\n\n error: deep down";
    let outcome = failing_with(trace).install().run(&STINKY);
    let says = "deep down\n  at /nix/store/a-source/flake.nix:3:7";
    assert_eq!(
        (outcome.exits(1), outcome.stderr.clone()),
        ("", format!("error: nix failed on {}: {says}\n", installable()))
    );
}

#[test]
fn a_remembered_failure_is_evaluated_again() {
    let (answers, _out) = giving(&["a.img"]);
    let remembered = event(r#"{"action":"msg","level":0,"msg":"error: cached failure of attribute 'x'"}"#);
    let build =
        format!("case \"$*\" in *' -v --no-eval-cache') {};; *) {remembered} exit 1;; esac", answers.build);
    let nix = Answers { build, ..answers }.install();
    nix.run(&[&STINKY[..], &["--", "-v"]].concat()).exits(0);
    assert_eq!(nix.asked().iter().filter(|call| call.starts_with("build")).count(), 2);
}

#[test]
fn paths_among_the_arguments_of_nix_are_those_of_the_user() {
    let (answers, _out) = giving(&["a.img"]);
    let build = format!("echo linked >here\n{}", answers.build);
    let nix = Answers { build, ..Answers::default() }.install();
    let user = nix.path("home");
    let mut command = nix.command(&[&STINKY[..], &["--", "--out-link", "here"]].concat());
    let output = command.current_dir(&user).output().expect("running the binary");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(std::fs::read_to_string(user.join("here")).expect("nix ran in the folder"), "linked\n");
}

#[test]
fn an_output_without_its_image() {
    for (names, says) in
        [(&[][..], "there is no image in"), (&["a.img", "b.img.zst"], "there is more than one image in")]
    {
        let (answers, out) = giving(names);
        let outcome = answers.install().run(&STINKY);
        outcome.says(&format!("error: {says} {}\n", out.path().join("sd-image").display()));
        assert_eq!(outcome.exits(1), "");
    }
    let absent = prints(r#"[{"outputs":{"out":"/nix/store/absent"}}]"#);
    let outcome = Answers { build: absent, ..Answers::default() }.install().run(&STINKY);
    outcome.says("error: what was built is no SD image: there is no folder /nix/store/absent/sd-image");
    let none = prints(r#"[{"outputs":{"out":null}}]"#);
    let outcome = Answers { build: none, ..Answers::default() }.install().run(&STINKY);
    outcome.says("nix build names no output 'out'").exits(1);
}

#[test]
fn a_request_to_stop_is_passed_on_and_waited_for() {
    let nix = Sandbox::with_fakes_only();
    let (begun, ended) = (nix.path("begun"), nix.path("ended"));
    let build = format!(
        "trap 'touch {}; exit 1' INT; touch {}; while :; do sleep 0.05; done",
        ended.display(),
        begun.display()
    );
    let nix = Answers { build, ..Answers::default() }.install_in(nix);
    let child = nix.command(&STINKY).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.expect("starting the binary");
    let patience = Instant::now();
    while !begun.exists() {
        assert!(patience.elapsed() < Duration::from_secs(20), "the build does not begin");
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("asking it to stop");
    let output = child.wait_with_output().expect("waiting for the binary");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(130), &b""[..]));
    assert!(ended.exists());
    let says = "error: stopped before the build was complete\n  nothing is left behind but finished parts, which the \
                next run uses\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), says);
}
