//! Checks of the sudo prefix: the words before a command that another user runs on the host.

use anyhow::Result;

use crate::bail;
use crate::base::HostName;

/// Refuses a prefix that would run another program than the command. The `sudo` and `user` of a node are used on the
/// host even if its state is only read.
///
/// # Errors
/// `Refused` for such a prefix, and for a user that is no plain name.
pub fn check(host: &HostName, sudo: &str, user: &str) -> Result<()> {
    let (program, flags) = sudo.split_once(' ').unwrap_or((sudo, ""));
    let has_safe_flags = !["sudo", "doas"].contains(&program) || ends_with_user_option(flags);
    let has_plain_words = sudo.split(' ').all(|word| is_plain(word, "._-+=/"));
    let is_plain_user = !user.starts_with('-') && is_plain(user, "._-+@");
    if has_safe_flags && has_plain_words && is_plain_user {
        return Ok(());
    }
    bail!(
        Refused, "deploy.nodes.{host} would run its commands by {sudo:?} as {user:?}";
        hint: "set `sudo` to `sudo -u` or `doas -u`, with no other option that takes a value, and `user` to a name"
    );
}

/// Whether `word` has only letters, digits and `special` characters, and at least one of them.
fn is_plain(word: &str, special: &str) -> bool {
    word.chars().all(|c| c.is_ascii_alphanumeric() || special.contains(c)) && !word.is_empty()
}

/// Options of sudo without a value.
const SWITCHES: &[&str] = &["--login", "--non-interactive", "--set-home", "--stdin", "--preserve-env"];
/// Letters of the options of sudo and doas without a value.
const SWITCH_LETTERS: &str = "AEHPSikn";

/// Whether the sudo options `flags` end with the one that takes a user name, and no other takes a value.
fn ends_with_user_option(flags: &str) -> bool {
    let are_switches = |letters: &str| letters.chars().all(|c| SWITCH_LETTERS.contains(c));
    let is_switch = |word: &str| SWITCHES.contains(&word) || word.strip_prefix('-').is_some_and(are_switches);
    let is_user_option = |word: &str| {
        // Other letters may precede the `u`, as in `-Hu`.
        let letters = word.strip_prefix('-').and_then(|letters| letters.strip_suffix('u'));
        word == "--user" || letters.is_some_and(are_switches)
    };
    match flags.rsplit_once(' ') {
        Some((before, last)) => is_user_option(last) && before.split(' ').all(is_switch),
        None => is_user_option(flags),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::{ExitKind, kind};

    #[test]
    fn sudo_prefixes() {
        for (sudo, user, good) in [
            ("sudo -u", "root", true),
            ("sudo -H -u", "root", true),
            ("sudo -n --set-home -Hu", "root", true),
            ("doas -u", "root", true),
            ("/run/wrappers/bin/sudo -u", "root", true),
            ("sudo -u", "root; touch /tmp/x;", false),
            ("sudo -u", "$(x)", false),
            ("sudo -u", "-s", false),
            ("sudo -u", "", false),
            ("sudo -u", "root\nreboot", false),
            ("sudo", "reboot", false),
            ("sudo ", "reboot", false),
            ("sudo reboot -u", "root", false),
            ("sudo -R -u", "reboot", false),
            ("sudo -uroot reboot -u", "root", false),
            ("sudo --user=root -- reboot -u", "root", false),
            ("doas -C /etc/x -u", "root", false),
            ("sudo -n; touch /tmp/x; sudo -u", "root", false),
            ("touch /tmp/x; sudo -u", "root", false),
            ("run0 >x", "root", false),
        ] {
            let refused = check(&"stinky".into(), sudo, user).map_err(|error| kind(&error));
            assert_eq!(refused, if good { Ok(()) } else { Err(ExitKind::Refused) }, "{sudo} {user}");
        }
    }
}
