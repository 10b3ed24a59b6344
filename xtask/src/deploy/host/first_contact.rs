//! The first connection to a host. A host that is switched off is named soon, and not waited for twice.

use std::time::Duration;

use anyhow::Result;

use super::ssh::Remote;
use crate::base::failure::{ExitKind, kind};

/// How long the first connection waits for the host. TCP repeats its first packet after 1 s and after 3 s.
const TIMEOUT: Duration = Duration::from_secs(4);

/// The words of ssh about a host that does not answer at all, or has no address.
const DEAD: [&str; 2] = ["ssh: connect to host ", "ssh: Could not resolve hostname "];
/// The words of ssh about any time-out.
const TIMED_OUT: &str = "timed out";

/// Asks the host of `remote` by `ask`. A host that answers, but whose sshd is slow, is asked once more, with the usual
/// timeout. So is a host behind another one (`ProxyJump`), of which ssh cannot tell whether it answers.
///
/// # Errors
/// Those of `ask`.
pub fn first_contact<T>(remote: &Remote, ask: impl Fn(&Remote) -> Result<T>) -> Result<T> {
    first_contact_within(TIMEOUT, remote, ask)
}

/// Like [`first_contact`], where the host may take `timeout` to answer.
pub fn first_contact_within<T>(
    timeout: Duration,
    remote: &Remote,
    ask: impl Fn(&Remote) -> Result<T>,
) -> Result<T> {
    match ask(&remote.clone().with_connect_timeout(timeout)) {
        Err(error) if is_slow(&error) => ask(remote),
        answer => answer,
    }
}

/// Whether the host may have answered, and only its sshd not in time.
fn is_slow(error: &anyhow::Error) -> bool {
    kind(error) == ExitKind::Unreachable && format!("{error:#}").contains(TIMED_OUT) && !is_dead(error)
}

/// The option of ssh with which a connection waits no longer for the host than [`first_contact`].
pub fn timeout_options() -> [String; 2] {
    ["-o".to_owned(), format!("ConnectTimeout={}", TIMEOUT.as_secs())]
}

/// Whether the `error` of the first connection says that the host does not answer at all.
pub fn is_dead(error: &anyhow::Error) -> bool {
    let text = format!("{error:#}");
    kind(error) == ExitKind::Unreachable && DEAD.iter().any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of OpenSSH 9.2.
    #[test]
    fn a_host_that_may_have_answered_is_slow_and_not_dead() {
        for (text, is_slow_host, is_dead_host) in [
            ("pi cannot be reached: Connection to 10.0.0.2 port 22 timed out", true, false),
            ("pi cannot be reached: Connection to UNKNOWN port 65535 timed out", true, false),
            ("pi cannot be reached: Connection closed by 10.0.0.2 port 22", false, false),
            ("pi cannot be reached: ssh gives no reason", false, false),
            ("pi: ssh: connect to host pi port 22: Connection timed out", false, true),
            ("pi: ssh: connect to host pi port 22: No route to host", false, true),
            ("pi: ssh: Could not resolve hostname pi: Name or service not known", false, true),
        ] {
            let error = ExitKind::Unreachable.error(text.to_owned());
            assert_eq!((is_slow(&error), is_dead(&error)), (is_slow_host, is_dead_host), "{text}");
            let refused = ExitKind::Permission.error(text.to_owned());
            assert_eq!((is_slow(&refused), is_dead(&refused)), (false, false), "{text}");
        }
    }
}
