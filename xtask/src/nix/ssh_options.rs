//! The options of the ssh that Nix runs where nobody can answer a question.

use crate::base::process::Launcher;

/// The options with which ssh asks nothing, and waits at most `seconds` for a connection.
pub fn batch_options(seconds: u32) -> String {
    format!("-oBatchMode=yes -oConnectTimeout={seconds}")
}

/// `launcher` for a Nix whose ssh has these options behind those of the user: ssh takes the first value of an option.
pub fn with_batch_options(launcher: &Launcher, seconds: u32) -> Launcher {
    let own = launcher.env("NIX_SSHOPTS").unwrap_or_default();
    let options = format!("{} {}", own.to_string_lossy(), batch_options(seconds));
    launcher.clone().with_env("NIX_SSHOPTS", options.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_of_the_user_come_first() {
        for (own, expected) in [
            ("", "-oBatchMode=yes -oConnectTimeout=4"),
            ("-p 22", "-p 22 -oBatchMode=yes -oConnectTimeout=4"),
        ] {
            let launcher = with_batch_options(&Launcher::new("/").with_env("NIX_SSHOPTS", own), 4);
            assert_eq!(launcher.env("NIX_SSHOPTS").unwrap(), expected);
        }
    }
}
