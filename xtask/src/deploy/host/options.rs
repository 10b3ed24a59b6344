//! The options of ssh: what this tool insists on, what the node asks for, and how they are handed on.

use anyhow::Result;

use crate::base::failure::ExitKind;
use crate::base::shell;
use crate::deploy::target::{Connection, Pin};

/// ssh takes the first value it is given for an option: these come before those of the node.
pub const FRESH: [&str; 4] = ["-o", "ControlMaster=no", "-o", "ControlPath=none"];
/// Without a terminal nobody can answer a question.
pub const UNATTENDED: [&str; 2] = ["-o", "BatchMode=yes"];
/// How long a dead link is waited for: these come behind the options of the node, which may differ.
const TIMEOUTS: [&str; 6] =
    ["-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"];

/// ssh keeps its own words apart from those of the host, which come by stderr.
pub const LOG: [&str; 3] = ["-n", "-E", "/dev/stdin"];

impl Pin {
    fn options(&self) -> Vec<String> {
        let values = [
            format!("UserKnownHostsFile={}", self.file.display()),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
            format!("HostKeyAlias={}", self.alias),
            "StrictHostKeyChecking=yes".to_owned(),
        ];
        values.into_iter().flat_map(|value| ["-o".to_owned(), value]).collect()
    }
}

impl Connection {
    /// The options for every ssh: the pinned key, then what the node asks for, then patience.
    fn all_options(&self) -> Vec<String> {
        let pin = self.pin.as_ref().map(Pin::options).unwrap_or_default();
        let patience = TIMEOUTS.map(str::to_owned);
        pin.into_iter().chain(self.options.iter().cloned()).chain(patience).collect()
    }

    /// The arguments with which ssh runs `command` on the host. The options in `first` win over all others.
    pub fn arguments(&self, first: Vec<String>, command: &str) -> Vec<String> {
        let rest = ["-T", "--", &self.destination, command].map(str::to_owned);
        first.into_iter().chain(self.all_options()).chain(rest).collect()
    }
}

/// The options in one line for Nix, which splits it as a shell does. Those in `first` win over all others.
pub fn words(connection: &Connection, first: Vec<String>) -> String {
    let options = first.into_iter().chain(connection.all_options()).collect::<Vec<_>>();
    options.iter().map(|option| shell::quote(option)).collect::<Vec<_>>().join(" ")
}

/// The options in one line, as deploy-rs splits it at each space. `None` where one of them has a space
/// in it: deploy-rs then takes the node's own.
///
/// # Errors
/// Refused where that would leave a pinned key out.
pub fn whole(host: &str, connection: &Connection) -> Result<Option<String>> {
    let options = connection.all_options();
    match options.iter().find(|option| option.is_empty() || option.contains(' ')) {
        None => Ok(Some(options.join(" "))),
        Some(option) if connection.pin.is_some() => Err(ExitKind::Refused.error(format!(
            "the key of {host} is pinned, and deploy-rs would split `{option}` at its spaces: put that option into \
             ~/.ssh/config, or name a state folder without spaces in XTASK_STATE"
        ))),
        Some(_) => Ok(None),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::base::failure::kind;

    pub fn connection(options: &[&str]) -> Connection {
        let options = options.iter().map(ToString::to_string).collect();
        Connection { destination: "root@pi".into(), options, pin: None }
    }

    pub fn pinned(options: &[&str]) -> Connection {
        let pin = Pin { file: "/s/known_hosts".into(), alias: "stinky".into() };
        Connection { pin: Some(pin), ..connection(options) }
    }

    #[test]
    fn options_that_deploy_rs_would_break() {
        let expected = "-p 22 -o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3";
        assert_eq!(whole("h", &connection(&["-p", "22"])).unwrap().as_deref(), Some(expected));
        assert_eq!(whole("h", &connection(&["-o", "ProxyCommand=a b"])).unwrap(), None);
        let options = whole("h", &pinned(&["-p", "22"])).unwrap().unwrap();
        assert!(options.starts_with("-o UserKnownHostsFile=/s/known_hosts -o Global"), "{options}");
        let error = whole("h", &pinned(&["-o", "ProxyCommand=a b"])).unwrap_err();
        let expected = "the key of h is pinned, and deploy-rs would split `ProxyCommand=a b` at its spaces: put \
                        that option into ~/.ssh/config, or name a state folder without spaces in XTASK_STATE";
        assert_eq!((kind(&error), error.to_string().as_str()), (ExitKind::Refused, expected));
    }
}
