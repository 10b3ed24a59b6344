//! Checks of the sudo prefix: the words before a command that is to run as another user on the host.

use anyhow::Result;

use crate::bail;
use crate::base::HostName;

/// Refuses a prefix of shell text, one by which sudo or doas could run another program than the command, and a user
/// that is no plain name. The `sudo` and `user` of a node are used on the host even if its state is only read.
///
/// # Errors
/// `Refused` for such a prefix or user, with the field that is wrong.
pub fn check(host: &HostName, sudo: &str, user: &str) -> Result<()> {
    let node = format!("deploy.nodes.{host}");
    if user.starts_with('-') || !is_plain(user, "._-+@") {
        bail!(
            Refused, "{node}.user is {user:?}, which is no user name";
            hint: "set `user` to a name of letters, digits and `._-+@` that does not begin with `-`"
        );
    }
    if !sudo.split(' ').all(|word| is_plain(word, "._-+=/")) {
        bail!(
            Refused, "{node}.sudo is {sudo:?}, which is no list of plain words";
            hint: "set `sudo` to words of letters, digits and `._-+=/` with one space between them, such as `sudo -u`"
        );
    }
    let (program, flags) = sudo.split_once(' ').unwrap_or((sudo, ""));
    // Of other programs, the options are not known here.
    if ["sudo", "doas"].contains(&program) && !ends_with_user_option(flags) {
        bail!(
            Refused, "{node}.sudo is {sudo:?}, which could run another program than the command";
            hint: "set `sudo` to `{program} -u`; more options without a value may stand before `-u`"
        );
    }
    Ok(())
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

    /// Asserts that the node with this `sudo` and `user` is refused, and that the message ends with `what`.
    #[track_caller]
    fn assert_refused(sudo: &str, user: &str, what: &str) {
        let error = check(&"stinky".into(), sudo, user).unwrap_err();
        assert_eq!(
            (kind(&error), error.to_string()),
            (ExitKind::Refused, format!("deploy.nodes.stinky.{what}"))
        );
    }

    #[test]
    fn a_prefix_that_ends_with_the_option_for_the_user_is_accepted() {
        for sudo in [
            "sudo -u",
            "sudo -H -u",
            "sudo -n --set-home -Hu",
            "sudo --user",
            "doas -u",
            "/run/wrappers/bin/sudo -u",
        ] {
            check(&"stinky".into(), sudo, "root").unwrap();
        }
    }

    #[test]
    fn a_user_that_is_no_name_is_refused() {
        for user in ["root; touch /tmp/x;", "$(x)", "-s", "", "root\nreboot", "a b"] {
            assert_refused("sudo -u", user, &format!("user is {user:?}, which is no user name"));
        }
    }

    #[test]
    fn a_prefix_that_is_shell_text_is_refused() {
        for sudo in
            ["sudo ", "sudo  -u", "", "sudo -n; touch /tmp/x; sudo -u", "touch /tmp/x; sudo -u", "run0 >x"]
        {
            assert_refused(sudo, "root", &format!("sudo is {sudo:?}, which is no list of plain words"));
        }
    }

    #[test]
    fn a_prefix_that_could_run_another_program_is_refused() {
        for sudo in [
            "sudo",
            "sudo -g wheel",
            "sudo reboot -u",
            "sudo -R -u",
            "sudo -uroot reboot -u",
            "sudo --user=root -- reboot -u",
            "doas",
            "doas -C /etc/x -u",
        ] {
            let what = format!("sudo is {sudo:?}, which could run another program than the command");
            assert_refused(sudo, "root", &what);
        }
    }
}
