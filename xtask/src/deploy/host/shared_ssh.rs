//! The `ssh` that deploy-rs runs. It copies, activates and waits over the connection that is open already; its
//! confirmation needs a new one, as it proves that the host still accepts connections.

use std::path::Path;

use super::SshMux;
use super::options::BATCH_MODE;
use crate::base::{Context, HostName, shell};
use crate::deploy::stand_in::StandIn;

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

/// The `ssh` for the deploy to `host` that shares `mux`; `None` where it cannot be written. Then deploy-rs opens
/// connections of its own.
pub fn shared_ssh(cx: &Context, host: &HostName, mux: &SshMux) -> Option<StandIn> {
    let ssh = cx.launcher.which("ssh")?;
    StandIn::write(&cx.state, host, "ssh", &script(&ssh, &mux.options())).ok()
}

/// The script that runs `ssh`, with `options` before the words of the commands that may share a connection. ssh takes
/// the first value of each option, and connects by itself where the shared connection has ended. It asks the user
/// nothing, as the shared connection needed no answer: a host that has locked the user out would leave the confirmation
/// at a question for a password.
fn script(ssh: &Path, options: &[String]) -> String {
    let ssh = shell::quote(&ssh.to_string_lossy());
    let options = options.iter().map(|option| shell::quote(option)).collect::<Vec<_>>().join(" ");
    let patterns = SHARED.join(" | ");
    let ask_nothing = BATCH_MODE.join(" ");
    format!(
        "#!/bin/sh\ncase \"$*\" in {patterns}) set -- {options} \"$@\" ;; esac\nexec {ssh} {ask_nothing} \"$@\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::process::Launcher;

    /// The words with which ssh is run for `words`.
    fn run(words: &[&str]) -> String {
        let script = script(Path::new("echo"), &["-o".into(), "ControlPath=/a b".into()]);
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
}
