//! The exit codes of the tool, and the error that carries one.

use std::fmt;

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::error_text::text;
pub use super::reason::{Reason, ReasonKind, refuse, reported_reasons};

/// What the exit code 0 means.
pub const SUCCESS: &str = "success";

/// The kind of the failure that ended a command. Each kind has an exit code of its own that scripts can rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum ExitKind {
    /// Something failed that has no code of its own.
    Other = 1,
    /// The command line is wrong, or names a host that does not exist.
    Usage = 2,
    /// A check refused the operation before anything was changed.
    Refused = 3,
    /// Verification failed: a card or an image does not hold what it must, such as the bytes that were written.
    Verification = 4,
    /// A device or a file could not be read or written.
    Io = 5,
    /// A privilege is missing and could not be obtained.
    Permission = 6,
    /// The host does not run the deployed system: the activation failed or was rolled back.
    RolledBack = 10,
    /// The host runs the deployed system, but some of its units or a health check failed.
    Degraded = 11,
    /// The host is unreachable.
    Unreachable = 12,
    /// The host key is unknown, or is not the known one.
    HostKey = 13,
    /// Which system the host runs could not be determined.
    Undecided = 14,
    /// The user interrupted the command.
    Interrupted = 130,
}

impl ExitKind {
    /// All kinds, by their codes.
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// The process exit code of this kind.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What the exit code of this kind means. The help lists it, and the documents have the same words.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Other => "failure without a code of its own",
            Self::Usage => "wrong command line, or no such host",
            Self::Refused => "refused before any change",
            Self::Verification => "verification failed",
            Self::Io => "input/output error",
            Self::Permission => "permission denied",
            Self::RolledBack => "the host does not run the new system",
            Self::Degraded => "the host runs the new system, but a unit or a health check failed",
            Self::Unreachable => "the host is unreachable",
            Self::HostKey => "the host key is unknown, or not the known one",
            Self::Undecided => "the system of the host is unknown",
            Self::Interrupted => "interrupted by the user",
        }
    }

    /// How severe the failure of a host is, to choose the worst of several hosts: an unknown system is worse than a
    /// known one, and a host that does not run the desired system is worse than one that runs it.
    pub fn severity(self) -> u8 {
        match self {
            // The codes rise with the severity, except for these two.
            Self::Degraded => Self::RolledBack.code(),
            Self::RolledBack => Self::Degraded.code(),
            other => other.code(),
        }
    }

    /// The label of this failure in a table of hosts; `None` where the label `failed` suffices. That of a host key is
    /// true of an unknown, another and a revoked one.
    pub fn host_label(self) -> Option<&'static str> {
        match self {
            Self::Unreachable => Some("unreachable"),
            Self::HostKey => Some("host key refused"),
            Self::Undecided => Some("undecided"),
            Self::Refused => Some("refused"),
            Self::Permission => Some("login refused"),
            Self::Interrupted => Some("stopped"),
            _ => None,
        }
    }

    /// The kind with this exit code, [`Self::Other`] for an unknown code.
    pub fn from_code(code: u8) -> Self {
        Self::all().iter().copied().find(|kind| kind.code() == code).unwrap_or(Self::Other)
    }

    /// An error of this kind with `message`, ready for `?`.
    pub fn error(self, message: impl fmt::Display) -> anyhow::Error {
        self.error_with(message, None, Vec::new())
    }

    /// Like [`Self::error`], with the remedy as `hint`.
    pub fn error_with_hint(self, message: impl fmt::Display, hint: impl fmt::Display) -> anyhow::Error {
        self.error_with(message, Some(hint.to_string()), Vec::new())
    }

    /// Like [`Self::error`], for several reasons with a hint each.
    pub fn error_with_reasons(self, message: impl fmt::Display, reasons: Vec<Reason>) -> anyhow::Error {
        self.error_with(message, None, reasons)
    }

    /// Like [`Self::error`], with the hint and the reasons of `cause`: for a `message` that quotes `cause`.
    pub fn error_with_hint_of(self, message: impl fmt::Display, cause: &anyhow::Error) -> anyhow::Error {
        self.error_with(message, hint(cause).map(str::to_owned), reasons(cause).to_vec())
    }

    /// An error of this kind with all its parts.
    pub fn error_with(
        self,
        message: impl fmt::Display,
        hint: Option<String>,
        reasons: Vec<Reason>,
    ) -> anyhow::Error {
        Failure { kind: self, message: message.to_string(), hint, reasons }.into()
    }
}

/// An error with a kind and a hint. [`failure!`](crate::failure!) and [`bail!`](crate::bail!) make it; any number of
/// contexts may wrap it.
#[derive(Debug)]
pub struct Failure {
    kind: ExitKind,
    message: String,
    hint: Option<String>,
    /// The reasons, each with its own hint. A single one repeats the message and the hint, for programs.
    reasons: Vec<Reason>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Makes an `anyhow::Error` of an [`ExitKind`], with the remedy as an optional hint:
/// `failure!(Refused, "{disk} is mounted"; hint: "run `umount {disk}`")`. The reason may have a word for programs, a
/// [`ReasonKind`]: `failure!(Refused(InUse), "{disk} is mounted")`.
#[macro_export]
macro_rules! failure {
    ($kind:ident($reason:ident), $message:literal $(, $value:expr)* $(; hint: $hint:literal $(, $part:expr)*)? $(,)?) => {
        $crate::base::failure::ReasonKind::$reason.error(
            $crate::base::failure::ExitKind::$kind,
            format_args!($message $(, $value)*),
            $crate::failure!(@optional $($hint $(, $part)*)?),
        )
    };
    (@optional) => { None };
    (@optional $hint:literal $(, $part:expr)*) => { Some(format!($hint $(, $part)*)) };
    ($kind:ident, $message:literal $(, $value:expr)* $(,)?) => {
        $crate::base::failure::ExitKind::$kind.error(format_args!($message $(, $value)*))
    };
    ($kind:ident, $message:literal $(, $value:expr)*; hint: $hint:literal $(, $part:expr)* $(,)?) => {
        $crate::base::failure::ExitKind::$kind
            .error_with_hint(format_args!($message $(, $value)*), format_args!($hint $(, $part)*))
    };
}

/// Returns the error that [`failure!`](crate::failure!) makes.
#[macro_export]
macro_rules! bail {
    ($($error:tt)+) => {
        return Err($crate::failure!($($error)+))
    };
}

/// The kind of `error`: the kind of the outermost [`Failure`] in its chain, [`ExitKind::Io`] for a bare
/// input/output error, else [`ExitKind::Other`].
pub fn kind(error: &anyhow::Error) -> ExitKind {
    let failure = error.chain().find_map(|cause| cause.downcast_ref::<Failure>());
    let is_io = || error.chain().any(<dyn std::error::Error>::is::<std::io::Error>);
    match failure {
        Some(failure) => failure.kind,
        None if is_io() => ExitKind::Io,
        None => ExitKind::Other,
    }
}

/// The hint of `error`: the hint of the outermost [`Failure`] in its chain that has one.
pub fn hint(error: &anyhow::Error) -> Option<&str> {
    error.chain().find_map(|cause| cause.downcast_ref::<Failure>()?.hint.as_deref())
}

/// The reasons that people see in lines of their own: those of an error with several.
pub fn listed_reasons(error: &anyhow::Error) -> &[Reason] {
    match reasons(error) {
        [] | [_] => &[],
        several => several,
    }
}

/// The reasons of `error`: those of the outermost [`Failure`] in its chain that has any.
pub fn reasons(error: &anyhow::Error) -> &[Reason] {
    let failures = error.chain().filter_map(|cause| cause.downcast_ref::<Failure>());
    failures.map(|failure| &failure.reasons[..]).find(|reasons| !reasons.is_empty()).unwrap_or_default()
}

/// `error`, its hint and its reasons as one text, `MESSAGE; HINT`, for table cells and for messages that quote errors.
/// The hint of a message of several lines has a line of its own: the last line may quote a host or a program.
pub fn with_hint(error: &anyhow::Error) -> String {
    let reasons = listed_reasons(error).iter().map(|reason| format!("\n  - {reason}")).collect::<String>();
    let message = text(error);
    let separator = if message.contains('\n') { "\n  hint: " } else { "; " };
    match hint(error) {
        Some(hint) => format!("{message}{separator}{hint}{reasons}"),
        None => format!("{message}{reasons}"),
    }
}

/// A copy of `error`: its kind, its text, its hint and its reasons.
pub fn copy(error: &anyhow::Error) -> anyhow::Error {
    kind(error).error_with_hint_of(text(error), error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn the_kind_survives_contexts() {
        let error = Err::<(), _>(ExitKind::Refused.error("no")).context("outer").unwrap_err();
        assert_eq!(kind(&error), ExitKind::Refused);
        assert_eq!(format!("{error:#}"), "outer: no");
    }

    #[test]
    fn an_error_without_a_kind_is_io_or_other() {
        assert_eq!(kind(&anyhow::anyhow!("plain")), ExitKind::Other);
        assert_eq!(kind(&std::io::Error::other("disk").into()), ExitKind::Io);
    }

    #[test]
    fn the_hint_stands_beside_the_message() {
        let refuse = |disk: &str| -> anyhow::Result<()> {
            bail!(Refused, "{disk} is mounted at {}", "/mnt"; hint: "run `umount {disk}`");
        };
        let error = refuse("sdb").context("outer").unwrap_err();
        assert_eq!((kind(&error), hint(&error)), (ExitKind::Refused, Some("run `umount sdb`")));
        assert_eq!(format!("{error:#}"), "outer: sdb is mounted at /mnt");
        assert_eq!(with_hint(&error), "outer: sdb is mounted at /mnt; run `umount sdb`");
        assert_eq!(hint(&crate::failure!(Io, "no")), None);
        assert_eq!(with_hint(&crate::failure!(Io, "no")), "no");
        let quoting = crate::failure!(Io, "pi printed:\n  | no"; hint: "log in");
        assert_eq!(with_hint(&quoting), "pi printed:\n  | no\n  hint: log in");
        let outer = ExitKind::Io.error_with_hint_of(format_args!("no: {error:#}"), &error);
        assert_eq!((kind(&outer), hint(&outer)), (ExitKind::Io, Some("run `umount sdb`")));
    }

    #[test]
    fn each_reason_keeps_its_hint() {
        let reason = |message: &str, hint: Option<&str>| Reason {
            kind: None,
            message: message.to_owned(),
            hint: hint.map(str::to_owned),
        };
        let both = vec![reason("mounted", Some("unmount it")), reason("too small", None)];
        let error = ExitKind::Refused.error_with_reasons("refused for 2 reasons", both.clone());
        let outer = error.context("outer");
        assert_eq!((reasons(&outer), hint(&outer)), (&both[..], None));
        let text = "outer: refused for 2 reasons\n  - mounted; unmount it\n  - too small";
        assert_eq!((with_hint(&outer).as_str(), reasons(&copy(&outer))), (text, &both[..]));
    }

    #[test]
    fn every_kind_has_its_code_and_any_other_code_is_other() {
        let codes = ExitKind::all().iter().map(|kind| kind.code()).collect::<Vec<_>>();
        assert_eq!(codes, [1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14, 130]);
        assert!(codes.into_iter().map(ExitKind::from_code).eq(ExitKind::all().iter().copied()));
        assert_eq!(ExitKind::from_code(77), ExitKind::Other);
    }
}
