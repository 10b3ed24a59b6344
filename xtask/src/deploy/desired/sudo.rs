//! What stands in front of a command that another user runs on the host.

use anyhow::Result;

use crate::base::failure::ExitKind;

/// Refuses words in front of a command that would run something else than that command: `sudo` and `user` of a node are run
/// on the host already where it is only looked at.
///
/// # Errors
/// Of [`ExitKind::Refused`].
pub fn check(host: &str, sudo: &str, user: &str) -> Result<()> {
    let plain = |word: &str, special: &str| {
        word.chars().all(|c| c.is_ascii_alphanumeric() || special.contains(c)) && !word.is_empty()
    };
    let (program, flags) = sudo.split_once(' ').unwrap_or((sudo, ""));
    let known = !["sudo", "doas"].contains(&program) || names_user_last(flags);
    let words = sudo.split(' ').all(|word| plain(word, "._-+=/"));
    if known && words && !user.starts_with('-') && plain(user, "._-+@") {
        return Ok(());
    }
    Err(ExitKind::Refused.error(format!(
        "deploy.nodes.{host} would run its commands by {sudo:?} as {user:?}: the name of a user stands behind `sudo -u` or \
         `doas -u`, with no other option that takes a value"
    )))
}

/// Whether the options `flags` of sudo end with that which takes the name of a user, and take no other value.
fn names_user_last(flags: &str) -> bool {
    const LONG: [&str; 5] = ["--login", "--non-interactive", "--set-home", "--stdin", "--preserve-env"];
    let switches = |word: &str| word.chars().all(|c| "AEHPSikn".contains(c));
    let (before, last) = flags.rsplit_once(' ').map_or((None, flags), |(before, last)| (Some(before), last));
    let names =
        last == "--user" || last.strip_prefix('-').and_then(|it| it.strip_suffix('u')).is_some_and(switches);
    let harmless = |word: &str| LONG.contains(&word) || word.strip_prefix('-').is_some_and(switches);
    names && before.is_none_or(|before| before.split(' ').all(harmless))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::kind;

    #[test]
    fn what_stands_before_commands_of_another_user() {
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
            let refused = check("stinky", sudo, user).map_err(|error| kind(&error));
            assert_eq!(refused, if good { Ok(()) } else { Err(ExitKind::Refused) }, "{sudo} {user}");
        }
    }
}
