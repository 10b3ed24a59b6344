//! The exit codes of the tool, and the error that carries one.

use std::fmt;

/// What kind of failure ended a command; each kind has an exit code of its own that scripts can rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitKind {
    /// Something failed that has no code of its own.
    Other = 1,
    /// The command line itself is wrong.
    Usage = 2,
    /// A check refused the operation before anything was changed.
    Refused = 3,
    /// What was read back is not what was written.
    Verification = 4,
    /// A device or a file could not be read or written.
    Io = 5,
    /// The privilege that is needed could not be had.
    Permission = 6,
    /// The host does not run what was deployed: the activation failed or was rolled back.
    RolledBack = 10,
    /// The host runs what was deployed, but some of its units failed, or a command that was to succeed on it.
    Degraded = 11,
    /// The host could not be reached.
    Unreachable = 12,
    /// The host answered with a key that is not the one known for it.
    HostKey = 13,
    /// It could not be found out what the host runs.
    Undecided = 14,
    /// Stopped by the user.
    Interrupted = 130,
}

impl ExitKind {
    const ALL: [Self; 12] = [
        Self::Other,
        Self::Usage,
        Self::Refused,
        Self::Verification,
        Self::Io,
        Self::Permission,
        Self::RolledBack,
        Self::Degraded,
        Self::Unreachable,
        Self::HostKey,
        Self::Undecided,
        Self::Interrupted,
    ];

    /// The process exit code of this kind.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// How bad it is for a host, to tell the worst of several: not to know is worse than to know, and a host that
    /// runs what is meant is better than one that does not.
    pub fn severity(self) -> u8 {
        match self {
            Self::Degraded => Self::RolledBack.code(),
            Self::RolledBack => Self::Degraded.code(),
            other => other.code(),
        }
    }

    /// What it is for a host, in a word or two for its row of a table; `None` where there is no more to say than that
    /// it failed.
    pub fn of_host(self) -> Option<&'static str> {
        match self {
            Self::Unreachable => Some("unreachable"),
            Self::HostKey => Some("another host key"),
            Self::Undecided => Some("undecided"),
            Self::Refused => Some("refused"),
            Self::Permission => Some("login refused"),
            Self::Interrupted => Some("stopped"),
            _ => None,
        }
    }

    /// The kind with this exit code, [`Self::Other`] for a code that is none of ours.
    pub fn of_code(code: u8) -> Self {
        Self::ALL.into_iter().find(|kind| kind.code() == code).unwrap_or(Self::Other)
    }

    /// An error of this kind with `message`, ready for `?`.
    pub fn error(self, message: impl fmt::Display) -> anyhow::Error {
        Failure { kind: self, message: message.to_string(), hint: None }.into()
    }

    /// As [`Self::error`], with the remedy as `hint`.
    pub fn error_with_hint(self, message: impl fmt::Display, hint: impl fmt::Display) -> anyhow::Error {
        Failure { kind: self, message: message.to_string(), hint: Some(hint.to_string()) }.into()
    }
}

/// An error with a kind, and the remedy for it. [`failure!`](crate::failure!) and [`bail!`](crate::bail!) make it; it may
/// be wrapped in any number of contexts.
#[derive(Debug)]
pub struct Failure {
    kind: ExitKind,
    message: String,
    hint: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// An `anyhow::Error` of a [`ExitKind`], with an optional hint that says what to do about it:
/// `failure!(Refused, "{disk} is mounted"; hint: "run `umount {disk}`")`.
#[macro_export]
macro_rules! failure {
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

/// The kind of `error`: that of the outermost [`Failure`] in its chain, [`ExitKind::Io`] for a bare
/// input/output error, and [`ExitKind::Other`] where there is neither.
pub fn kind(error: &anyhow::Error) -> ExitKind {
    let failure = error.chain().find_map(|cause| cause.downcast_ref::<Failure>());
    let io = || error.chain().any(<dyn std::error::Error>::is::<std::io::Error>);
    match failure {
        Some(failure) => failure.kind,
        None if io() => ExitKind::Io,
        None => ExitKind::Other,
    }
}

/// The remedy for `error`: the hint of the outermost [`Failure`] in its chain that has one.
pub fn hint(error: &anyhow::Error) -> Option<&str> {
    error.chain().find_map(|cause| cause.downcast_ref::<Failure>()?.hint.as_deref())
}

/// `error` and its hint as one text, `MESSAGE; HINT`: for table cells and messages about several errors.
pub fn with_hint(error: &anyhow::Error) -> String {
    match hint(error) {
        Some(hint) => format!("{error:#}; {hint}"),
        None => format!("{error:#}"),
    }
}

/// Another error with the kind, the text and the hint of `error`.
pub fn copy(error: &anyhow::Error) -> anyhow::Error {
    Failure { kind: kind(error), message: format!("{error:#}"), hint: hint(error).map(str::to_owned) }.into()
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
    }

    #[test]
    fn codes() {
        let codes = ExitKind::ALL.map(ExitKind::code);
        assert_eq!(codes, [1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14, 130]);
        assert_eq!(codes.map(ExitKind::of_code), ExitKind::ALL);
        assert_eq!(ExitKind::of_code(77), ExitKind::Other);
    }
}
