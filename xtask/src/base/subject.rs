//! What an event is about, where a command works on several hosts or cards in parallel.

use std::fmt;
use std::path::{Path, PathBuf};

use super::host_name::HostName;

/// One of the hosts or cards that a command works on in parallel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    Host(HostName),
    Card {
        device: PathBuf,
        /// The host whose image or identity the card gets.
        host: Option<HostName>,
    },
}

impl Subject {
    pub fn host(&self) -> Option<&HostName> {
        match self {
            Self::Host(host) => Some(host),
            Self::Card { host, .. } => host.as_ref(),
        }
    }

    pub fn device(&self) -> Option<&Path> {
        match self {
            Self::Host(_) => None,
            Self::Card { device, .. } => Some(device),
        }
    }
}

impl fmt::Display for Subject {
    /// The label before each line: `stinky`, `sdb`, or for the card of a host `sdb stinky`. Not escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Card { device, host } = self else {
            return self.host().map_or(Ok(()), |host| host.fmt(f));
        };
        let name = device.strip_prefix("/dev").unwrap_or(device).display();
        match host {
            Some(host) => write!(f, "{name} {host}"),
            None => name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_names_the_card_before_its_host() {
        let card = |device: &str, host: Option<&str>| Subject::Card {
            device: device.into(),
            host: host.map(Into::into),
        };
        for (subject, label) in [
            (Subject::Host("pi".into()), "pi"),
            (card("/dev/sdb", Some("pi")), "sdb pi"),
            (card("/dev/sdb", None), "sdb"),
            (card("/tmp/card", None), "/tmp/card"),
        ] {
            assert_eq!(subject.to_string(), label);
        }
    }
}
