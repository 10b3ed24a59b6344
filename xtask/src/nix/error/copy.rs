//! Errors of `nix copy`. The text of the host decides the hint, as Nix on this machine only knows that the connection
//! ended.

use std::fmt::Display;

use super::summarize;
use crate::base::failure::ExitKind;

/// Why a copy to a host failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyFault {
    /// The store of the host takes nothing unsigned from this user.
    Untrusted,
    HostFull,
    NoNixStore,
    /// The shell of the host prints text before the command runs.
    Greeting,
    LoginRefused,
}

impl CopyFault {
    /// The remedy, for a copy to `login` (`USER@HOST`).
    pub fn hint(self, login: &str) -> String {
        let user = login.rsplit_once('@').map_or("root", |(user, _)| user);
        match self {
            Self::Untrusted => format!(
                "add `nix.settings.trusted-users = [ \"{user}\" ];` to the host's configuration and deploy it once as \
                 root (`-- --ssh-user root`), or sign what is built here: `secret-key-files` in nix.conf here, \
                 `nix.settings.trusted-public-keys` on the host"
            ),
            Self::HostFull => {
                format!("free space on the host: `ssh {login} sudo nix-collect-garbage --delete-old`")
            }
            Self::NoNixStore => format!(
                "install Nix on the host, and put `nix-store` on the PATH of ssh commands: `ssh {login} nix-store \
                 --version` must print a version"
            ),
            Self::Greeting => {
                "make the shell of the host print nothing without a terminal: begin its ~/.bashrc with \
                               `[[ $- == *i* ]] || return`"
                    .to_owned()
            }
            Self::LoginRefused => format!("run `ssh {login} true`, which must succeed without a question"),
        }
    }
}

/// The faults by what ssh and the host print: all patterns of a rule must occur, and the first such rule counts. Seen
/// with Nix 2.26.3, OpenSSH 9.2 and the shells bash, dash and fish.
const HOST_RULES: &[(&[&str], CopyFault)] = &[
    (&["lacks a signature by a trusted key"], CopyFault::Untrusted),
    (&["No space left on device"], CopyFault::HostFull),
    (&["database or disk is full"], CopyFault::HostFull), // SQLite
    (&["nix-store", "not found"], CopyFault::NoNixStore),
    (&["nix-store", "No such file or directory"], CopyFault::NoNixStore),
    (&["Unknown command", "nix-store"], CopyFault::NoNixStore), // fish
    (&[": Permission denied ("], CopyFault::LoginRefused),
];

/// The error for a copy of `path` to `login` (`USER@HOST`) that failed. `messages` are the errors of Nix here, the
/// cause first; `words` are the last lines that ssh and the host printed.
pub fn copy_failed(path: &dyn Display, login: &str, messages: &[String], words: &[String]) -> anyhow::Error {
    let cause = messages.first().map_or_else(|| "nix printed no error".to_owned(), |text| summarize(text));
    let fault = find_fault(&cause, &words.join("\n"));
    let hint = fault.map(|fault| fault.hint(login)).or_else(|| super::hint_of(&cause));
    let mut message = format!("nix failed on {path}: {cause}");
    if !words.is_empty() {
        message.push_str("\n  ssh and the host printed:");
        message.extend(words.iter().map(|line| format!("\n  | {line}")));
    }
    ExitKind::Other.error_with(message, hint, Vec::new())
}

/// Whether `error` is that of a copy whose connection ended without a line on stderr from the host.
pub fn is_silent_host(error: &anyhow::Error) -> bool {
    let text = error.to_string();
    let failures =
        ["cannot connect to '", "unexpected end-of-file", "Broken pipe", "failed to start SSH connection"];
    failures.iter().any(|failure| text.contains(failure)) && !text.contains("\n  | ")
}

fn find_fault(cause: &str, words: &str) -> Option<CopyFault> {
    let fits = |(patterns, _): &&(&[&str], _)| patterns.iter().all(|pattern| words.contains(pattern));
    let greeting = cause.contains("protocol mismatch").then_some(CopyFault::Greeting);
    greeting.or_else(|| HOST_RULES.iter().find(fits).map(|(_, fault)| *fault))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::hint;

    const PATH: &str = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-x";

    #[test]
    fn the_words_of_the_host_decide_the_hint() {
        for (cause, words, expected) in [
            (
                "unexpected end-of-file",
                "error: cannot add path '/nix/store/a-curl' because it lacks a signature by a trusted key",
                Some("add `nix.settings.trusted-users = [ \"pi\" ];`"),
            ),
            (
                "writing to file: Broken pipe",
                "error: writing to file: No space left on device",
                Some("free space on the host: `ssh pi@stinky sudo"),
            ),
            (
                "cannot connect to 'pi@stinky'",
                "bash: line 1: nix-store: command not found",
                Some("install Nix on the host"),
            ),
            ("cannot connect to 'pi@stinky'", "sh: 1: nix-store: not found", Some("install Nix on the host")),
            (
                "cannot connect to 'pi@stinky'",
                "fish: Unknown command: nix-store",
                Some("install Nix on the host"),
            ),
            (
                "'nix-store --serve' protocol mismatch from 'pi@stinky', got 'Welcome'",
                "",
                Some("make the shell of the host print nothing"),
            ),
            (
                "cannot connect to 'pi@stinky'",
                "pi@stinky: Permission denied (publickey).",
                Some("run `ssh pi@stinky true`"),
            ),
            ("unexpected end-of-file", "cannot open shared object file", None),
            // The disk of this machine.
            ("writing to file: No space left on device", "", Some("free space")),
        ] {
            let words = words.lines().map(str::to_owned).collect::<Vec<_>>();
            let error = copy_failed(&PATH, "pi@stinky", &[format!("error: {cause}")], &words);
            let found = hint(&error).map(|hint| hint.starts_with(expected.unwrap_or("none")));
            assert_eq!(found, expected.map(|_| true), "{cause} {words:?}: {:?}", hint(&error));
            assert!(words.iter().all(|line| error.to_string().contains(&format!("\n  | {line}"))), "{error}");
        }
    }

    #[test]
    fn hosts_that_say_nothing() {
        let failed = |cause: &str, words: &[&str]| {
            let words = words.iter().map(ToString::to_string).collect::<Vec<_>>();
            copy_failed(&PATH, "pi@stinky", &[format!("error: {cause}")], &words)
        };
        assert!(is_silent_host(&failed("cannot connect to 'pi@stinky'", &[])));
        assert!(!is_silent_host(&failed("cannot connect to 'pi@stinky'", &["killed"])));
        assert!(!is_silent_host(&failed("writing to file: No space left on device", &[])));
    }

    #[test]
    fn fuzz() {
        let words = "error: cannot add path '/nix/store/a-x' because it lacks a signature by a trusted key";
        crate::base::fuzz::check_text(&[words, "error: unexpected end-of-file"], |text| {
            let lines = text.lines().map(str::to_owned).collect::<Vec<_>>();
            copy_failed(&PATH, text, &lines, &lines).to_string()
        });
    }
}
