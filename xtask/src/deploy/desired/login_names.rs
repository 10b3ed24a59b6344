//! The hostname and the user of a deploy node, which become words of the command lines of ssh and Nix.

use anyhow::Result;

use crate::base::{HOSTNAME_CHARS, USER_CHARS, is_hostname, is_user, without_brackets};
use crate::failure;

/// Refuses a hostname that [`is_hostname`] does not accept. `source` begins the message, as in `the command line has
/// the hostname`.
///
/// # Errors
/// `Refused` for such a hostname.
pub fn check_hostname(source: &str, name: &str) -> Result<()> {
    if is_hostname(name) {
        return Ok(());
    }
    let hint = match without_brackets(name) {
        Some(_) => "write the address without its brackets, as ssh takes it",
        None => "for another address, add a name to ~/.ssh/config",
    };
    Err(name_refusal(source, name, HOSTNAME_CHARS, hint))
}

/// Refuses a user that [`is_user`] does not accept. `source` begins the message, as in `the command line has the
/// sshUser`.
///
/// # Errors
/// `Refused` for such a user.
pub fn check_user(source: &str, name: &str) -> Result<()> {
    if is_user(name) {
        return Ok(());
    }
    Err(name_refusal(source, name, USER_CHARS, "choose a user whose name has only these characters"))
}

/// The refusal of a name that may have only letters, digits and `special` characters.
fn name_refusal(source: &str, name: &str, special: &str, hint: &str) -> anyhow::Error {
    failure!(
        Refused, "{source} {name:?}, which may have only letters, digits and `{special}`, and may not begin with `-`";
        hint: "{hint}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::{ExitKind, hint, kind};

    #[test]
    fn hostnames_and_users_must_be_plain_names() {
        for (hostname, user, good) in [
            ("stinky.lan", "root", true),
            ("fe80::1", "pi", true),
            ("fd05::2", "first.last@example.org", true),
            ("[fe80::1]", "root", false),
            ("-oProxyCommand=x", "root", false),
            ("pi", "-oProxyCommand=x", false),
            ("%h", "root", false),
            ("pi?remote-program=x", "root", false),
            ("pi/../x", "root", false),
            ("a b", "root", false),
            ("a\nb", "root", false),
            ("$(x)", "root", false),
            ("pi", "`x`", false),
            ("pi", "", false),
        ] {
            let checked = check_hostname("it has", hostname).and_then(|()| check_user("it has", user));
            let refused = checked.map_err(|error| kind(&error));
            assert_eq!(refused, if good { Ok(()) } else { Err(ExitKind::Refused) }, "{hostname} {user}");
        }
    }

    #[test]
    fn the_hint_for_a_user_is_not_that_for_a_hostname() {
        for (checked, expected) in [
            (check_hostname("it has", "a b"), "for another address, add a name to ~/.ssh/config"),
            (
                check_hostname("it has", "[fe80::1]"),
                "write the address without its brackets, as ssh takes it",
            ),
            (check_user("it has", "a b"), "choose a user whose name has only these characters"),
        ] {
            assert_eq!(hint(&checked.unwrap_err()), Some(expected));
        }
    }
}
