//! Arguments passed on to deploy-rs: those that change which host is meant, and those that are refused.

use anyhow::Result;

use crate::base::failure::ExitKind;

/// Options of deploy-rs after which nothing could be proved, or that it does not honour (1.0.0).
const REFUSED: [(&str, &str); 12] = [
    ("--dry-activate", "its exit code says nothing; `--dry-run` before the `--` shows what would change"),
    ("--boot", "say it before the `--`, so that what is proved is the next boot"),
    ("--targets", "name the hosts before the `--`"),
    ("--test", "the host forgets it at the next boot"),
    ("--interactive", "deploy-rs's question could not be answered; the plan is shown instead"),
    ("-i", "deploy-rs's question could not be answered; the plan is shown instead"),
    ("--profile-user", "set `user` in the flake: the profile of another user cannot be proved"),
    ("--temp-path", "deploy-rs 1.0 ignores it; set `tempPath` in the flake"),
    ("--sudo", "deploy-rs 1.0 ignores it; set `sudo` in the flake"),
    ("--file", "the host comes from the flake"),
    ("-f", "the host comes from the flake"),
    ("--groups", "one host is deployed, whatever its groups"),
];

/// What the arguments say about the host.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    pub hostname: Option<String>,
    pub ssh_user: Option<String>,
    pub ssh_opts: Option<Vec<String>>,
    pub confirm_timeout: Option<u64>,
    pub activation_timeout: Option<u64>,
    pub remote_build: bool,
    pub fast_connection: Option<bool>,
    pub interactive_sudo: Option<bool>,
    /// Whether the signatures of store paths are checked where they are copied to.
    pub checks_signatures: bool,
}

impl Overrides {
    /// Reads `args` up to a `--`, behind which everything is for nix.
    ///
    /// # Errors
    /// A usage error for an option after which nothing could be proved.
    pub fn parse(args: &[String]) -> Result<Self> {
        let mut overrides = Self::default();
        let mut words = args.iter().map(String::as_str).take_while(|word| *word != "--");
        while let Some(word) = words.next() {
            let (name, inline) =
                word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
            if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
                return Err(ExitKind::Usage.error(format!("`deploy` does not pass on {name}: {why}")));
            }
            let mut value = || inline.or_else(|| words.next());
            match name {
                "--hostname" => overrides.hostname = value().map(str::to_owned),
                "--ssh-user" => overrides.ssh_user = value().map(str::to_owned),
                "--ssh-opts" => overrides.ssh_opts = value().map(split),
                "--confirm-timeout" => overrides.confirm_timeout = value().and_then(|text| text.parse().ok()),
                "--activation-timeout" => {
                    overrides.activation_timeout = value().and_then(|text| text.parse().ok());
                }
                "--fast-connection" => overrides.fast_connection = value().and_then(|text| text.parse().ok()),
                "--interactive-sudo" => {
                    overrides.interactive_sudo = value().and_then(|text| text.parse().ok());
                }
                "--checksigs" | "-c" => overrides.checks_signatures = true,
                "--remote-build" => overrides.remote_build = true,
                _ => {}
            }
        }
        Ok(overrides)
    }
}

/// deploy-rs splits the options of ssh at each space.
fn split(options: &str) -> Vec<String> {
    options.split(' ').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Overrides> {
        Overrides::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn what_changes_the_target() {
        let found =
            parse("--hostname=10.0.0.5 -d --ssh-user pi --confirm-timeout 60 -- --hostname no").unwrap();
        let expected = Overrides {
            hostname: Some("10.0.0.5".into()),
            ssh_user: Some("pi".into()),
            confirm_timeout: Some(60),
            ..Overrides::default()
        };
        assert_eq!(found, expected);
        let args = ["--ssh-opts".to_owned(), "-p 2222".to_owned()];
        assert_eq!(Overrides::parse(&args).unwrap().ssh_opts.unwrap(), ["-p", "2222"]);
    }

    #[test]
    fn what_cannot_be_proved() {
        for (name, _) in REFUSED {
            assert!(parse(&format!("-d {name}")).is_err(), "{name}");
        }
        let error = parse("--targets").unwrap_err().to_string();
        let expected = "`deploy` does not pass on --targets: name the hosts before the `--`";
        assert_eq!(error, expected);
    }
}
