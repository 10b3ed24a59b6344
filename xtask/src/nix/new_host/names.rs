//! The names that a new host may have.

use std::net::IpAddr;

use anyhow::Result;

use crate::bail;
use crate::base::{Plain, is_hostname};

/// The most characters of the name of a host: one part of a name in DNS (RFC 1035).
const MAX_HOST_LENGTH: usize = 63;

/// The most characters of the name of a user, as shadow's useradd accepts it.
const MAX_USER_LENGTH: usize = 32;

/// Users that each NixOS has, and who are no administrators.
const SYSTEM_USERS: &[&str] = &["root", "nobody", "messagebus", "sshd"];

/// Checks that `name` is a name for a host, on the network too: `networking.hostName` accepts no other.
///
/// # Errors
/// `Usage` for any other text.
pub fn check_host(name: &str) -> Result<()> {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let is_outer = |c: char| c.is_ascii_alphanumeric();
    if name.len() <= MAX_HOST_LENGTH
        && name.chars().all(is_inner)
        && name.starts_with(is_outer)
        && name.ends_with(is_outer)
    {
        return Ok(());
    }
    bail!(
        Usage, "{} is no name for a host", Plain(name);
        hint: "take 1 to 63 letters and digits, with `-` between them; a domain belongs into --address"
    )
}

/// Checks that `name` is a name for a user of NixOS who can be the administrator.
///
/// # Errors
/// `Usage` for any other text, and for users of the system.
pub fn check_user(name: &str) -> Result<()> {
    let is_first = |c: char| c.is_ascii_lowercase() || c == '_';
    let is_next = |c: char| is_first(c) || c.is_ascii_digit() || c == '-';
    if name.len() > MAX_USER_LENGTH || !name.starts_with(is_first) || !name.chars().all(is_next) {
        bail!(
            Usage, "{} is no name for a user", Plain(name);
            hint: "take at most 32 lower-case letters, digits, `-` and `_`, with a letter first"
        );
    }
    if SYSTEM_USERS.contains(&name) {
        bail!(Usage, "{name} is a user of the system, and no administrator"; hint: "name a user of your own");
    }
    Ok(())
}

/// Checks that `address` is a hostname or an IP address.
///
/// # Errors
/// `Usage` for any other text.
pub fn check_address(address: &str) -> Result<()> {
    // A name whose last part is a number is none of DNS: it is an IP address with a slip.
    let is_number = |part: &str| part.chars().all(|c| c.is_ascii_digit());
    let is_dotted = address.rsplit_once('.').is_some_and(|(_, last)| !last.is_empty() && is_number(last));
    if is_hostname(address) && (!is_dotted || address.parse::<IpAddr>().is_ok()) {
        return Ok(());
    }
    bail!(
        Usage, "{} is no address", Plain(address);
        hint: "pass a hostname or an IP address; the user is that of --admin"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hosts_and_users_are_those_of_nixos() {
        for name in ["pi", "3d", "kitchen-2", &"a".repeat(63), "PI"] {
            check_host(name).unwrap();
        }
        for name in ["", "-pi", "pi-", "a.b", "a b", "ö", "a/b", "../a", "a_b", "#a", "a\n", &"a".repeat(64)]
        {
            assert!(check_host(name).is_err(), "{name}");
        }
        for name in ["anna", "_x", "a-b_9"] {
            check_user(name).unwrap();
        }
        for name in ["", "Anna", "9a", "a.b", "root", "a$", "-a", "a/b", &"a".repeat(33)] {
            assert!(check_user(name).is_err(), "{name}");
        }
        check_address("10.0.0.7").unwrap();
        check_address("pi.lan").unwrap();
        for address in ["", "10.0.0.300", "10.0.7", "anna@pi", "-o", "a b", "\"", "${x}"] {
            assert!(check_address(address).is_err(), "{address}");
        }
    }
}
