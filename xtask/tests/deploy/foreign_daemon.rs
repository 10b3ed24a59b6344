//! A real nix-daemon of another user, which trusts this user or not.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::Sandbox;

/// A user who owns nothing else.
const NOBODY: u32 = 65_534;

/// The words that run a program as a root without the rights over files of others, as any other user is.
const AS_USER: &[&str] = &[
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-dac_override,-dac_read_search",
];

/// A daemon that ends when this is dropped. Its settings, its state and its store are in `dir`.
struct Daemon(Child);

impl Daemon {
    fn start(dir: &Path, settings: &str) -> Self {
        fs::create_dir(dir).expect("making a folder");
        fs::write(dir.join("nix.conf"), settings).expect("writing settings");
        for folder in [dir, &dir.join("var"), &dir.join("store")] {
            fs::create_dir_all(folder).expect("making a folder");
            chown(folder, Some(NOBODY), Some(NOBODY)).expect("giving a folder away");
        }
        #[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
        let mut command = Command::new("setpriv");
        let nobody = NOBODY.to_string();
        // The programs of this machine may be in the home of root.
        let reading = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"];
        command
            .args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups"])
            .args(reading)
            .arg("nix-daemon");
        let child = command.envs(variables(dir)).stderr(Stdio::null()).spawn().expect("starting nix-daemon");
        let daemon = Self(child);
        let begin = Instant::now();
        while !dir.join("var/daemon-socket/socket").exists() {
            assert!(begin.elapsed() < Duration::from_secs(20), "the daemon makes no socket");
            std::thread::sleep(Duration::from_millis(20));
        }
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// The variables by which Nix finds the daemon in `dir`, and the daemon its files.
fn variables(dir: &Path) -> [(&'static str, String); 5] {
    let path = |name: &str| dir.join(name).display().to_string();
    [
        ("NIX_CONF_DIR", dir.display().to_string()),
        ("NIX_STATE_DIR", path("var")),
        ("NIX_LOG_DIR", path("var/log")),
        ("NIX_STORE_DIR", path("store")),
        ("HOME", path("var")),
    ]
}

#[test]
#[ignore = "needs root and Nix: run `cargo xtask test`"]
fn a_daemon_heeds_the_settings_of_those_whom_it_trusts() {
    for (trusted_users, of_daemon, is_heeded) in
        [("root", "", true), ("nobody", "", false), ("", "", false), ("nobody", "aarch64-linux", true)]
    {
        let mut sandbox = Sandbox::new();
        fs::set_permissions(sandbox.path(""), fs::Permissions::from_mode(0o755)).expect("opening a folder");
        let dir = sandbox.path("daemon");
        let settings = format!(
            "trusted-users = {trusted_users}\nextra-platforms = {of_daemon}\nbuild-users-group =\nsandbox = true\n"
        );
        let _daemon = Daemon::start(&dir, &settings);
        fs::write(sandbox.path("own.conf"), "extra-platforms = aarch64-linux\n").expect("writing settings");
        let own = sandbox.path("own.conf");
        sandbox.env("NIX_USER_CONF_FILES", own).env("NIX_CONFIG", "");
        for (name, value) in variables(&dir) {
            if name != "HOME" {
                sandbox.env(name, value);
            }
        }
        let outcome = sandbox.xtask(&["--json", "doctor"]).wrapped_in(AS_USER).run();
        let found = &outcome.json()["requirements"][1];
        let message = found["message"].as_str().expect("a message");
        let is_ignored = message.contains("only your own settings list it in extra-platforms");
        assert_eq!(is_ignored, !is_heeded, "{trusted_users:?} {of_daemon:?}: {message}");
    }
}
