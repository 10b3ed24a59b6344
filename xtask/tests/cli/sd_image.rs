//! `sd-image`: the host that is built, the output, and interrupts.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fake_build::{SD_IMAGE_ARGS, build_with_files, installable, small_image};
use crate::fake_nix::{
    Answers, FLAKE, find_image, image_json, names_json, no_image_json, print_script, system,
};
use crate::support::Sandbox;

#[test]
fn sd_image_prints_the_path_alone_to_stdout_and_the_story_to_stderr() {
    let (answers, out) = build_with_files(&["nixos-sd-image-stinky.img.zst", "notes.txt"]);
    let nix = answers.install();
    let outcome = nix.run(&[SD_IMAGE_ARGS, &["--", "--max-jobs", "2"]].concat());
    let file = out.path().join("sd-image/nixos-sd-image-stinky.img.zst");
    outcome.assert_code(0).assert_stdout(format!("{}\n", file.display()));
    let lines = outcome.stderr.lines().collect::<Vec<_>>();
    let stored = small_image().len();
    assert_eq!(lines[..2], ["            building image", "warning: Git tree '/f' is odd"]);
    assert!(lines[2].starts_with("     build  1 step in "), "{lines:?}");
    assert!(lines[3].starts_with("     check  5.0 KiB in "), "{lines:?}");
    assert!(
        lines[4].starts_with(&format!("nixos-sd-image-stinky.img.zst: 5.0 KiB, {stored} B compressed, in ")),
        "{lines:?}"
    );
    let build = ["build", "--json", "--no-link", "--log-format", "internal-json", &installable()].join(" ");
    assert_eq!(
        nix.nix_calls(),
        [
            "--version",
            &format!("build --dry-run {} --max-jobs 2", installable()),
            &format!("{build} --max-jobs 2"),
            "config show --json --max-jobs 2",
            &format!("{} --max-jobs 2", find_image("stinky")),
        ]
    );
}

#[test]
fn sd_image_prints_json() {
    let (answers, out) = build_with_files(&["a.img.zst"]);
    let outcome = answers.install().run(&[&["--json"], SD_IMAGE_ARGS].concat());
    let result = outcome.assert_code(0).json();
    assert_eq!(result["image"], out.path().join("sd-image/a.img.zst").display().to_string());
    assert_eq!((&result["bytes"], &result["stored_bytes"]), (&5120.into(), &small_image().len().into()));
    let names = outcome.events().into_iter().map(|event| event["event"].as_str().expect("a name").to_owned());
    let expected = [
        "phase",
        "phase_ended",
        "phase",
        "phase_ended",
        "phase",
        "task_started",
        "progress",
        "output",
        "warning",
        "task_ended",
        "done",
        "phase_ended",
        "phase",
        "done",
        "phase_ended",
    ];
    assert_eq!(names.collect::<Vec<_>>(), expected);
}

#[test]
fn a_built_file_that_is_no_image_is_refused() {
    for (bytes, words) in [
        (&b"hello\n"[..], "is no disk image: its size, 6 bytes, is not a multiple of 512-byte sectors"),
        (&[0; 4096], "is no disk image: no partition table"),
        (b"PK\x03\x04", "cannot be written to a card: it is a zip archive"),
        (&small_image()[..20], "is truncated or damaged"),
    ] {
        let (answers, out) = build_with_files(&["a.img.zst"]);
        std::fs::write(out.path().join("sd-image/a.img.zst"), bytes).expect("writing a file");
        answers.install().run(SD_IMAGE_ARGS).assert_code(3).assert_stdout("").assert_stderr_contains(words);
    }
}

#[test]
fn a_host_without_an_image_is_a_usage_error() {
    let names = || print_script(&names_json(&[("s", &["stinky-sdImage"])], &["pc"], &["server"]));
    for (host, message) in [
        (
            "stniky",
            "github:o/f has no host 'stniky' (hosts: pc, server, stinky)\nhint: did you mean 'stinky'?",
        ),
        (
            "STINKY",
            "github:o/f has no host 'STINKY' (hosts: pc, server, stinky)\nhint: did you mean 'stinky'?",
        ),
        (
            "stinky-sdImage",
            "github:o/f has no host 'stinky-sdImage' (hosts: pc, server, stinky)\nhint: did you mean 'stinky'?",
        ),
        ("octopus", "github:o/f has no host 'octopus' (hosts: pc, server, stinky)"),
        (
            "server",
            "host 'server' has no SD image, only a deploy node\n\
             hint: add packages.<system>.server-sdImage to the flake, or run `cargo xtask --flake github:o/f deploy server`",
        ),
    ] {
        let nix =
            Answers { names: names(), image: print_script(&no_image_json(false)), ..Answers::default() }
                .install();
        let outcome = nix.run(&["--flake", FLAKE, "sd-image", host]);
        outcome.assert_code(2).assert_stdout("").assert_stderr(format!("error: {message}\n"));
    }
    let nix =
        Answers { names: names(), image: print_script(&no_image_json(true)), ..Answers::default() }.install();
    let outcome = nix.run(&["--flake", FLAKE, "sd-image", "pc"]);
    outcome
        .assert_code(2)
        .assert_stderr_contains("error: nixosConfigurations.pc makes no image for a card: ");
}

#[test]
fn a_package_with_the_name_is_the_hint() {
    let names = || print_script(&names_json(&[("s", &["stinky-sdImage"])], &[], &[]));
    let mut answer = serde_json::from_str::<Value>(&no_image_json(false)).expect("JSON");
    for (package, hint) in [
        ("both", "for the package of that name, pass github:o/f#packages.s.both"),
        ("my.os", "for the package of that name, pass 'github:o/f#packages.s.\"my.os\"'"),
        (
            "stinky-sdImage",
            "did you mean 'stinky'? for the package 'stinky-sdImage', pass github:o/f#packages.s.stinky-sdImage",
        ),
    ] {
        answer["packages"] = serde_json::json!([["packages", "s", package]]);
        let nix = Answers { names: names(), image: print_script(&answer.to_string()), ..Answers::default() }
            .install();
        let outcome = nix.run(&["--flake", FLAKE, "sd-image", package]);
        let message = format!("error: github:o/f has no host '{package}' (hosts: stinky)\nhint: {hint}\n");
        outcome.assert_code(2).assert_stderr(message);
    }
}

#[test]
fn an_iso_and_a_choice_of_images_are_usage_errors() {
    let iso = serde_json::json!({ "images": [], "isos": [["images", "stinky"]], "is_configured": false });
    let outcome =
        Answers { image: print_script(&iso.to_string()), ..Answers::default() }.install().run(SD_IMAGE_ARGS);
    outcome.assert_code(2).assert_stderr_contains("error: github:o/f#images.stinky is an ISO image");
    let mut two = serde_json::from_str::<Value>(&image_json("s")).expect("JSON");
    let mut other = two["images"][0].clone();
    other["path"] = serde_json::json!(["images", "other"]);
    two["images"].as_array_mut().expect("a list").push(other);
    let outcome =
        Answers { image: print_script(&two.to_string()), ..Answers::default() }.install().run(SD_IMAGE_ARGS);
    let lines = "error: stinky has 2 images: packages.s.stinky-sdImage, images.other\n\
                 hint: choose one of them in place of stinky: github:o/f#packages.s.stinky-sdImage or \
                 github:o/f#images.other\n";
    outcome.assert_code(2).assert_stderr(lines);
}

#[test]
fn an_attribute_of_a_flake_is_built() {
    let (answers, out) = build_with_files(&["a.img"]);
    let found = serde_json::from_str::<Value>(&image_json(&system())).expect("JSON")["images"][0].to_string();
    let nix = answers.install_with("*'#images.pi --apply '*", &print_script(&found));
    let file = format!("{}\n", out.path().join("sd-image/a.img").display());
    nix.run(&["sd-image", "github:o/f#images.pi"]).assert_code(0).assert_stdout(&file);
    nix.run(&["--flake", "github:o/f", "sd-image", "github:o/f#images.pi"])
        .assert_code(0)
        .assert_stdout(&file);
    nix.run(&["sd-image", "github:o/f#stinky"]).assert_code(0).assert_stdout(&file);
    nix.run(&["--flake", "github:o/f", "sd-image", "#stinky"]).assert_code(0).assert_stdout(&file);
    let outcome = nix.run(&["--flake", "github:o/g", "sd-image", "github:o/f#images.pi"]);
    outcome.assert_code(2).assert_stderr_contains("error: two flakes are named: github:o/g and github:o/f\n");
}

#[test]
fn paths_in_nix_arguments_are_relative_to_the_working_directory() {
    let (answers, _out) = build_with_files(&["a.img"]);
    let build = format!("echo linked >here\n{}", answers.build);
    let nix = Answers { build, ..Answers::default() }.install();
    let user = nix.path("home");
    let args = [SD_IMAGE_ARGS, &["--", "--out-link", "here"]].concat();
    nix.xtask(&args).current_dir(&user).run().assert_code(0);
    assert_eq!(std::fs::read_to_string(user.join("here")).expect("nix ran in the folder"), "linked\n");
}

#[test]
fn an_output_without_exactly_one_image_is_an_error_unless_file_names_one() {
    let (answers, out) = build_with_files(&[]);
    let outcome = answers.install().run(SD_IMAGE_ARGS);
    outcome.assert_code(1).assert_stdout("");
    outcome.assert_stderr_contains(format!(
        "error: the build made no image: {} has no file",
        out.path().display()
    ));
    let (answers, out) = build_with_files(&["a.img", "b.img.zst"]);
    let nix = answers.install();
    let outcome = nix.run(SD_IMAGE_ARGS);
    let message = format!(
        "error: there are several images in {}: sd-image/a.img, sd-image/b.img.zst\n",
        out.path().display()
    );
    outcome
        .assert_code(2)
        .assert_stderr_contains(message)
        .assert_stderr_contains("hint: choose one with --file NAME\n");
    let outcome = nix.run(&[SD_IMAGE_ARGS, &["--file", "a.img"]].concat());
    outcome.assert_code(0).assert_stdout(format!("{}\n", out.path().join("sd-image/a.img").display()));
    let none = print_script(r#"[{"outputs":{"out":null}}]"#);
    let outcome = Answers { build: none, ..Answers::default() }.install().run(SD_IMAGE_ARGS);
    outcome.assert_stderr_contains("nix build printed no output 'out'").assert_code(1);
}

/// Sends SIGTERM to the tool while nix runs an endless script. Asserts that the tool interrupts nix, waits for its end,
/// and exits with 130 and `stderr`. `answers` puts the script in place of an answer.
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
    let child = nix.command(SD_IMAGE_ARGS).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
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
        |image| Answers { image, ..Answers::default() },
        "error: stopped while nix evaluated the flake; nothing was changed\n",
    );
    assert_stops(
        |build| Answers { build, ..Answers::default() },
        "error: stopped before the build was complete\nhint: run the command again to continue: the next run uses \
         the parts that are finished\n",
    );
}
