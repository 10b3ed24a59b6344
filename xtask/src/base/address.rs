//! The address of a host on the command line: `--to [USER@]ADDRESS`.

use std::fmt::{self, Display};
use std::str::FromStr;

/// The characters of a hostname beside letters and digits.
pub const HOSTNAME_CHARS: &str = "._-:";

/// The characters of a user beside letters and digits.
pub const USER_CHARS: &str = "._-+@";

/// Whether ssh, Nix and a shell take `name` for a hostname and for nothing else.
pub fn is_hostname(name: &str) -> bool {
    is_name(name, HOSTNAME_CHARS)
}

/// Whether ssh, Nix and a shell take `name` for a user and for nothing else.
pub fn is_user(name: &str) -> bool {
    is_name(name, USER_CHARS)
}

/// Whether `name` has only ASCII letters, digits and the characters in `special`, and is neither empty nor an option.
fn is_name(name: &str, special: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || special.contains(c);
    !name.is_empty() && !name.starts_with('-') && name.chars().all(is_allowed)
}

/// Splits the destination `[USER@]HOSTNAME` into its user and its hostname. As in ssh, the last `@` separates: a user
/// may have one.
pub fn split_destination(destination: &str) -> (Option<&str>, &str) {
    match destination.rsplit_once('@') {
        Some((user, hostname)) => (Some(user), hostname),
        None => (None, destination),
    }
}

/// An address for ssh, and the user who logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub user: Option<String>,
    pub hostname: String,
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (user, hostname) = split_destination(text);
        if has_port(hostname) {
            return Err("must have no port; add a name with this port to ~/.ssh/config");
        }
        let hostname = without_brackets(hostname).unwrap_or(hostname);
        if !is_hostname(hostname) || user.is_some_and(|user| !is_user(user)) {
            return Err("must be a hostname or an IP address, optionally after USER@; \
                        for another address, add a name to ~/.ssh/config");
        }
        Ok(Self { user: user.map(str::to_owned), hostname: hostname.to_owned() })
    }
}

/// The IPv6 address in the brackets of `hostname`, which URLs need and ssh does not take.
pub fn without_brackets(hostname: &str) -> Option<&str> {
    hostname.strip_prefix('[')?.strip_suffix(']').filter(|address| address.contains(':'))
}

/// Whether `hostname` ends with a port, which ssh would take for a part of the name. An IPv6 address has at least two
/// colons, and no port unless it is in brackets.
fn has_port(hostname: &str) -> bool {
    match hostname.rsplit_once(':') {
        Some((before, _)) => before.ends_with(']') || !before.contains(':'),
        None => false,
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let user = self.user.iter().map(|user| format!("{user}@")).collect::<String>();
        write!(f, "{user}{}", self.hostname)
    }
}

impl Address {
    /// The options by which deploy-rs gets this address.
    pub fn deploy_rs_options(&self) -> Vec<String> {
        let user = self.user.as_ref().map(|user| ["--ssh-user".to_owned(), user.clone()]);
        let hostname = ["--hostname".to_owned(), self.hostname.clone()];
        hostname.into_iter().chain(user.into_iter().flatten()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed() {
        for (text, user, hostname) in [
            ("stinky.lan", None, "stinky.lan"),
            ("root@10.0.0.5", Some("root"), "10.0.0.5"),
            ("fe80::1", None, "fe80::1"),
            ("first.last@example.org@stinky", Some("first.last@example.org"), "stinky"),
        ] {
            let expected = Address { user: user.map(str::to_owned), hostname: hostname.to_owned() };
            assert_eq!(expected.to_string(), text);
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_address_has_no_brackets() {
        let expected = Address { user: Some("pi".to_owned()), hostname: "fe80::1".to_owned() };
        assert_eq!("pi@[fe80::1]".parse(), Ok(expected));
    }

    #[test]
    fn the_last_at_sign_of_a_destination_separates() {
        for (destination, expected) in [
            ("root@pi", (Some("root"), "pi")),
            ("first.last@example.org@pi", (Some("first.last@example.org"), "pi")),
            ("pi", (None, "pi")),
        ] {
            assert_eq!(split_destination(destination), expected, "{destination}");
        }
    }

    #[test]
    fn other_texts_are_no_addresses() {
        for (text, begin) in [
            ("", "must be a hostname"),
            ("@stinky", "must be a hostname"),
            ("root@", "must be a hostname"),
            ("ssh://root@stinky", "must be a hostname"),
            ("-oProxyCommand=x", "must be a hostname"),
            ("-l@stinky", "must be a hostname"),
            ("fe80::1%eth0", "must be a hostname"),
            ("a b", "must be a hostname"),
            ("[stinky]", "must be a hostname"),
            ("[[fe80::1]]", "must be a hostname"),
            ("stinky:2222", "must have no port"),
            ("root@[fe80::1]:22", "must have no port"),
            ("stinky:", "must have no port"),
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.starts_with(begin), "{text}: {error}");
        }
    }

    #[test]
    fn fuzz() {
        crate::base::fuzz::check_text(&["root@stinky.lan", "pi@[fe80::1]"], |text| {
            text.parse::<Address>().map(|address| address.deploy_rs_options())
        });
    }
}
