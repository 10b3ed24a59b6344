//! Whether remote builders answer, asked as Nix asks them: by their stores, with the options of their lines.

use std::time::Duration;

use anyhow::Result;

use super::builders::Builder;
use crate::base::failure::{ExitKind, kind};
use crate::base::interrupt;
use crate::base::parallel;
use crate::base::process::{Bounds, Launcher};
use crate::nix::{FEATURES, build_sandbox, strip_ansi};

/// The longest time for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How many builders are asked at once.
const MAX_PROBES: usize = 32;
/// Without a terminal nobody can answer a question of ssh, as in a build.
const SSH_OPTIONS: &str = "-oBatchMode=yes -oConnectTimeout=5";
/// What ssh prints where the host answers, and the login fails.
const REFUSED_LOGINS: [&str; 2] = [": Permission denied (", "Host key verification failed"];

/// What a builder answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Builds,
    /// Its ssh server answers, and refuses this user. nix-daemon logs in with keys of its own.
    ForDaemon,
    /// It cannot be used, for this reason.
    Fails(String),
}

/// Asks all `builders` side by side.
///
/// # Errors
/// `Interrupted` if the user stops it.
pub fn probe_all(launcher: &Launcher, builders: Vec<Builder>) -> Result<Vec<(Builder, Answer)>> {
    let signals = interrupt::guard()?;
    let ask = |builder: Builder| {
        let answer = probe(launcher, &builder, &|| signals.check());
        answer.map(|answer| (builder, answer))
    };
    parallel::map(MAX_PROBES, builders, ask).into_iter().collect()
}

fn probe(launcher: &Launcher, builder: &Builder, check: &dyn Fn() -> Result<()>) -> Result<Answer> {
    let user_options = launcher.env("NIX_SSHOPTS").unwrap_or_default();
    let options = format!("{} {SSH_OPTIONS}", user_options.to_string_lossy());
    let launcher = launcher.clone().with_env("NIX_SSHOPTS", options.trim_start());
    // `ping` is the older name of `info`, which all versions know.
    let store = builder.store();
    let args = [&FEATURES[..], &["store", "ping", "--store", &store]].concat();
    match launcher.run_bounded("nix", &args, Bounds { output: 1 << 20, time: TIMEOUT }, check) {
        Err(error) if kind(&error) == ExitKind::Verification => {
            Ok(Answer::Fails(format!("does not answer within {} s", TIMEOUT.as_secs())))
        }
        Err(error) => Err(error),
        Ok(output) if output.success() => Ok(Answer::Builds),
        Ok(output) => Ok(failed(&output.stderr, build_sandbox::has_foreign_daemon(&launcher))),
    }
}

/// The answer for a probe that failed with `stderr`. `by_daemon`: the daemon of another user builds.
fn failed(stderr: &str, by_daemon: bool) -> Answer {
    let text = strip_ansi(stderr);
    let is_refused = REFUSED_LOGINS.iter().any(|words| text.contains(words));
    if is_refused && by_daemon {
        return Answer::ForDaemon;
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("warning: "));
    let (nix, others) = lines.partition::<Vec<_>, _>(|line| line.starts_with("error:"));
    let said = others
        .last()
        .or(nix.first())
        .map_or("it prints nothing", |line| line.trim_start_matches("error:").trim_start());
    let said = said.chars().take(300).collect::<String>();
    Answer::Fails(if is_refused {
        format!("refuses the login: {said}")
    } else {
        format!("does not answer: {said}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_failed_probes() {
        let refused =
            "root@pi: Permission denied (publickey).\nerror: failed to start SSH connection to 'root@pi'";
        for (stderr, by_daemon, expected) in [
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
            ("", false, Answer::Fails("does not answer: it prints nothing".into())),
        ] {
            assert_eq!(failed(stderr, by_daemon), expected, "{stderr}");
        }
    }

    #[test]
    fn fuzz() {
        let sample =
            "warning: w\nroot@pi: Permission denied (publickey).\nerror: failed to start SSH connection";
        crate::base::fuzz::check_text(&[sample], |text| failed(text, false));
    }
}
