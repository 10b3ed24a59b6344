//! Errors of `nix copy`. The lines that the host prints decide the hint, as Nix on this machine only knows that the
//! connection ended.

use std::fmt::Display;

use super::summarize;
use crate::base::failure::ExitKind;
use crate::base::split_destination;
use crate::nix::programs::Programs;

/// Why a copy to a host failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyFault {
    /// The store of the host accepts only signed paths from this user.
    Untrusted,
    /// A disk of the host is full.
    HostFull,
    /// The host has no program `nix-store` on the `PATH` of ssh commands.
    NoNixStore,
    /// The shell of the host prints text before the command runs.
    Greeting,
    /// The ssh server of the host refuses the login.
    LoginRefused,
}

impl CopyFault {
    /// The remedy, for a copy to `login` (`USER@HOST`), which ssh reaches by `ssh_words`: options, then `USER@HOST`.
    pub fn hint(self, login: &str, ssh_words: &str) -> String {
        let user = split_destination(login).0.unwrap_or("root");
        match self {
            Self::Untrusted => format!(
                "add `nix.settings.trusted-users = [ \"{user}\" ];` to the host's configuration and deploy it once as \
                 root (`-- --ssh-user root`), or let the tool sign what it deploys: `cargo xtask identity cache-key` \
                 prints a key for `nix.settings.trusted-public-keys` of the host's configuration"
            ),
            Self::HostFull => {
                format!("free space on the host: `ssh {ssh_words} sudo nix-collect-garbage --delete-old`")
            }
            Self::NoNixStore => format!(
                "install Nix on the host, and put `nix-store` on the PATH of ssh commands: `ssh {ssh_words} nix-store \
                 --version` must print a version"
            ),
            Self::Greeting => {
                "make the shell of the host print nothing without a terminal: begin its ~/.bashrc \
                               with `[[ $- == *i* ]] || return`"
                    .to_owned()
            }
            Self::LoginRefused => {
                format!("run `ssh {ssh_words} true`, which must succeed without a question")
            }
        }
    }
}

/// The fault for each set of patterns in the lines of ssh and the host. All patterns of a set must occur, and the first
/// such set counts. Seen with Nix 2.26.3, OpenSSH 9.2 and the shells bash, dash and fish.
const HOST_RULES: &[(&[&str], CopyFault)] = &[
    (&["lacks a signature by a trusted key"], CopyFault::Untrusted),
    (&["No space left on device"], CopyFault::HostFull),
    (&["database or disk is full"], CopyFault::HostFull), // SQLite
    (&["nix-store", "not found"], CopyFault::NoNixStore),
    (&["nix-store", "No such file or directory"], CopyFault::NoNixStore),
    (&["Unknown command", "nix-store"], CopyFault::NoNixStore), // fish
    (&[": Permission denied ("], CopyFault::LoginRefused),
];

/// The error for a copy of `path` that failed, to `login`, which ssh reaches by `ssh_words`, as in [`CopyFault::hint`].
/// `messages` are the errors of Nix on this machine, the cause first; `host_lines` are the last lines that ssh and the
/// host printed.
pub fn copy_failed(
    path: &dyn Display,
    (login, ssh_words): (&str, &str),
    messages: &[String],
    host_lines: &[String],
    programs: &Programs,
) -> anyhow::Error {
    let cause = messages.first().map_or_else(|| "nix printed no error".to_owned(), |text| summarize(text));
    let fault = find_fault(&cause, &host_lines.join("\n"));
    let hint = fault.map(|fault| fault.hint(login, ssh_words)).or_else(|| super::hint_of(&cause, programs));
    let mut message = format!("nix failed on {path}: {cause}");
    if !host_lines.is_empty() {
        message.push_str("\n  ssh and the host printed:");
        message.extend(host_lines.iter().map(|line| format!("\n  | {line}")));
    }
    ExitKind::Other.error_with(message, hint, Vec::new())
}

/// Whether `error` comes from [`copy_failed`], for a connection that ended before ssh or the host printed a line.
pub fn is_silent_host(error: &anyhow::Error) -> bool {
    let text = error.to_string();
    let failures =
        ["cannot connect to '", "unexpected end-of-file", "Broken pipe", "failed to start SSH connection"];
    failures.iter().any(|failure| text.contains(failure)) && !text.contains("\n  | ")
}

/// The fault by the error `cause` of Nix on this machine, and by the `host_lines` that ssh and the host printed.
fn find_fault(cause: &str, host_lines: &str) -> Option<CopyFault> {
    if cause.contains("protocol mismatch") {
        return Some(CopyFault::Greeting);
    }
    let occur = |patterns: &[&str]| patterns.iter().all(|pattern| host_lines.contains(pattern));
    HOST_RULES.iter().find(|(patterns, _)| occur(patterns)).map(|(_, fault)| *fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::hint;

    const PATH: &str = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-x";

    /// The error of Nix on this machine for a copy that failed, the lines that the host printed, and the beginning of
    /// the hint, if any.
    const FAILED_COPIES: &[(&str, &str, Option<&str>)] = &[
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
    ];

    #[test]
    fn the_lines_of_the_host_decide_the_hint() {
        for &(cause, host_lines, expected) in FAILED_COPIES {
            let host_lines = host_lines.lines().map(str::to_owned).collect::<Vec<_>>();
            let error = copy_failed(
                &PATH,
                ("pi@stinky", "pi@stinky"),
                &[format!("error: {cause}")],
                &host_lines,
                &Programs::default(),
            );
            let is_expected = match expected {
                Some(beginning) => hint(&error).is_some_and(|hint| hint.starts_with(beginning)),
                None => hint(&error).is_none(),
            };
            assert!(is_expected, "{cause} {host_lines:?}: {:?}", hint(&error));
            for line in host_lines {
                assert!(error.to_string().contains(&format!("\n  | {line}")), "{error}");
            }
        }
    }

    #[test]
    fn a_remedy_by_ssh_has_the_options() {
        let hint = |fault: CopyFault| fault.hint("pi@stinky", "-p 2222 pi@stinky");
        assert!(hint(CopyFault::NoNixStore).contains("`ssh -p 2222 pi@stinky nix-store --version`"));
        assert!(hint(CopyFault::Untrusted).contains("[ \"pi\" ]"));
    }

    #[test]
    fn a_host_that_printed_a_line_is_not_silent() {
        let failed = |cause: &str, host_lines: &[&str]| {
            let host_lines = host_lines.iter().map(ToString::to_string).collect::<Vec<_>>();
            copy_failed(
                &PATH,
                ("pi@stinky", "pi@stinky"),
                &[format!("error: {cause}")],
                &host_lines,
                &Programs::default(),
            )
        };
        assert!(is_silent_host(&failed("cannot connect to 'pi@stinky'", &[])));
        assert!(!is_silent_host(&failed("cannot connect to 'pi@stinky'", &["killed"])));
        assert!(!is_silent_host(&failed("writing to file: No space left on device", &[])));
    }

    #[test]
    fn fuzz() {
        let line = "error: cannot add path '/nix/store/a-x' because it lacks a signature by a trusted key";
        crate::base::fuzz::check_text(&[line, "error: unexpected end-of-file"], |text| {
            let lines = text.lines().map(str::to_owned).collect::<Vec<_>>();
            copy_failed(&PATH, (text, text), &lines, &lines, &Programs::default()).to_string()
        });
    }
}
