//! `flash` on a terminal: the confirmation, its answers and signals.

use rustix::process::Signal;

use crate::fake_nix::FakeNix;
use crate::flash::{build_with_image, card, image, is_all};
use crate::support::terminal::Terminal;

const QUESTION: &str = "Type the name of the device (virtual-card) to go on: ";

/// Flashes the card of the sandbox and waits for the confirmation.
#[track_caller]
fn flash_until_confirmation(nix: &FakeNix) -> Terminal {
    let card = card(nix);
    let file = image_file(nix);
    let card = card.to_str().expect("a plain path");
    let mut terminal = nix.xtask(&["flash", "--image", &file, card, "--allow-virtual"]).on_terminal();
    terminal.wait_for(QUESTION);
    terminal
}

/// The output after the question, and the exit code.
fn finish(terminal: Terminal) -> (String, i32) {
    let outcome = terminal.finish();
    (outcome.stderr.split_once(QUESTION).expect("a question").1.to_owned(), outcome.code)
}

/// The image as a file in the sandbox.
fn image_file(nix: &FakeNix) -> String {
    let file = nix.path("home").join("a.img");
    std::fs::write(&file, image()).expect("writing an image");
    file.to_str().expect("a plain path").to_owned()
}

#[test]
fn a_signal_at_the_confirmation_stops_the_flash() {
    let (answers, _out) = build_with_image();
    for signal in [Signal::INT, Signal::TERM] {
        let nix = answers.install();
        let mut terminal = flash_until_confirmation(&nix);
        terminal.signal(signal);
        let (shown, code) = finish(terminal);
        assert_eq!((shown.as_str(), code), ("\nerror: stopped; nothing was written\n", 130));
        assert!(is_all(&std::fs::read(nix.path("virtual-card")).unwrap(), 0xee));
    }
}

#[test]
fn only_the_name_of_the_device_confirms() {
    let (answers, _out) = build_with_image();
    for (typed, echoed, code, written) in [
        ("virtual-card\n", "virtual-card\n", 0, true),
        ("no\n", "no\nerror: not confirmed; nothing was written\n", 3, false),
        // Ctrl-D, the end of the input.
        ("\x04", "\nerror: not confirmed; nothing was written\n", 3, false),
    ] {
        let nix = answers.install();
        let mut terminal = flash_until_confirmation(&nix);
        terminal.type_keys(typed);
        let (shown, found) = finish(terminal);
        assert_eq!(found, code, "{typed:?}: {shown}");
        assert!(shown.replace("^D\u{8}\u{8}", "").starts_with(echoed), "{typed:?}: {shown:?}");
        let card = std::fs::read(nix.path("virtual-card")).unwrap();
        assert_eq!(card.starts_with(&image()), written);
        assert_eq!(is_all(&card, 0xee), !written);
    }
}
