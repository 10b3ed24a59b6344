//! The `ssh` that deploy-rs runs. It copies, activates and waits over the connection that is open already; its
//! confirmation needs a new one, as it proves that the host still accepts connections. An activation goes on where
//! deploy-rs has ended.

use std::path::Path;

use super::options::BATCH_MODE;
use super::{Remote, SshMux};
use crate::base::{Context, HostName, shell};
use crate::deploy::stand_in::StandIn;

/// The script; see the file.
const SCRIPT: &str = include_str!("deploy_rs_ssh.sh");

/// The commands of deploy-rs (1.0.0) and of its Nix that may share a connection, as patterns of the shell for all words
/// of ssh. All others, such as `rm` of the canary file, get a new one.
///
/// Nix asks for a shared connection by `-O check` before it uses one: without it, Nix waits for a line of its
/// `LocalCommand`, which ssh runs for a new connection alone, and would wait for ever.
const SHARED: &[&str] = &[
    "*/activate-rs*\\ activate\\ *",
    "*/activate-rs*\\ wait\\ *",
    "*nix-store\\ --serve*",
    "-O\\ check\\ *",
];

/// The command of deploy-rs whose end it does not always wait for.
const ACTIVATION: &str = "*/activate-rs*\\ activate\\ *";

/// The `ssh` for the deploy to `host`, which shares `mux`; `None` where it cannot be written. Then deploy-rs runs the
/// user's.
///
/// Where a connection was made without a question, ssh asks the user nothing: a host that has locked the user out would
/// leave the confirmation at a question for a password. A stop does not end an activation then; at a question, it must.
pub fn deploy_rs_ssh(
    cx: &Context,
    host: &HostName,
    remote: &Remote,
    mux: Option<&SshMux>,
) -> Option<StandIn> {
    let ssh = cx.launcher.which("ssh")?;
    let asks_nothing = mux.is_some() || remote.asks_nothing().unwrap_or(false);
    // ssh handles the signals of a terminal even where its parent ignores them, so it must not be of the terminal.
    let apart = asks_nothing.then(|| cx.launcher.which("setsid")).flatten();
    let shared = mux.map(SshMux::options);
    let script =
        script(&Parts { ssh: &ssh, shared: shared.as_deref(), asks_nothing, apart: apart.as_deref() });
    StandIn::write(&cx.state, host, "ssh", &script).ok()
}

/// Whether the `ssh` of an activation that deploy-rs has begun still runs: the activation may have not reached the host
/// yet.
pub fn has_activation(ssh: &StandIn) -> bool {
    ssh.runs_with(&["/activate-rs", " activate "])
}

/// What a script consists of.
struct Parts<'a> {
    ssh: &'a Path,
    /// The options before the words of the commands that may share a connection. ssh takes the first value of each
    /// option, and connects by itself where the shared connection has ended.
    shared: Option<&'a [String]>,
    asks_nothing: bool,
    /// The program that runs another one in a session without a terminal.
    apart: Option<&'a Path>,
}

/// The script that runs ssh.
fn script(parts: &Parts) -> String {
    let Parts { ssh, shared, asks_nothing, apart } = *parts;
    let path = |file: &Path| shell::quote(&file.to_string_lossy());
    let quote =
        |options: &[String]| options.iter().map(|option| shell::quote(option)).collect::<Vec<_>>().join(" ");
    let (ask_nothing, ignored) = if asks_nothing { (BATCH_MODE, "INT HUP PIPE") } else { (&[][..], "PIPE") };
    SCRIPT
        .replace("@shared@", &SHARED.join(" | "))
        .replace("@options@", &quote(shared.unwrap_or_default()))
        .replace("@ask_nothing@", &ask_nothing.join(" "))
        .replace("@activation@", ACTIVATION)
        .replace("@ignored@", ignored)
        .replace("@apart@", &apart.map(path).unwrap_or_default())
        .replace("@ssh@", &path(ssh))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::process::Launcher;
    use crate::base::program_file;

    /// The words with which ssh is run for `words`.
    fn run(words: &[&str]) -> String {
        let shared = ["-o".into(), "ControlPath=/a b".into()];
        let parts = Parts { ssh: Path::new("echo"), shared: Some(&shared), asks_nothing: true, apart: None };
        let script = script(&parts);
        let args = [&["-c", &script, "ssh"], words].concat();
        Launcher::new("/").read("sh", &args).unwrap().trim_end().to_owned()
    }

    #[test]
    fn only_what_proves_nothing_shares_the_connection() {
        let activate =
            "sudo -u root /nix/store/x-a/activate-rs --debug-logs activate '/nix/store/x-a' --auto-rollback";
        let wait = "/nix/store/x-a/activate-rs wait '/nix/store/x-a' --temp-path '/tmp'";
        let nix = ["root@pi", "-x", "-p", "22", "nix-store --serve --write"];
        for (words, is_shared) in [
            (&["root@pi", "-T", activate][..], true),
            (&["root@pi", wait], true),
            (&nix, true),
            (&["root@pi", "nix-store", "--serve", "--write"], true),
            (&["-O", "check", "root@pi", "-x"], true),
            (&["root@pi", "-T", "rm /tmp/deploy-rs-canary-0123"], false),
            (&["root@pi", "sudo -u root rm /tmp/x/deploy-rs-canary-0123"], false),
            (&["root@pi", "/nix/store/x-a/activate-rs revoke --profile-path '/p'"], false),
            (&["root@pi", "true"], false),
        ] {
            let options = if is_shared { "-o ControlPath=/a b " } else { "" };
            assert_eq!(run(words), format!("-o BatchMode=yes {options}{}", words.join(" ")));
        }
    }

    /// What deploy-rs (1.0.0) does where an activation fails: it hears of that by another command, and ends.
    #[test]
    fn an_activation_goes_on_where_nobody_reads_what_it_prints() {
        let dir = tempfile::tempdir().unwrap();
        let host = dir.path().join("host");
        let ended = dir.path().join("ended");
        let text =
            format!("#!/bin/sh\necho a\nsleep 0.2\necho b\necho c >&2\n: >{}\nexit 7\n", ended.display());
        program_file::write(&host, text, 0o700).unwrap();
        let script = script(&Parts { ssh: &host, shared: None, asks_nothing: false, apart: None });
        let words = "root@pi /nix/store/x-a/activate-rs activate '/nix/store/x-a'";
        let output = Launcher::new("/").capture("sh", &["-c", &script, "ssh", words]).unwrap();
        assert_eq!((output.stdout.as_str(), output.code), ("a\nb\nc\n", 7));
        std::fs::remove_file(&ended).unwrap();
        Launcher::new("/")
            .read("sh", &["-c", "sh -c \"$1\" ssh \"$2\" | read -r line", "sh", &script, words])
            .unwrap();
        assert!(ended.exists());
    }
}
