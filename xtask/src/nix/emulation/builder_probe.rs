//! Probes whether remote builders answer. A probe asks as Nix does: for the store of the builder, with the options of
//! the builder's line.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::builders::Builder;
use crate::base::failure::{ExitKind, kind};
use crate::base::interrupt;
use crate::base::parallel;
use crate::base::process::{Bounds, Launcher};
use crate::nix::ssh_options::with_batch_options;
use crate::nix::{FEATURES, build_sandbox, strip_ansi};

/// The longest time for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// [`TIMEOUT`] for a connection of ssh.
const SSH_SECONDS: u32 = 5;
/// The most bytes that are read of the output of a probe.
const MAX_OUTPUT: u64 = 1 << 20;
/// The most builders that are asked at once.
const MAX_PROBES: usize = 32;
/// The most characters of a reason that are shown.
const MAX_REASON: usize = 300;
/// The words of ssh where the host answers, but the login fails.
const REFUSED_LOGINS: &[&str] = &[": Permission denied (", "Host key verification failed"];

/// The result of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The builder can be used.
    Builds,
    /// The ssh server of the builder answers, but refuses this user. nix-daemon, which logs in with keys of its own,
    /// may use the builder.
    ForDaemon,
    /// The builder cannot be used, for this reason.
    Fails(String),
}

/// Asks all `builders` side by side.
///
/// # Errors
/// `Interrupted` if the user stops a probe.
pub fn probe_all(launcher: &Launcher, builders: Vec<Builder>) -> Result<Vec<(Builder, Answer)>> {
    let signals = interrupt::guard()?;
    let probe_one = |builder: Builder| {
        let answer = probe(launcher, &builder, &|| signals.check())?;
        Ok((builder, answer))
    };
    parallel::map(MAX_PROBES, builders, probe_one).into_iter().collect()
}

/// Asks `builder`. The probe ends with the error of `check`, which is called again and again.
fn probe(launcher: &Launcher, builder: &Builder, check: &dyn Fn() -> Result<()>) -> Result<Answer> {
    // As in a build, nobody can answer a question of ssh.
    let launcher = with_batch_options(launcher, SSH_SECONDS);
    let store = builder.store();
    // All versions of Nix know `ping`, the older name of `info`.
    let args = [&FEATURES[..], &["store", "ping", "--store", &store]].concat();
    let begin = Instant::now();
    match launcher.run_bounded("nix", &args, Bounds { output: MAX_OUTPUT, time: TIMEOUT }, check) {
        Ok(output) if output.success() => Ok(Answer::Builds),
        Ok(output) => Ok(interpret_failure(&output.stderr, build_sandbox::has_foreign_daemon(&launcher))),
        Err(error) if kind(&error) == ExitKind::Verification && begin.elapsed() >= TIMEOUT => {
            Ok(Answer::Fails(format!("does not answer within {} s", TIMEOUT.as_secs())))
        }
        Err(error) if kind(&error) == ExitKind::Verification => {
            Ok(Answer::Fails(format!("gives no usable answer: {error}")))
        }
        Err(error) => Err(error),
    }
}

/// The answer for a probe that failed with `stderr`. `daemon_builds`: the daemon of another user builds for this user.
fn interpret_failure(stderr: &str, daemon_builds: bool) -> Answer {
    let text = strip_ansi(stderr);
    let is_refused = REFUSED_LOGINS.iter().any(|words| text.contains(words));
    let reason = find_reason(&text).chars().take(MAX_REASON).collect::<String>();
    match (is_refused, daemon_builds) {
        (true, true) => Answer::ForDaemon,
        (true, false) => Answer::Fails(format!("refuses the login: {reason}")),
        (false, _) => Answer::Fails(format!("does not answer: {reason}")),
    }
}

/// The line of `stderr` with the reason of a failure: the last line of ssh, or else the first error of Nix.
fn find_reason(stderr: &str) -> &str {
    let lines = stderr.lines().map(str::trim);
    let is_reason =
        |line: &&str| !line.is_empty() && !line.starts_with("warning: ") && !line.starts_with("Try 'nix");
    let relevant = lines.filter(is_reason);
    let (of_nix, of_ssh): (Vec<_>, Vec<_>) = relevant.partition(|line| line.starts_with("error:"));
    match of_ssh.last().or(of_nix.first()) {
        Some(line) => line.trim_start_matches("error:").trim_start(),
        None => "nix prints no reason",
    }
}

#[cfg(test)]
mod tests {

    use super::super::builders;
    use super::*;
    use crate::base::program_file;

    #[test]
    fn a_probe_without_end_is_not_called_silent() {
        let dir = tempfile::tempdir().unwrap();
        program_file::write(&dir.path().join("nix"), "#!/bin/sh\nexec yes\n", 0o755).unwrap();
        let launcher = Launcher::new("/").with_path_front(dir.path());
        let builder = builders::parse_all("ssh://pi", "aarch64-linux", |_| None).remove(0);
        let answer = probe(&launcher, &builder, &|| Ok(())).unwrap();
        let reason = "gives no usable answer: nix wrote more than 1.0 MiB and was killed";
        assert_eq!(answer, Answer::Fails(reason.into()));
    }

    #[test]
    fn a_failed_probe_gives_the_reason() {
        let refused =
            "root@pi: Permission denied (publickey).\nerror: failed to start SSH connection to 'root@pi'";
        for (stderr, daemon_builds, expected) in [
            (refused, true, Answer::ForDaemon),
            (
                refused,
                false,
                Answer::Fails("refuses the login: root@pi: Permission denied (publickey).".into()),
            ),
            (
                "warning: 'nix store ping' is a deprecated alias for 'nix store info'\n\
                 ssh: connect to host 127.0.0.1 port 22: Connection refused\n\
                 error: failed to start SSH connection to 'root@127.0.0.1'",
                true,
                Answer::Fails(
                    "does not answer: ssh: connect to host 127.0.0.1 port 22: Connection refused".into(),
                ),
            ),
            (
                "\u{1b}[31;1merror:\u{1b}[0m don't know how to open Nix store with scheme 'x'",
                false,
                Answer::Fails("does not answer: don't know how to open Nix store with scheme 'x'".into()),
            ),
            (
                "error: invalid SSH host name '-oX'\nTry 'nix --help' for more information.",
                false,
                Answer::Fails("does not answer: invalid SSH host name '-oX'".into()),
            ),
            ("", false, Answer::Fails("does not answer: nix prints no reason".into())),
        ] {
            assert_eq!(interpret_failure(stderr, daemon_builds), expected, "{stderr}");
        }
    }

    #[test]
    fn fuzz() {
        let sample =
            "warning: w\nroot@pi: Permission denied (publickey).\nerror: failed to start SSH connection";
        crate::base::fuzz::check_text(&[sample], |text| interpret_failure(text, false));
    }
}
