//! Arguments for deploy-rs: those that change the target, and those that are refused.

use std::str::FromStr;

use anyhow::Result;

use crate::bail;
use crate::base::Address;
use crate::deploy::target::GoesBack;

/// Refused options of deploy-rs (1.0.0), each with the reason, and with the remedy if there is one.
const REFUSED: &[(&str, &str, Option<&str>)] = &[
    (
        "--dry-activate",
        "its exit code is meaningless",
        Some("`--dry-run` before the `--` shows what would change"),
    ),
    ("--boot", "the next boot would not be verified", Some("pass `--boot` before the `--`")),
    ("--targets", "it selects hosts", Some("name the hosts before the `--`")),
    ("--test", "the host forgets the system at the next boot", None),
    ("--interactive", NO_QUESTIONS, None),
    ("-i", NO_QUESTIONS, None),
    ("--profile-user", "the profile of another user cannot be verified", Some("set `user` in the flake")),
    ("--temp-path", "deploy-rs 1.0 ignores it", Some("set `tempPath` in the flake")),
    ("--sudo", "deploy-rs 1.0 ignores it", Some("set `sudo` in the flake")),
    ("--file", "the host comes from the flake", None),
    ("-f", "the host comes from the flake", None),
    ("--groups", "one host is deployed, whatever its groups", None),
];

const NO_QUESTIONS: &str = "the question of deploy-rs could not be answered; the plan is shown instead";

/// The changes of the target by arguments of the command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    pub hostname: Option<String>,
    pub ssh_user: Option<String>,
    pub ssh_opts: Option<Vec<String>>,
    pub confirm_timeout: Option<u64>,
    pub activation_timeout: Option<u64>,
    pub auto_rollback: Option<bool>,
    pub magic_rollback: Option<bool>,
    pub remote_build: bool,
    pub fast_connection: Option<bool>,
    pub interactive_sudo: Option<bool>,
    /// Whether the receiving store checks the signatures of the copied paths.
    pub checks_signatures: bool,
    pub purpose: Purpose,
}

/// What the target is evaluated for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// A host with its pinned key.
    #[default]
    Host,
    /// Reading the key of a host, to which nothing is sent: any key is accepted.
    Key,
    /// A release, which asks no host and has no key of one. Its command line has no `--to`.
    Release,
}

impl Overrides {
    /// The override by `--to`, if it is given.
    pub fn of_address(to: Option<&Address>) -> Self {
        let hostname = to.map(|to| to.hostname.clone());
        let ssh_user = to.and_then(|to| to.user.clone());
        Self { hostname, ssh_user, ..Self::default() }
    }

    /// The remedies for a host without an address: that of the command line, if it has one, or the `other`.
    pub fn address_remedies(&self, other: &str) -> String {
        match self.purpose {
            Purpose::Host | Purpose::Key => format!("pass --to [USER@]ADDRESS, or {other}"),
            Purpose::Release => other.to_owned(),
        }
    }

    /// When a host goes back by itself, whose node has these `autoRollback` and `magicRollback`.
    pub fn goes_back(&self, auto: Option<bool>, magic: Option<bool>) -> GoesBack {
        GoesBack {
            after_failure: self.auto_rollback.or(auto).unwrap_or(true),
            without_confirmation: self.magic_rollback.or(magic).unwrap_or(true),
        }
    }

    /// Reads `args` up to a `--`, after which the arguments are for Nix. `to` is the address of `--to`.
    ///
    /// # Errors
    /// Those of [`Self::parse`]; `Usage` for a second address or user.
    pub fn parse_with(args: &[String], to: Option<&Address>) -> Result<Self> {
        let parsed = Self::parse(args)?;
        let Self { hostname, ssh_user, .. } = Self::of_address(to);
        if hostname.is_some() && parsed.hostname.is_some() {
            bail!(Usage, "--to and --hostname name two addresses of the host"; hint: "pass only --to");
        }
        if ssh_user.is_some() && parsed.ssh_user.is_some() {
            bail!(Usage, "--to and --ssh-user name two users of the host"; hint: "pass only --to");
        }
        Ok(Self { hostname: hostname.or(parsed.hostname), ssh_user: ssh_user.or(parsed.ssh_user), ..parsed })
    }

    /// Reads `args` up to a `--`, after which the arguments are for Nix.
    ///
    /// # Errors
    /// `Usage` for a refused option.
    fn parse(args: &[String]) -> Result<Self> {
        let mut overrides = Self::default();
        let mut words = args.iter().map(String::as_str).take_while(|word| *word != "--");
        while let Some(word) = words.next() {
            let (name, inline_value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word, None),
            };
            check_passable(name)?;
            let mut value = || inline_value.or_else(|| words.next());
            match name {
                "--hostname" => overrides.hostname = value().map(str::to_owned),
                "--ssh-user" => overrides.ssh_user = value().map(str::to_owned),
                "--ssh-opts" => overrides.ssh_opts = value().map(split_at_spaces),
                "--confirm-timeout" => overrides.confirm_timeout = parse_value(value()),
                "--activation-timeout" => overrides.activation_timeout = parse_value(value()),
                "--auto-rollback" => overrides.auto_rollback = parse_value(value()),
                "--magic-rollback" => overrides.magic_rollback = parse_value(value()),
                "--fast-connection" => overrides.fast_connection = parse_value(value()),
                "--interactive-sudo" => overrides.interactive_sudo = parse_value(value()),
                "--checksigs" | "-c" => overrides.checks_signatures = true,
                "--remote-build" => overrides.remote_build = true,
                _ => {}
            }
        }
        Ok(overrides)
    }
}

/// The value of an option. `None` for an invalid value too, which deploy-rs itself reports.
fn parse_value<T: FromStr>(text: Option<&str>) -> Option<T> {
    text?.parse().ok()
}

/// Refuses the option `name` if it is one of [`REFUSED`].
fn check_passable(name: &str) -> Result<()> {
    match REFUSED.iter().find(|(refused, ..)| *refused == name) {
        None => Ok(()),
        Some((_, why, remedy)) => {
            let remedy = remedy.unwrap_or("leave it out");
            bail!(Usage, "{name} cannot be passed to deploy-rs: {why}"; hint: "{remedy}")
        }
    }
}

/// Splits `options` at spaces, as deploy-rs does, but drops the empty words that several spaces in a row make.
fn split_at_spaces(options: &str) -> Vec<String> {
    options.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::hint;

    fn parse(line: &str) -> Result<Overrides> {
        Overrides::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_before_the_separator_override_the_node() {
        let found =
            parse("--hostname=10.0.0.5 -d --ssh-user pi --auto-rollback false --magic-rollback=true --confirm-timeout 60 \
                   -- --hostname no")
                .unwrap();
        let expected = Overrides {
            hostname: Some("10.0.0.5".into()),
            ssh_user: Some("pi".into()),
            auto_rollback: Some(false),
            magic_rollback: Some(true),
            confirm_timeout: Some(60),
            ..Overrides::default()
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn ssh_options_are_split_at_spaces() {
        let args = ["--ssh-opts".to_owned(), "-p 2222".to_owned()];
        assert_eq!(Overrides::parse(&args).unwrap().ssh_opts.unwrap(), ["-p", "2222"]);
    }

    #[test]
    fn an_address_or_user_that_is_named_twice_is_refused() {
        let to = "pi@stinky.lan".parse::<Address>().unwrap();
        let parse = |args: &[&str], to: &Address| {
            let args = args.iter().map(ToString::to_string).collect::<Vec<_>>();
            Overrides::parse_with(&args, Some(to)).map_err(|error| error.to_string())
        };
        let expected = Overrides {
            hostname: Some("stinky.lan".into()),
            ssh_user: Some("pi".into()),
            confirm_timeout: Some(60),
            ..Overrides::default()
        };
        assert_eq!(parse(&["--confirm-timeout", "60"], &to), Ok(expected));
        let two = |name: &str, what: &str| Err(format!("--to and {name} name two {what} of the host"));
        assert_eq!(parse(&["--hostname", "x"], &to), two("--hostname", "addresses"));
        assert_eq!(parse(&["--ssh-user=x"], &to), two("--ssh-user", "users"));
        let bare = Address { user: None, ..to };
        assert_eq!(parse(&["--ssh-user=x"], &bare).unwrap().ssh_user.as_deref(), Some("x"));
    }

    #[test]
    fn each_refused_option_has_a_reason_and_may_have_a_remedy() {
        for (name, ..) in REFUSED {
            assert!(parse(&format!("-d {name}")).is_err(), "{name}");
        }
        let error = parse("--targets").unwrap_err();
        assert_eq!(error.to_string(), "--targets cannot be passed to deploy-rs: it selects hosts");
        assert_eq!(hint(&error), Some("name the hosts before the `--`"));
    }
}
