//! A host in a network namespace; its errors fail the test.

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use xtask::Launcher;
use xtask::dev::netns;

/// A running host, and the folder that the host has as /mnt.
pub struct Machine {
    /// Dropped before its folder.
    host: netns::NamespaceHost,
    _dir: tempfile::TempDir,
}

impl Machine {
    /// See [`netns::NamespaceHost::start`].
    pub fn start() -> Self {
        let dir = folder();
        let host = netns::NamespaceHost::start(&Launcher::new("/"), dir.path()).expect("starting a host");
        Self { host, _dir: dir }
    }

    /// See [`netns::NamespaceHost::start_with_user`].
    pub fn start_with_user(rule: &str) -> Self {
        let dir = folder();
        let host = netns::NamespaceHost::start_with_user(&Launcher::new("/"), dir.path(), rule);
        Self { host: host.expect("starting a host"), _dir: dir }
    }

    pub fn known_hosts(&self) -> PathBuf {
        self.host.known_hosts().expect("writing known_hosts")
    }

    #[track_caller]
    pub fn inside(&self, script: &str) -> String {
        self.host.run_inside(script).expect("running a script on a host")
    }

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

/// A folder that users of the host can read.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("making a folder for a host");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("showing it to users");
    dir
}

/// The path of the real program.
pub fn real(program: &str) -> String {
    let path = std::env::var_os("PATH").expect("PATH is set");
    let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.exists());
    found.expect(program).display().to_string()
}

/// Runs a program and returns its stdout; panics if it fails.
pub fn run(program: &str, args: &[&str]) -> String {
    let Output { status, stdout, stderr } = start(program, args);
    assert!(status.success(), "{program} {args:?} failed: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8_lossy(&stdout).into_owned()
}

/// Runs a program and returns its exit code and stderr.
pub fn output(program: &str, args: &[&str]) -> (i32, String) {
    let Output { status, stderr, .. } = start(program, args);
    (status.code().unwrap_or(-1), String::from_utf8_lossy(&stderr).into_owned())
}

#[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
fn start(program: &str, args: &[&str]) -> Output {
    let output = Command::new(program).args(args).output();
    output.unwrap_or_else(|error| panic!("running {program}: {error}"))
}
