//! `flash` on a terminal: the question, and what is typed or pressed there.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::Child;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::fake_nix::FakeNix;
use crate::flash::{building, card, image, is_all};

const QUESTION: &str = "Type the name of the device (virtual-card) to go on: ";

/// A run of the tool whose stdin and stderr are a terminal, and what it has shown there.
struct Session {
    terminal: File,
    child: Child,
    shown: String,
}

impl Session {
    /// A flash of the sandbox's card that has got as far as the question.
    #[track_caller]
    fn asked(nix: &FakeNix, file: &str) -> Self {
        let card = card(nix);
        let (terminal, end) = open();
        let card = card.to_str().expect("a plain path");
        let mut command = nix.command(&["flash", "--image", file, card, "--allow-virtual"]);
        command
            .stdin(end.try_clone().expect("sharing the terminal"))
            .stderr(end)
            .stdout(std::process::Stdio::null());
        let child = command.spawn().expect("running the binary");
        let mut session = Self { terminal, child, shown: String::new() };
        while !session.shown.contains(QUESTION) {
            assert!(session.read(), "no question: {}", session.shown);
        }
        session
    }

    /// Takes what is shown next; `false` at the end of the run.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        // A terminal that nobody has open any more is an error of its own.
        let count = self.terminal.read(&mut bytes).unwrap_or(0);
        self.shown += &String::from_utf8_lossy(&bytes[..count]);
        count > 0
    }

    /// What was shown since the question, and the exit code.
    fn end(mut self) -> (String, Option<i32>) {
        while self.read() {}
        let answer = self.shown.split_once(QUESTION).expect("a question").1.replace("\r\n", "\n");
        (answer, self.child.wait().expect("waiting for the binary").code())
    }
}

/// Both ends of a new terminal. The second one belongs to the child alone once that has begun.
fn open() -> (File, File) {
    let terminal =
        openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
    grantpt(&terminal).and_then(|()| unlockpt(&terminal)).expect("a terminal");
    let name = ptsname(&terminal, Vec::new()).expect("a terminal with a name");
    let end = rustix::fs::open(
        OsStr::from_bytes(name.as_bytes()),
        OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
        Mode::empty(),
    );
    (File::from(terminal), File::from(end.expect("opening a terminal")))
}

/// The image as a file in the sandbox.
fn stored(nix: &FakeNix) -> String {
    let file = nix.path("home").join("a.img");
    std::fs::write(&file, image()).expect("writing an image");
    file.to_str().expect("a plain path").to_owned()
}

#[test]
fn a_request_to_stop_at_the_question() {
    let (answers, _out) = building();
    for signal in [Signal::INT, Signal::TERM] {
        let nix = answers.install();
        let session = Session::asked(&nix, &stored(&nix));
        kill_process(Pid::from_child(&session.child), signal).unwrap();
        let (shown, code) = session.end();
        assert_eq!((shown.as_str(), code), ("\nerror: stopped; nothing was written\n", Some(130)));
        assert!(is_all(&std::fs::read(nix.path("virtual-card")).unwrap(), 0xee));
    }
}

#[test]
fn what_is_typed_at_the_question() {
    let (answers, _out) = building();
    for (typed, echoed, code, written) in [
        ("virtual-card\n", "virtual-card\n", 0, true),
        ("no\n", "no\nerror: not confirmed; nothing was written\n", 3, false),
        // Ctrl-D, the end of the input.
        ("\x04", "\nerror: not confirmed; nothing was written\n", 3, false),
    ] {
        let nix = answers.install();
        let mut session = Session::asked(&nix, &stored(&nix));
        session.terminal.write_all(typed.as_bytes()).unwrap();
        let (shown, found) = session.end();
        assert_eq!(found, Some(code), "{typed:?}: {shown}");
        assert!(shown.replace("^D\u{8}\u{8}", "").starts_with(echoed), "{typed:?}: {shown:?}");
        let card = std::fs::read(nix.path("virtual-card")).unwrap();
        assert_eq!(card.starts_with(&image()), written);
        assert_eq!(is_all(&card, 0xee), !written);
    }
}
