//! Settings that Nix cannot read. Every command of Nix then fails, `nix --version` too.

use anyhow::Result;

use super::error::{WRONG_SETTING, is_of_settings};
use crate::base::process::Launcher;
use crate::base::redact::without_passwords;
use crate::failure;

/// Checks that the `nix` on the launcher's `PATH` can read its settings. A Nix that is missing, or fails otherwise, is
/// no error here.
///
/// # Errors
/// `Refused`, with the setting.
pub fn check_settings(launcher: &Launcher) -> Result<()> {
    let output = launcher.capture("nix", &["--version"]).ok().filter(|output| !output.success());
    output.and_then(|output| of(&output.stderr)).map_or(Ok(()), Err)
}

/// The error for a Nix that ended with `stderr` as it could not read its settings; `None` where something else failed.
pub fn of(stderr: &str) -> Option<anyhow::Error> {
    let mut errors = stderr.lines().filter_map(|line| line.trim_start().strip_prefix("error: "));
    let fault = without_passwords(errors.find(|line| is_of_settings(line))?.trim());
    Some(failure!(Refused, "nix cannot read its settings: {fault}"; hint: "{WRONG_SETTING}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::{ExitKind, hint, kind};

    #[test]
    fn settings_that_nix_cannot_read_are_refused_without_their_values() {
        for (stderr, expected) in [
            (
                "error: syntax error in configuration line 'access-tokens github.com=t' in 'NIX_CONFIG'\nTry",
                "syntax error in configuration line 'access-tokens …' in 'NIX_CONFIG'",
            ),
            ("error: option 'sandbox' has invalid value 'x'", "option 'sandbox' has invalid value 'x'"),
            (
                "warning: unknown setting 'y'\nerror: configuration setting 'max-jobs' should be 'auto' or an integer",
                "configuration setting 'max-jobs' should be 'auto' or an integer",
            ),
            (
                "error: file '/n' included from '/etc/nix/nix.conf' not found",
                "file '/n' included from '/etc/nix/nix.conf' not found",
            ),
        ] {
            let error = of(stderr).unwrap();
            assert_eq!(error.to_string(), format!("nix cannot read its settings: {expected}"));
            assert_eq!((kind(&error), hint(&error)), (ExitKind::Refused, Some(WRONG_SETTING)));
        }
        assert!(of("nix: error while loading shared libraries: libx.so").is_none());
    }
}
