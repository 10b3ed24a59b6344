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
    let plain = |word: &str, special: &str| {
        word.chars().all(|c| c.is_ascii_alphanumeric() || special.contains(c)) && !word.is_empty()
    };
    let (program, flags) = sudo.split_once(' ').unwrap_or((sudo, ""));
    let has_safe_flags = !["sudo", "doas"].contains(&program) || ends_with_user_option(flags);
    let has_plain_words = sudo.split(' ').all(|word| plain(word, "._-+=/"));
    if has_safe_flags && has_plain_words && !user.starts_with('-') && plain(user, "._-+@") {
        return Ok(());
    }
    bail!(
        Refused, "deploy.nodes.{host} would run its commands by {sudo:?} as {user:?}";
        hint: "set `sudo` to `sudo -u` or `doas -u`, with no other option that takes a value, and `user` to a name"
    );
}

/// Whether the sudo options `flags` end with the one that takes a user name, and no other takes a value.
fn ends_with_user_option(flags: &str) -> bool {
    const LONG: [&str; 5] = ["--login", "--non-interactive", "--set-home", "--stdin", "--preserve-env"];
    let switches = |word: &str| word.chars().all(|c| "AEHPSikn".contains(c));
    let (before, last) = flags.rsplit_once(' ').map_or((None, flags), |(before, last)| (Some(before), last));
    let names =
        last == "--user" || last.strip_prefix('-').and_then(|it| it.strip_suffix('u')).is_some_and(switches);
    let is_safe = |word: &str| LONG.contains(&word) || word.strip_prefix('-').is_some_and(switches);
    names && before.is_none_or(|before| before.split(' ').all(is_safe))
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
