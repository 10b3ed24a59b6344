//! Shared by the suites: a sandbox that runs the real binary, with fake programs on `PATH` where a test needs them, and the
//! outcome of a run.

#![allow(dead_code, reason = "each suite is its own crate and uses its own part of this module")]

pub mod image;
pub mod loops;
pub mod terminal;
pub mod worker;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal};

/// A private folder with the programs, the home and the state of one run.
pub struct Sandbox {
    dir: tempfile::TempDir,
    env: Vec<(String, String)>,
    only_fakes: bool,
}

/// The outcome of a run of the binary.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The exit code; -1 for a run ended by a signal.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Sandbox {
    /// Makes a sandbox whose `PATH` has the fakes before the programs of the machine.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("making a folder for the test");
        for part in ["bin", "calls", "home", "tools", "flake"] {
            fs::create_dir(dir.path().join(part)).expect("preparing the sandbox");
        }
        Self { dir, env: Vec::new(), only_fakes: false }
    }

    /// Makes a sandbox whose `PATH` has only the fakes and the few programs that they use.
    pub fn with_fakes_only() -> Self {
        let sandbox = Self { only_fakes: true, ..Self::new() };
        let path = std::env::var_os("PATH").expect("PATH is set");
        for program in ["sh", "cat", "cp", "printf", "sleep", "touch", "mkdir", "id"] {
            let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.exists());
            let link = sandbox.path("bin").join(program);
            std::os::unix::fs::symlink(found.expect(program), link).expect("linking a program");
        }
        sandbox
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Sets a variable for the runs that follow.
    pub fn env(&mut self, name: &str, value: impl AsRef<Path>) -> &mut Self {
        self.env.push((name.to_owned(), value.as_ref().display().to_string()));
        self
    }

    /// Puts the fake `program` on `PATH`: it records its arguments for [`Self::calls`], then runs `body`, a shell script. It
    /// writes all arguments at once: fakes run in parallel.
    pub fn fake(&self, program: &str, body: &str) -> &Self {
        let log = self.path("calls").join(program);
        let log = log.display();
        let script = format!(
            "#!/bin/sh\nend=$(printf '\\037')\nline=\nfor word in \"$@\"; do line=$line$word$end; done\n\
             printf '%s\\036' \"$line\" >>'{log}'\n{body}\n"
        );
        let file = self.path("bin").join(program);
        fs::write(&file, script).expect("writing a fake");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("making a fake executable");
        self
    }

    /// The argument vectors with which the fake `program` was called, in order.
    pub fn calls(&self, program: &str) -> Vec<Vec<String>> {
        let text = fs::read_to_string(self.path("calls").join(program)).unwrap_or_default();
        let calls = text.split_terminator('\x1e');
        calls.map(|call| call.split_terminator('\x1f').map(str::to_owned).collect()).collect()
    }

    /// Runs the tool to its end, without a terminal and with an empty stdin.
    pub fn run(&self, args: &[&str]) -> Outcome {
        let output = self.command(args).output().expect("running the binary");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        Outcome { code, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Runs the tool and presses Ctrl-C, which reaches its children too, once its stderr has `text`.
    pub fn interrupt_at(&self, args: &[&str], text: &str) -> Outcome {
        let mut command = self.command(args);
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("running the binary");
        let group = Pid::from_child(&child);
        let mut stderr = String::new();
        for line in BufReader::new(child.stderr.take().expect("stderr is a pipe")).lines() {
            let line = line.expect("reading stderr");
            if line.contains(text) {
                rustix::process::kill_process_group(group, Signal::INT).expect("interrupting");
            }
            stderr.extend([line.as_str(), "\n"]);
        }
        let output = child.wait_with_output().expect("waiting for the binary");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        Outcome { code: output.status.code().unwrap_or(-1), stdout, stderr }
    }

    /// The command that [`Self::run`] runs, for tests with a dialogue or an interrupt.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = start_of(env!("CARGO_BIN_EXE_xtask"));
        let mut path = self.path("bin").into_os_string();
        if let Some(rest) = std::env::var_os("PATH").filter(|_| !self.only_fakes) {
            path.push(":");
            path.push(rest);
        }
        command
            .args(args)
            .env("PATH", path)
            .env("HOME", self.path("home"))
            .env("XTASK_TOOLS", self.path("tools"))
            .env("XTASK_STATE", self.path("state"))
            .env_remove("XDG_DATA_HOME")
            .stdin(Stdio::null())
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A command of `program` that heeds Ctrl-C, also where the suite itself was started in the background, by `&` of a shell
/// without job control: what is ignored at the start stays ignored.
#[expect(clippy::disallowed_methods, reason = "the suites start the binary itself")]
fn start_of(program: &str) -> Command {
    const INTERRUPT: u64 = 1 << (2 - 1);
    let status = fs::read_to_string("/proc/self/status").expect("reading the state of this process");
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("a line SigIgn");
    if u64::from_str_radix(mask.trim(), 16).expect("a mask") & INTERRUPT == 0 {
        return Command::new(program);
    }
    let mut command = Command::new("/usr/bin/env");
    command.args(["--default-signal=INT", program]);
    command
}

/// The hash by which the tool names a content: BLAKE3 of the list of the XXH3-128 hashes of its pieces of 1 MiB.
pub fn content_hash(content: &[u8]) -> String {
    let list = content.chunks(1 << 20).map(|chunk| xxhash_rust::xxh3::xxh3_128(chunk).to_be_bytes());
    blake3::hash(&list.collect::<Vec<_>>().concat()).to_hex().to_string()
}

impl Outcome {
    pub fn of(output: &std::process::Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        Self { code, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Asserts the exit code and returns stdout; a mismatch prints all output.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &str {
        assert_eq!(self.code, code, "\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        &self.stdout
    }

    /// Asserts that stderr contains `text`.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "not said: {text:?}\nstderr:\n{}", self.stderr);
        self
    }
}
