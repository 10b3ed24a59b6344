//! The code that the suites share: a sandbox that runs the real binary, with fake programs on `PATH` where a test
//! needs them, and the outcome of a run.

#![allow(dead_code, reason = "each suite is its own crate and uses its own part of this module")]

pub mod binfmt;
pub mod image;
pub mod loops;
pub mod outcome;
pub mod schema;
pub mod terminal;
pub mod worker;
pub mod xtask;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ::xtask::base::program_file;
pub use outcome::Outcome;
use xtask::{Xtask, command_that_heeds_interrupts};

/// Variables that decide about colours, beside `TERM`. CI sets some of them.
const VARIABLES_OF_COLOURS: [&str; 4] = ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"];

/// A private folder with the programs, the home and the state of one run.
pub struct Sandbox {
    dir: tempfile::TempDir,
    env: Vec<(String, String)>,
    only_fakes: bool,
}

impl Sandbox {
    /// Makes a sandbox whose `PATH` has the fakes before the programs of the machine. In the suite `cli`, the thread
    /// also loses rights of root: see [`drop_file_mode_overrides`].
    pub fn new() -> Self {
        if env!("CARGO_CRATE_NAME") == "cli" {
            drop_file_mode_overrides();
        }
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

    /// The path of `name` in the folder of the sandbox.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Sets a variable for the runs that follow.
    pub fn env(&mut self, name: &str, value: impl AsRef<Path>) -> &mut Self {
        self.env.push((name.to_owned(), value.as_ref().display().to_string()));
        self
    }

    /// Puts the fake `program` on `PATH`: the fake records its arguments for [`Self::calls`], then runs the shell
    /// script `body`. Fakes run in parallel, and a shell writes a long text in parts: `cat` adds all arguments at once.
    pub fn fake(&self, program: &str, body: &str) -> &Self {
        let log = self.path("calls").join(program).display().to_string();
        let script = format!(
            "#!/bin/sh\nend=$(printf '\\037')\nline=\nfor word in \"$@\"; do line=$line$word$end; done\n\
             printf '%s\\036' \"$line\" >'{log}.'$$\ncat '{log}.'$$ >>'{log}'\n{body}\n"
        );
        let file = self.path("bin").join(program);
        program_file::write(&file, script, 0o755).expect("writing a fake");
        self
    }

    /// The argument vectors with which the fake `program` was called, in order.
    pub fn calls(&self, program: &str) -> Vec<Vec<String>> {
        let text = fs::read_to_string(self.path("calls").join(program)).unwrap_or_default();
        let calls = text.split_terminator('\x1e');
        calls.map(|call| call.split_terminator('\x1f').map(str::to_owned).collect()).collect()
    }

    /// A run of the tool with `args`, without a terminal and with an empty stdin.
    pub fn xtask(&self, args: &[&str]) -> Xtask {
        Xtask::new(self.command(args))
    }

    /// Runs the tool to its end.
    pub fn run(&self, args: &[&str]) -> Outcome {
        self.xtask(args).run()
    }

    /// The command that [`Self::run`] runs, for tests that start the process themselves.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.with_environment(command_that_heeds_interrupts(env!("CARGO_BIN_EXE_xtask")));
        command.args(args);
        command
    }

    /// A shell that runs `script` up to the first command that fails. `cargo xtask` is the tool.
    pub fn shell(&self, script: &str) -> Command {
        let cargo = self.path("bin/cargo");
        let binary = env!("CARGO_BIN_EXE_xtask");
        let alias = format!("#!/bin/sh\n[ \"$1\" = xtask ] && shift && exec '{binary}' \"$@\"\n");
        program_file::write(&cargo, alias, 0o755).expect("writing cargo");
        let mut shell = self.with_environment(command_that_heeds_interrupts("bash"));
        shell.args(["-euo", "pipefail", "-c", script]);
        shell
    }

    /// `command` with the environment of this sandbox and an empty stdin.
    fn with_environment(&self, mut command: Command) -> Command {
        let mut path = self.path("bin").into_os_string();
        if let Some(rest) = std::env::var_os("PATH").filter(|_| !self.only_fakes) {
            path.push(":");
            path.push(rest);
        }
        command
            .env("PATH", path)
            .env("HOME", self.path("home"))
            .env("XTASK_TOOLS", self.path("tools"))
            .env("XTASK_STATE", self.path("state"))
            .env_remove("XDG_DATA_HOME")
            .env_remove("LC_ALL")
            .env_remove("LC_CTYPE")
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::null());
        // Colours are those of a user's machine, also where CI runs the tests.
        for name in VARIABLES_OF_COLOURS {
            command.env_remove(name);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if self.only_fakes {
            // This variable would lead the tool to a real Nix.
            command.env_remove("NIX_BIN_DIR");
        }
        command
    }
}

/// Removes the rights of root that override the modes of files from this thread's children. With these rights the tool
/// calls Nix with other arguments; the suite `cli` asserts the arguments for other users.
fn drop_file_mode_overrides() {
    use rustix::thread::CapabilitySet;
    if rustix::process::geteuid().is_root() {
        for capability in [CapabilitySet::DAC_OVERRIDE, CapabilitySet::DAC_READ_SEARCH] {
            let dropped = rustix::thread::remove_capability_from_bounding_set(capability);
            dropped.expect("dropping a right of root");
        }
        let mut sets = rustix::thread::capabilities(None).expect("reading the rights of this thread");
        sets.inheritable.remove(CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH);
        rustix::thread::set_capabilities(None, sets).expect("dropping inherited rights");
    }
}

/// The SHA-256 of `bytes` in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    <sha2::Sha256 as sha2::Digest>::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The text by which results and receipts identify the image in `file`.
pub fn file_sum(file: &Path) -> String {
    format!("SHA-256 of the image file {}", sha256(&fs::read(file).expect("reading the image")))
}

/// The hash of an image in receipts and results: BLAKE3 of the XXH3-128 hashes of its chunks of 1 MiB.
pub fn content_hash(content: &[u8]) -> String {
    let chunk_hashes = content.chunks(1 << 20).map(|chunk| xxhash_rust::xxh3::xxh3_128(chunk).to_be_bytes());
    blake3::hash(&chunk_hashes.collect::<Vec<_>>().concat()).to_hex().to_string()
}
