//! `flash` on a terminal: the confirmation, the answers to it, and signals.

use rustix::process::Signal;
use tempfile::TempDir;

use crate::fake_nix::{Answers, FLAKE, FakeNix};
use crate::flash::{build_with_image, image_bytes, is_all, make_card};
use crate::support::Sandbox;
use crate::support::terminal::Terminal;
use crate::support::xtask::{SignalTo, Xtask};

const QUESTION: &str = "Type the name of the device (virtual-card) to go on: ";

/// Starts a flash to a new card, and waits for the confirmation.
#[track_caller]
fn flash_until_confirmation(nix: &FakeNix) -> Terminal {
    let card = make_card(nix);
    let file = write_image_file(nix);
    let card = card.to_str().expect("a plain path");
    let mut terminal = nix.xtask(&["flash", "--image", &file, card, "--allow-virtual"]).on_terminal();
    terminal.wait_for(QUESTION);
    terminal
}

/// Waits for the end of the flash. Returns the output after the question, and the exit code.
fn finish_after_question(terminal: Terminal) -> (String, i32) {
    let outcome = terminal.finish();
    (outcome.stderr.split_once(QUESTION).expect("a question").1.to_owned(), outcome.code)
}

/// Writes the image to a file in the sandbox, and returns its path.
fn write_image_file(nix: &FakeNix) -> String {
    let file = nix.path("home").join("a.img");
    std::fs::write(&file, image_bytes()).expect("writing an image");
    file.to_str().expect("a plain path").to_owned()
}

#[test]
fn a_signal_at_the_confirmation_stops_the_flash() {
    let (answers, _out) = build_with_image();
    for signal in [Signal::INT, Signal::TERM] {
        let nix = answers.install();
        let mut terminal = flash_until_confirmation(&nix);
        terminal.signal(signal);
        let (shown, code) = finish_after_question(terminal);
        assert_eq!((shown.as_str(), code), ("\nerror: stopped; no card was written\n", 130));
        assert!(is_all(&std::fs::read(nix.path("virtual-card")).unwrap(), 0xee));
    }
}

#[test]
fn a_signal_between_the_steps_of_a_command_is_an_error_like_one_during_a_step() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        // Nobody watches for signals while Nix prints its version.
        let nix = Answers { version: "", ..Answers::default() }.install();
        nix.fake("nix", "touch \"$HOME/asked\"; exec sleep 60");
        for json in [false, true] {
            let args = [&["doctor"][..], if json { &["--json"] } else { &[] }].concat();
            let mut run = nix.xtask(&args).spawn();
            while !nix.path("home/asked").exists() {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            run.signal(SignalTo::Tool, signal);
            let outcome = run.finish();
            outcome.assert_code(130);
            if json {
                assert_eq!(outcome.json_error()["kind"], "interrupted");
            } else {
                outcome.assert_stdout("").assert_stderr("error: stopped\n");
            }
            std::fs::remove_file(nix.path("home/asked")).expect("removing a mark");
        }
    }
}

#[test]
fn only_the_name_of_the_device_confirms() {
    let (answers, _out) = build_with_image();
    for (typed, echoed, code, written) in [
        ("virtual-card\n", "virtual-card\n", 0, true),
        ("no\n", "no\nerror: not confirmed; no card was written\n", 3, false),
        // Ctrl-D, the end of the input.
        ("\x04", "\nerror: not confirmed; no card was written\n", 3, false),
    ] {
        let nix = answers.install();
        let mut terminal = flash_until_confirmation(&nix);
        terminal.type_keys(typed);
        let (shown, exit_code) = finish_after_question(terminal);
        assert_eq!(exit_code, code, "{typed:?}: {shown}");
        assert!(shown.replace("^D\u{8}\u{8}", "").starts_with(echoed), "{typed:?}: {shown:?}");
        let card = std::fs::read(nix.path("virtual-card")).unwrap();
        assert_eq!(card.starts_with(&image_bytes()), written);
        assert_eq!(is_all(&card, 0xee), !written);
    }
}

#[test]
fn another_answer_may_be_corrected_once() {
    let (answers, _out) = build_with_image();
    for (typed, code) in [("virtual-card\n", 0), ("sdz\n", 3), ("n\n", 3), ("\n", 3)] {
        let nix = answers.install();
        let mut terminal = flash_until_confirmation(&nix);
        terminal.type_keys("virtual-cart\n");
        terminal.wait_for("\"virtual-cart\" is not the name of the device (virtual-card).");
        terminal.type_keys_at_next(QUESTION, typed);
        let outcome = terminal.finish();
        assert_eq!(outcome.stderr.matches(QUESTION).count(), 2, "{outcome:?}");
        outcome.assert_code(code);
        let card = std::fs::read(nix.path("virtual-card")).unwrap();
        assert_eq!(is_all(&card, 0xee), code != 0, "{typed:?}");
    }
}

/// The answers with a build that lasts until the file `go-on` is in the sandbox.
fn with_slow_build(answers: &Answers, sandbox: &Sandbox) -> Answers {
    let flag = sandbox.path("go-on").display().to_string();
    let waiting = sandbox.path("building").display().to_string();
    let build =
        format!("touch '{waiting}'; while ! test -e '{flag}'; do sleep 0.05; done; {}", answers.build);
    Answers {
        build,
        names: answers.names.clone(),
        image: answers.image.clone(),
        config: answers.config.clone(),
        ..*answers
    }
}

/// A user who types ahead has not read the question.
#[test]
fn what_is_typed_while_nix_builds_confirms_no_card() {
    for ahead in
        ["virtual-card\n", "virtual-card\nvirtual-card\n", "y\nvirtual-card\n", "\n\n", "\x04", "virtual"]
    {
        let (nix, run, _out) = flash_with_slow_build(&[]);
        let card = nix.path("virtual-card");
        let mut terminal = run.on_terminal();
        wait_for_build(&nix);
        terminal.type_keys(ahead);
        std::fs::write(nix.path("go-on"), "").unwrap();
        terminal.wait_for(QUESTION);
        // The question is still without an answer, and accepts the next one.
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert!(is_all(&std::fs::read(&card).unwrap(), 0xee), "{ahead:?}");
        terminal.type_keys("no\n");
        let (shown, code) = finish_after_question(terminal);
        assert_eq!(
            (shown.as_str(), code),
            ("no\nerror: not confirmed; no card was written\n", 3),
            "{ahead:?}"
        );
        assert!(is_all(&std::fs::read(&card).unwrap(), 0xee), "{ahead:?}");
    }
}

/// The lines that were on the screen, with each state of a progress bar as a line of its own.
fn lines_on_screen(shown: &str) -> Vec<&str> {
    shown.split(['\n', '\u{1b}']).map(|line| line.trim_start_matches("[2K")).collect()
}

#[test]
fn on_a_narrow_terminal_in_the_locale_c_no_line_wraps_and_the_chunk_map_is_ascii() {
    let (answers, _out) = build_with_image();
    for (width, locale) in [(60, "C"), (79, "POSIX"), (72, "de_DE.ISO-8859-1"), (80, "C")] {
        let nix = answers.install();
        let file = write_image_file(&nix);
        let card = make_card(&nix);
        let card = card.to_str().expect("a plain path");
        let run = nix.xtask(&["flash", "--image", &file, card, "--allow-virtual"]);
        let mut terminal = run.env("LC_ALL", locale).on_narrow_terminal(width);
        terminal.answer("Type the name of the device (virtual-card) to go on: ", "virtual-card");
        let outcome = terminal.finish();
        assert!(outcome.stderr.is_ascii(), "{}", outcome.stderr);
        assert!(
            outcome.stderr.contains("      card  [##]\n            # 2 MiB written"),
            "{}",
            outcome.stderr
        );
        // The answer does not count: the name of a real device is shorter than that of this file.
        let screen = outcome.stderr.replace("go on: virtual-card", "go on: ");
        for line in lines_on_screen(&screen) {
            assert!(line.trim_end().len() <= usize::from(width), "{width}: {line:?}\n{screen}");
        }
        // The hash of the image file is in one line, or in two of the same length where its 64 digits do not fit behind
        // the 8 columns of the label.
        let is_hash =
            |line: &&str| line.trim().len() >= 32 && line.trim().chars().all(|c| c.is_ascii_hexdigit());
        let parts = outcome.stderr.lines().filter(is_hash).map(|line| line.trim().len());
        let expected = if width < 72 { vec![32, 32] } else { vec![64] };
        assert_eq!(parts.collect::<Vec<_>>(), expected, "{}", outcome.stderr);
        outcome.assert_code(0);
    }
}

#[test]
fn an_answer_that_comes_after_typed_ahead_input_counts() {
    let (nix, run, _out) = flash_with_slow_build(&[]);
    let card = nix.path("virtual-card");
    let mut terminal = run.on_terminal();
    terminal.type_keys("sd");
    std::fs::write(nix.path("go-on"), "").unwrap();
    terminal.answer(QUESTION, "virtual-card");
    let (shown, code) = finish_after_question(terminal);
    assert_eq!(code, 0, "{shown}");
    assert!(std::fs::read(&card).unwrap().starts_with(&image_bytes()));
}

/// A `flash` with `options` whose build lasts until the file `go-on` is in the sandbox. Returns the sandbox, the run,
/// and the folder of the build's output.
fn flash_with_slow_build(options: &[&str]) -> (FakeNix, Xtask, TempDir) {
    let (answers, out) = build_with_image();
    let sandbox = Sandbox::with_fakes_only();
    let nix = with_slow_build(&answers, &sandbox).install_in(sandbox);
    let card = make_card(&nix);
    let device = card.to_str().expect("a plain path");
    let args = ["--flake", FLAKE, "flash", "stinky", device, "--allow-virtual", "--identity", "none"];
    let run = nix.xtask(&[options, &args].concat());
    (nix, run, out)
}

/// Waits until the build has begun.
fn wait_for_build(nix: &FakeNix) {
    while !nix.path("building").exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn sigusr1_prints_the_progress_in_all_modes() {
    let is_line = |line: &str| line.starts_with("progress: build ") && line.contains(" in ");
    let (nix, run, _out) = flash_with_slow_build(&[]);
    let mut terminal = run.on_terminal();
    wait_for_build(&nix);
    terminal.signal(Signal::USR1).wait_for("progress: build ");
    std::fs::write(nix.path("go-on"), "").unwrap();
    terminal.answer(QUESTION, "no");
    let shown = terminal.finish().stderr;
    assert!(shown.split(['\n', '\u{1b}']).any(|line| is_line(line.trim_start_matches("[2K"))), "{shown:?}");
    let json = ["--json", "--yes", "--expect-size", "4MiB"];
    for (mode, is_json) in [(&json[..1], true), (&json[..0], false)] {
        let (nix, run, _out) = flash_with_slow_build(mode);
        let mut run = run.args(&json[1..]).spawn();
        wait_for_build(&nix);
        run.signal(SignalTo::Tool, Signal::USR1);
        let line = run.wait_for("progress: build ");
        if is_json {
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(event["event"], "note");
            assert!(is_line(event["text"].as_str().unwrap()), "{line}");
        } else {
            assert!(is_line(&line), "{line}");
        }
        std::fs::write(nix.path("go-on"), "").unwrap();
        run.finish().assert_code(0);
    }
}

/// The signal ends no command, also between the phases.
#[test]
fn sigusr1_at_a_question_leaves_the_question() {
    let (answers, _out) = build_with_image();
    let nix = answers.install();
    let mut terminal = flash_until_confirmation(&nix);
    terminal.signal(Signal::USR1).wait_for("progress: no phase is running");
    terminal.type_keys("virtual-card\n");
    assert_eq!(finish_after_question(terminal).1, 0);
}
