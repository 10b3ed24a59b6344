//! A host in a network namespace; its errors fail the test.

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use xtask::Launcher;
use xtask::base::program_file;
use xtask::dev::netns;

/// A running host, and the folder that the host sees as /mnt.
pub struct Machine {
    /// Dropped before its folder.
    host: netns::NamespaceHost,
    _dir: tempfile::TempDir,
}

impl Machine {
    /// Starts a host; see [`netns::NamespaceHost::start`].
    pub fn start() -> Self {
        let dir = readable_folder();
        let host = netns::NamespaceHost::start(&Launcher::new("/"), dir.path()).expect("starting a host");
        Self { host, _dir: dir }
    }

    /// Starts a host whose user `pi` may use sudo by `rule`; see [`netns::NamespaceHost::start_with_user`].
    pub fn start_with_user(rule: &str) -> Self {
        let dir = readable_folder();
        let host = netns::NamespaceHost::start_with_user(&Launcher::new("/"), dir.path(), rule);
        Self { host: host.expect("starting a host"), _dir: dir }
    }

    /// Writes a `known_hosts` file with the host's key, and returns its path.
    pub fn write_known_hosts(&self) -> PathBuf {
        self.host.write_known_hosts().expect("writing known_hosts")
    }

    /// Runs a shell script on the host without ssh, and returns its stdout.
    #[track_caller]
    pub fn run_inside(&self, script: &str) -> String {
        self.host.run_inside(script).expect("running a script on a host")
    }

    /// Replaces a program of the host with a shell script.
    pub fn replace_program(&self, program: &str, script: &str) {
        let file = self.path("bin").join(program);
        program_file::write(&file, format!("#!/bin/sh\n{script}\n"), 0o755).expect("replacing a program");
    }

    /// Restarts the Nix daemon of the host, which then reads its settings.
    pub fn restart_daemon(&self) {
        let daemon = "NIX_CONF_DIR=/mnt/etc HOME=/mnt/home setsid nix-daemon >/dev/null 2>&1 </dev/null &";
        let socket = "/nix/var/nix/daemon-socket/socket";
        self.run_inside(&format!(
            "pkill -x nix-daemon; rm -f {socket}; ({daemon}); until [ -S {socket} ]; do sleep 0.01; done"
        ));
    }

    /// The bytes that the host has received over its link.
    #[track_caller]
    pub fn received_bytes(&self) -> u64 {
        self.run_inside("cat /proc/net/dev | sed -n 's/^ *eth0: *\\([0-9]*\\).*/\\1/p'")
            .parse()
            .expect("a number")
    }

    /// Waits until no activation runs on the host.
    pub fn wait_for_the_end_of_activations(&self) {
        self.host.wait_for_the_end_of_activations().expect("waiting for a host");
    }
}

impl Deref for Machine {
    type Target = netns::NamespaceHost;

    fn deref(&self) -> &netns::NamespaceHost {
        &self.host
    }
}

/// A new folder that users of the host can read.
fn readable_folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("making a folder for a host");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))
        .expect("making the folder readable for users");
    dir
}

/// The path of the real `program`, not of a fake one.
pub fn real_program(program: &str) -> String {
    let path = std::env::var_os("PATH").expect("PATH is set");
    let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.exists());
    found.expect(program).display().to_string()
}

/// Runs a program and returns its stdout; panics if it fails.
pub fn run(program: &str, args: &[&str]) -> String {
    let Output { status, stdout, stderr } = run_to_end(program, args);
    assert!(status.success(), "{program} {args:?} failed: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8_lossy(&stdout).into_owned()
}

/// Runs a program and returns its exit code, or -1 after a signal, and its stderr.
pub fn code_and_stderr(program: &str, args: &[&str]) -> (i32, String) {
    let Output { status, stderr, .. } = run_to_end(program, args);
    (status.code().unwrap_or(-1), String::from_utf8_lossy(&stderr).into_owned())
}

#[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
/// Runs a program and returns its output; panics if it cannot be started.
fn run_to_end(program: &str, args: &[&str]) -> Output {
    let output = Command::new(program).args(args).output();
    output.unwrap_or_else(|error| panic!("running {program}: {error}"))
}
