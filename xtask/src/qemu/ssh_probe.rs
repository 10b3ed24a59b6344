//! Asks the ssh server of a booting host whether it has a known host key, by whole handshakes of ssh.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};

use crate::base::process::{Bounds, Launcher};
use crate::base::ssh_path;
use crate::identity::PinnedKey;

/// The limits of one attempt. A handshake takes an emulated host some seconds.
const ATTEMPT: Bounds = Bounds { output: 1 << 20, time: Duration::from_secs(60) };
/// The pause between two attempts, and between two checks whether to stop.
const PAUSE: Duration = Duration::from_millis(500);

/// The search for a host key at a port of 127.0.0.1.
#[derive(Debug)]
pub struct SshProbe<'a> {
    launcher: &'a Launcher,
    port: u16,
    pub key: &'a PinnedKey,
    result: OnceLock<ProbeResult>,
    must_stop: AtomicBool,
}

/// What an ssh server has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeResult {
    /// The server has the known key.
    Known,
    /// The server has another key, with this fingerprint.
    Other(String),
}

impl<'a> SshProbe<'a> {
    pub fn new(launcher: &'a Launcher, port: u16, key: &'a PinnedKey) -> Self {
        Self { launcher, port, key, result: OnceLock::new(), must_stop: AtomicBool::new(false) }
    }

    /// What the server has shown; `None` until it answers.
    pub fn result(&self) -> Option<&ProbeResult> {
        self.result.get()
    }

    /// Ends [`Self::run`].
    pub fn stop(&self) {
        self.must_stop.store(true, Ordering::Relaxed);
    }

    /// Attempts handshakes until the server answers, or until [`Self::stop`].
    pub fn run(&self) {
        while !self.must_stop.load(Ordering::Relaxed) {
            let check = || self.check_stop();
            let ended = self.launcher.run_bounded_with_log("ssh", &self.args(), (ATTEMPT, None), &check);
            if let Some(result) = ended.ok().and_then(|(output, log)| judge(output.code, &log)) {
                let _ = self.result.set(result);
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn check_stop(&self) -> Result<()> {
        if self.must_stop.load(Ordering::Relaxed) {
            bail!("stopped");
        }
        Ok(())
    }

    /// The arguments of ssh: no file of the user has a say, no key and no password is offered, and only the known key
    /// is accepted.
    fn args(&self) -> Vec<String> {
        let options = [
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            "HostKeyAlgorithms=ssh-ed25519",
            "GlobalKnownHostsFile=none",
            "CheckHostIP=no",
            "UpdateHostKeys=no",
            "PreferredAuthentications=none",
            "PubkeyAuthentication=no",
            "IdentityAgent=none",
            "ConnectTimeout=10",
            "ControlPath=none",
        ]
        .map(str::to_owned);
        let own = [
            format!("HostKeyAlias={}", self.key.host),
            format!("UserKnownHostsFile={}", ssh_path(&self.key.known_hosts)),
            format!("Port={}", self.port),
        ];
        // ssh writes its log to the file that is its stdin: the host has no part in it but the reason of a disconnect.
        let mut args = ["-n", "-E", "/dev/stdin", "-F", "none"].map(str::to_owned).to_vec();
        args.extend(options.into_iter().chain(own).flat_map(|option| ["-o".to_owned(), option]));
        args.extend([format!("{USER}@127.0.0.1"), "true".to_owned()]);
        args
    }
}

/// The user of the login that is expected to fail.
const USER: &str = "nobody";

/// What the exit code and the log of ssh show; `None` where the handshake has not succeeded. ssh refuses the login only
/// after the server has signed with the accepted key.
fn judge(code: i32, log: &str) -> Option<ProbeResult> {
    let lines = || log.lines().map(str::trim);
    let is_refused_login =
        lines().any(|line| line.starts_with(&format!("{USER}@127.0.0.1: Permission denied (")));
    // A server could write any text into the reason of a disconnect.
    let is_disconnected = lines().any(|line| line.contains("isconnect"));
    if code == 0 || is_refused_login && !is_disconnected {
        return Some(ProbeResult::Known);
    }
    if lines().any(|line| line == "Host key verification failed.") {
        let fingerprint = log.split_whitespace().find(|word| word.starts_with("SHA256:"));
        let fingerprint = fingerprint.unwrap_or("of another type").trim_end_matches('.');
        return Some(ProbeResult::Other(fingerprint.to_owned()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_handshake_proves_the_key() {
        let changed = "@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n\
            The fingerprint for the ED25519 key sent by the remote host is\nSHA256:abc+/1.\n\
            Host key for pi has changed and you have requested strict checking.\nHost key verification failed.\n";
        let denied = "nobody@127.0.0.1: Permission denied (publickey).";
        for (code, log, expected) in [
            (255, denied, Some(ProbeResult::Known)),
            (0, "", Some(ProbeResult::Known)),
            (255, changed, Some(ProbeResult::Other("SHA256:abc+/1".into()))),
            (255, "kex_exchange_identification: Connection closed by remote host\r\n", None),
            (255, "Connection timed out during banner exchange", None),
            (255, "Permission denied (publickey).", None),
            (
                255,
                "Received disconnect from 127.0.0.1 port 22:2: x\nnobody@127.0.0.1: Permission denied (",
                None,
            ),
            (255, "", None),
        ] {
            assert_eq!(judge(code, log), expected, "{log}");
        }
    }

    #[test]
    fn only_the_known_key_is_accepted() {
        let launcher = Launcher::new("/");
        let key = PinnedKey {
            host: "pi".into(),
            known_hosts: "/a b/known_hosts".into(),
            fingerprint: "SHA256:x".into(),
        };
        let probe = SshProbe::new(&launcher, 2222, &key);
        let args = probe.args().join(" ");
        for option in [
            "-F none ",
            "-o StrictHostKeyChecking=yes ",
            "-o HostKeyAlias=pi ",
            "-o UserKnownHostsFile=\"/a b/known_hosts\" ",
            "-o Port=2222 ",
        ] {
            assert!(args.contains(option), "{args}");
        }
        assert!(args.ends_with(" nobody@127.0.0.1 true"), "{args}");
    }

    #[test]
    fn fuzz() {
        crate::base::fuzz::check_text(&["nobody@127.0.0.1: Permission denied (publickey)."], |log| {
            judge(255, log)
        });
    }
}
