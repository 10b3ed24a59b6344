//! ssh options: those that the tool requires, those of the node, and their forms for Nix and deploy-rs.

use anyhow::Result;

use crate::bail;
use crate::base::{HostName, shell};
use crate::deploy::target::{Connection, Pin};

/// Forces a fresh connection. ssh takes the first value of an option, so these precede those of the node.
pub const NO_MUX: [&str; 4] = ["-o", "ControlMaster=no", "-o", "ControlPath=none"];
/// Without a terminal nobody can answer a question of ssh.
pub const BATCH_MODE: [&str; 2] = ["-o", "BatchMode=yes"];
/// Overrides `-tt` and `RequestTTY` of the node: a terminal changes the bytes of a copy, which then waits for ever.
const NO_TERMINAL: &str = "-T";
/// Timeouts for a dead link. They follow the options of the node, which may set others.
const TIMEOUTS: [&str; 6] =
    ["-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"];

/// Makes ssh write its log to the file that is its stdin, apart from what the host writes to stderr.
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
    /// The options for every ssh: the pinned key, then those of the node, then the timeouts.
    fn all_options(&self) -> Vec<String> {
        let pin = self.pin.as_ref().map(Pin::options).unwrap_or_default();
        let timeouts = TIMEOUTS.map(str::to_owned);
        pin.into_iter().chain(self.options.iter().cloned()).chain(timeouts).collect()
    }

    /// The arguments with which ssh runs `command` on the host. Options in `first` override all others.
    pub fn arguments(&self, first: Vec<String>, command: &str) -> Vec<String> {
        let rest = [NO_TERMINAL, "--", &self.destination, command].map(str::to_owned);
        first.into_iter().chain(self.all_options()).chain(rest).collect()
    }
}

/// The options as one line for `NIX_SSHOPTS`, which Nix splits like a shell. Options in `first` override all others.
pub fn nix_ssh_opts(connection: &Connection, first: Vec<String>) -> String {
    let options = first.into_iter().chain(connection.all_options()).chain([NO_TERMINAL.to_owned()]);
    let options = options.collect::<Vec<_>>();
    options.iter().map(|option| shell::quote(option)).collect::<Vec<_>>().join(" ")
}

/// The options as one line for deploy-rs, which splits it at each space. `None` if an option has a space: deploy-rs
/// then uses the node's own options.
///
/// # Errors
/// `Refused` if that would drop a pinned key.
pub fn deploy_rs_ssh_opts(host: &HostName, connection: &Connection) -> Result<Option<String>> {
    let mut options = connection.all_options();
    options.push(NO_TERMINAL.to_owned());
    match options.iter().find(|option| option.is_empty() || option.contains(' ')) {
        None => Ok(Some(options.join(" "))),
        Some(option) if connection.pin.is_some() => bail!(
            Refused, "the key of {host} is pinned, and deploy-rs would split `{option}` at its spaces";
            hint: "put that option into ~/.ssh/config, or set XTASK_STATE to a state folder without spaces"
        ),
        Some(_) => Ok(None),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::base::failure::{ExitKind, hint, kind};

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
        let expected = "-p 22 -o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3 -T";
        assert_eq!(
            deploy_rs_ssh_opts(&"h".into(), &connection(&["-p", "22"])).unwrap().as_deref(),
            Some(expected)
        );
        assert_eq!(deploy_rs_ssh_opts(&"h".into(), &connection(&["-o", "ProxyCommand=a b"])).unwrap(), None);
        let options = deploy_rs_ssh_opts(&"h".into(), &pinned(&["-p", "22"])).unwrap().unwrap();
        assert!(options.starts_with("-o UserKnownHostsFile=/s/known_hosts -o Global"), "{options}");
        let error = deploy_rs_ssh_opts(&"h".into(), &pinned(&["-o", "ProxyCommand=a b"])).unwrap_err();
        let expected = "the key of h is pinned, and deploy-rs would split `ProxyCommand=a b` at its spaces";
        assert_eq!((kind(&error), error.to_string().as_str()), (ExitKind::Refused, expected));
        let remedy =
            "put that option into ~/.ssh/config, or set XTASK_STATE to a state folder without spaces";
        assert_eq!(hint(&error), Some(remedy));
    }
}
