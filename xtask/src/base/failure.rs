//! The exit codes of the tool, and the error that carries one.

use std::fmt;

/// What kind of failure ended a command; each kind has an exit code of its own that scripts can rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 1: something failed that has no code of its own.
    Other,
    /// 2: the command line itself is wrong.
    Usage,
    /// 3: a check refused the operation before anything was changed.
    Refused,
    /// 4: what was read back is not what was written.
    Verification,
    /// 5: a device or a file could not be read or written.
    Io,
    /// 6: the privilege that is needed could not be had.
    Permission,
    /// 10: the host does not run what was deployed: the activation failed or was rolled back.
    RolledBack,
    /// 11: the host runs what was deployed, but some of its units failed, or a command that was to succeed on it.
    Degraded,
    /// 12: the host could not be reached.
    Unreachable,
    /// 13: the host answered with a key that is not the one known for it.
    HostKey,
    /// 14: it could not be found out what the host runs.
    Undecided,
    /// 130: stopped by the user.
    Interrupted,
}

impl Kind {
    /// The process exit code of this kind.
    pub fn code(self) -> u8 {
        match self {
            Self::Other => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Verification => 4,
            Self::Io => 5,
            Self::Permission => 6,
            Self::RolledBack => 10,
            Self::Degraded => 11,
            Self::Unreachable => 12,
            Self::HostKey => 13,
            Self::Undecided => 14,
            Self::Interrupted => 130,
        }
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
        const ALL: [Kind; 11] = [
            Kind::Usage,
            Kind::Refused,
            Kind::Verification,
            Kind::Io,
            Kind::Permission,
            Kind::RolledBack,
            Kind::Degraded,
            Kind::Unreachable,
            Kind::HostKey,
            Kind::Undecided,
            Kind::Interrupted,
        ];
        ALL.into_iter().find(|kind| kind.code() == code).unwrap_or(Self::Other)
    }

    /// An error of this kind with `message`, ready for `?`.
    pub fn error(self, message: impl fmt::Display) -> anyhow::Error {
        Failure { kind: self, message: message.to_string() }.into()
    }
}

/// An error with a kind. It is made by [`Kind::error`] and may be wrapped in any number of contexts.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The kind of `error`: that of the outermost [`Failure`] in its chain, [`Kind::Io`] for a bare
/// input/output error, and [`Kind::Other`] where there is neither.
pub fn kind(error: &anyhow::Error) -> Kind {
    let failure = error.chain().find_map(|cause| cause.downcast_ref::<Failure>());
    let io = || error.chain().any(<dyn std::error::Error>::is::<std::io::Error>);
    match failure {
        Some(failure) => failure.kind,
        None if io() => Kind::Io,
        None => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn the_kind_survives_contexts() {
        let error = Err::<(), _>(Kind::Refused.error("no")).context("outer").unwrap_err();
        assert_eq!(kind(&error), Kind::Refused);
        assert_eq!(format!("{error:#}"), "outer: no");
        assert_eq!(kind(&anyhow::anyhow!("plain")), Kind::Other);
        assert_eq!(kind(&std::io::Error::other("disk").into()), Kind::Io);
    }
}
