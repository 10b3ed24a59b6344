//! Runs the tool on a terminal and answers its questions.

use std::fs::File;
use std::io::Write;
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{read, retry_on_intr};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use xtask::dev::picture::Screen;

use super::Outcome;

/// A run whose stdin and stderr are a terminal; stdout is a pipe, as in `$(...)`.
pub struct Terminal {
    child: Child,
    screen: File,
    output: String,
    /// The output as it came.
    raw: Vec<u8>,
}

impl Terminal {
    /// Starts `command` on a terminal of unknown width.
    pub fn run(command: Command) -> Self {
        Self::run_with_width(command, 0)
    }

    /// Starts `command` on a terminal of `width` columns; 0 is unknown. The terminal has colours only if the command
    /// names its `TERM`.
    pub fn run_with_width(command: Command, width: u16) -> Self {
        Self::start(command, width, false)
    }

    /// Starts `command` on a terminal of `width` columns, its stdout too.
    pub fn run_whole(command: Command, width: u16) -> Self {
        Self::start(command, width, true)
    }

    fn start(mut command: Command, width: u16, has_stdout: bool) -> Self {
        if command.get_envs().all(|(name, _)| name != "TERM") {
            command.env("TERM", "xterm").env("NO_COLOR", "1");
        }
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let screen = openpt(flags).expect("opening a terminal");
        let size = Winsize { ws_row: 24, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&screen, size).expect("sizing a terminal");
        grantpt(&screen).and_then(|()| unlockpt(&screen)).expect("opening a terminal");
        let peer = ioctl_tiocgptpeer(&screen, flags).expect("opening the other side of a terminal");
        let stdin = File::from(peer);
        let stderr = stdin.try_clone().expect("duplicating the terminal");
        let stdout = stdin.try_clone().expect("duplicating the terminal");
        let stdout = if has_stdout { Stdio::from(stdout) } else { Stdio::piped() };
        let child = command.stdin(stdin).stderr(stderr).stdout(stdout).spawn();
        // The command holds its ends of the terminal until it is dropped.
        drop(command);
        let child = child.expect("running the binary");
        Self { child, screen: File::from(screen), output: String::new(), raw: Vec::new() }
    }

    /// Waits until `text` is on the screen.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> &mut Self {
        while !self.output.contains(text) {
            assert!(self.read_screen(), "not printed: {text:?}\n{}", self.output);
        }
        self
    }

    /// Waits for `question`, and types `answer` and Enter.
    #[track_caller]
    pub fn answer(&mut self, question: &str, answer: &str) -> &mut Self {
        self.wait_for(question).type_keys(&format!("{answer}\n"))
    }

    /// Runs the tool to its end, and types what `answer` has for the last line of the screen, and Enter. `answer` sees
    /// each line once.
    pub fn answer_all(&mut self, mut answer: impl FnMut(&str) -> Option<String>) -> &mut Self {
        let mut seen = 0;
        while self.read_screen() {
            let line = self.output[seen..].lines().last().unwrap_or_default();
            if let Some(answer) = answer(line) {
                seen = self.output.len();
                self.type_keys(&format!("{answer}\n"));
            }
        }
        self
    }

    /// Waits until `question`, which was asked before, is on the screen a second time, and types `keys`.
    #[track_caller]
    pub fn type_keys_at_next(&mut self, question: &str, keys: &str) -> &mut Self {
        while self.output.matches(question).count() < 2 {
            assert!(self.read_screen(), "not asked again: {question:?}\n{}", self.output);
        }
        self.type_keys(keys)
    }

    /// What was on the screen so far.
    pub fn output(&self) -> &str {
        &self.output
    }

    /// The process id of the tool.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Types `keys`, without Enter.
    pub fn type_keys(&mut self, keys: &str) -> &mut Self {
        self.screen.write_all(keys.as_bytes()).expect("typing");
        self
    }

    /// Sends a signal to the tool only.
    pub fn signal(&mut self, signal: Signal) -> &mut Self {
        kill_process(Pid::from_child(&self.child), signal).expect("sending a signal");
        self
    }

    /// Waits for the end of the tool. The `stderr` of the outcome is everything that was on the screen.
    pub fn finish(mut self) -> Outcome {
        while self.read_screen() {}
        let output = self.child.wait_with_output().expect("waiting for the binary");
        Outcome { stderr: self.output, ..Outcome::of(&output) }
    }

    /// Waits for the end of the tool. Returns what a terminal of `width` columns shows then, and the exit code.
    pub fn finish_on_screen(mut self, width: u16) -> (Screen, i32) {
        let mut screen = Screen::new(width.into());
        let code = self.finish_on(&mut screen);
        (screen, code)
    }

    /// Waits for the end of the tool, draws the rest of its output on `screen`, and returns its exit code.
    pub fn finish_on(&mut self, screen: &mut Screen) -> i32 {
        while self.read_screen() {}
        self.draw_on(screen);
        self.child.wait().expect("waiting for the binary").code().unwrap_or(-1)
    }

    /// Draws what the tool has printed since the last call on `screen`.
    pub fn draw_on(&mut self, screen: &mut Screen) -> &mut Self {
        screen.feed(&std::mem::take(&mut self.raw));
        self
    }

    /// Stops the tool, and draws all that it has printed on `screen`. [`Signal::CONT`] lets it go on.
    pub fn pause_on(&mut self, screen: &mut Screen) -> &mut Self {
        self.signal(Signal::STOP);
        let stat = format!("/proc/{}/stat", self.pid().as_raw_nonzero());
        while !std::fs::read_to_string(&stat).expect("reading the state of the tool").contains(") T ") {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        while self.has_output() {
            assert!(self.read_screen(), "the tool has ended");
        }
        self.draw_on(screen)
    }

    /// Whether the terminal has something to read. A signal to the tests does not end the question.
    fn has_output(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        retry_on_intr(|| poll(&mut [PollFd::new(&self.screen, PollFlags::IN)], Some(&now))).expect("polling")
            > 0
    }

    /// Makes the terminal `width` columns wide, as a user who drags its edge.
    pub fn resize(&mut self, width: u16) -> &mut Self {
        let size = Winsize { ws_row: 24, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.screen, size).expect("sizing a terminal");
        self
    }

    /// Reads from the terminal. Returns false at its end, which Linux reports as an error.
    fn read_screen(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let Ok(count @ 1..) = retry_on_intr(|| read(&self.screen, &mut bytes)) else { return false };
        self.raw.extend(&bytes[..count]);
        self.output.push_str(&String::from_utf8_lossy(&bytes[..count]).replace('\r', ""));
        true
    }
}
