//! What a command needs: the flake, the state folder, Nix, a log.

use std::path::Path;

use super::deploy::{Deploy, DeployArgs};
use super::{BuildArgs, BuildHow, Card, CardCommand, Command, Identity, IdentityCommand, NixArgs, Rollback};
use crate::bail;
use crate::base::{Address, TimeLimit};

impl Command {
    /// Whether the command evaluates the flake of the user. An evaluation may build parts of the flake.
    pub fn evaluates(&self) -> bool {
        match self {
            Self::Deploy(_) | Self::Status(_) => !self.takes_release(),
            Self::Hosts(_)
            | Self::NewHost(_)
            | Self::Release(_)
            | Self::Restore(_)
            | Self::Rollback(_)
            | Self::SdImage(_)
            | Self::Up(_) => true,
            Self::Flash(args) => args.image.is_none(),
            Self::Boot(args) => args.names_host(),
            Self::Card(Card { command: CardCommand::Verify(args) }) => args.names_host(),
            Self::Identity(args) => args.command.evaluates(),
            _ => false,
        }
    }

    /// Whether a release says what hosts are to run, and not the flake.
    fn takes_release(&self) -> bool {
        match self {
            Self::Deploy(args) => args.from.release.is_some(),
            Self::Status(args) => args.from.release.is_some(),
            _ => false,
        }
    }

    /// Whether the command may read or write keys and receipts of the flake's hosts.
    pub fn uses_state(&self) -> bool {
        self.evaluates()
            || matches!(
                self,
                Self::Boot(_)
                    | Self::Card(_)
                    | Self::Deploy(_)
                    | Self::Flash(_)
                    | Self::History(_)
                    | Self::Identity(_)
                    | Self::Log(_)
                    | Self::Status(_)
            )
    }

    /// Whether a log of the command is kept in the state folder, which exists already if `has_state`. A command that
    /// changes nothing makes no state folder for its log, and one that only shows what is kept here has none.
    pub fn keeps_log(&self, has_state: bool) -> bool {
        match self {
            Self::Boot(_)
            | Self::Deploy(_)
            | Self::Flash(_)
            | Self::Release(_)
            | Self::Restore(_)
            | Self::Rollback(_)
            | Self::SdImage(_)
            | Self::Up(_) => true,
            Self::Card(_)
            | Self::Demo(_)
            | Self::Hosts(_)
            | Self::Identity(_)
            | Self::NewHost(_)
            | Self::Setup(_)
            | Self::Status(_) => has_state,
            _ => false,
        }
    }

    /// Whether the command reads only names from the flake, for which Nix builds nothing.
    pub fn reads_names_only(&self) -> bool {
        matches!(self, Self::Hosts(args) if !args.evaluate)
    }

    /// How the command deploys; `None` for one that deploys nothing, or does so as a step of many.
    fn deploy_args(&self) -> Option<&DeployArgs> {
        match self {
            Self::Deploy(args) => Some(&args.how),
            Self::Rollback(args) => Some(&args.how),
            _ => None,
        }
    }

    /// How the command builds an image; `None` for one that builds none.
    fn build_args(&self) -> Option<&BuildArgs> {
        match self {
            Self::SdImage(args) => Some(&args.build),
            Self::Flash(args) => Some(&args.build),
            Self::Boot(args) => Some(&args.build),
            Self::Restore(args) => Some(&args.build),
            Self::Up(args) => Some(&args.build),
            Self::Card(Card { command: CardCommand::Verify(args) }) => Some(&args.build),
            _ => None,
        }
    }

    fn build_args_mut(&mut self) -> Option<&mut BuildArgs> {
        match self {
            Self::SdImage(args) => Some(&mut args.build),
            Self::Flash(args) => Some(&mut args.build),
            Self::Boot(args) => Some(&mut args.build),
            Self::Restore(args) => Some(&mut args.build),
            Self::Up(args) => Some(&mut args.build),
            Self::Card(Card { command: CardCommand::Verify(args) }) => Some(&mut args.build),
            _ => None,
        }
    }

    /// What the user wants of Nix, for a command that does not only deploy.
    fn nix(&self) -> Option<&NixArgs> {
        match self {
            Self::Hosts(args) => Some(&args.nix),
            Self::NewHost(args) => Some(&args.nix),
            Self::Release(args) => Some(&args.nix),
            Self::Status(args) => Some(&args.nix),
            Self::Identity(args) => args.command.nix(),
            _ => self.build_args().map(|build| &build.nix),
        }
    }

    /// The longest time that one evaluation may take; `None` for the default.
    pub fn eval_timeout(&self) -> Option<TimeLimit> {
        match self {
            Self::Hosts(args) => args.eval_timeout(),
            _ => self.given_eval_timeout(),
        }
    }

    /// The time of `--eval-timeout`.
    pub(super) fn given_eval_timeout(&self) -> Option<TimeLimit> {
        match self.deploy_args() {
            Some(how) => how.eval.eval_timeout,
            None => self.nix()?.eval.eval_timeout,
        }
    }

    /// All words for deploy-rs, with those for Nix behind them.
    pub(super) fn words_for_deploy_rs(&self) -> &[String] {
        self.deploy_args().map_or(&[], |how| &how.deploy_args)
    }

    /// The user's arguments for Nix.
    pub fn nix_args(&self) -> &[String] {
        match (self, self.deploy_args()) {
            (Self::Demo(args), _) => &args.nix_args,
            (_, Some(how)) => how.nix_args(),
            _ => self.nix().map_or(&[], |nix| &nix.nix_args),
        }
    }

    /// Whether all lines of builders are printed, by `-L` of the command or among the arguments for Nix.
    pub fn prints_build_logs(&self) -> bool {
        let is_log_option = |arg: &String| arg == "-L" || arg == "--print-build-logs";
        self.builds().is_some_and(|builds| builds.print_build_logs)
            || self.nix_args().iter().any(is_log_option)
    }

    /// Whether builds that take hours may begin without a question.
    pub fn allows_slow_builds(&self) -> bool {
        self.builds().is_some_and(|builds| builds.allow_slow_builds)
    }

    /// How the command builds; `None` for a command that does not.
    fn builds(&self) -> Option<&BuildHow> {
        if let Self::Release(args) = self {
            return Some(&args.builds);
        }
        self.deploy_args().map(|how| &how.builds).or_else(|| self.build_args().map(|build| &build.how))
    }

    /// Adds the machines of `--builder` to the arguments for Nix.
    pub fn pass_builders_to_nix(&mut self) {
        let builders = self.builds().map(|builds| builds.builders.join(" ; ")).unwrap_or_default();
        if builders.is_empty() {
            return;
        }
        let words = ["--builders".to_owned(), builders];
        match self {
            Self::Deploy(Deploy { how, .. }) | Self::Rollback(Rollback { how, .. }) => {
                how.add_nix_args(words);
            }
            Self::Release(args) => args.nix.nix_args.extend(words),
            _ => self.build_args_mut().into_iter().for_each(|build| build.nix.nix_args.extend(words.clone())),
        }
    }

    /// Whether the command lets Nix build.
    pub fn is_build(&self) -> bool {
        self.builds().is_some() || matches!(self, Self::Demo(_))
    }

    /// Refuses arguments for Nix where nothing is asked of Nix, which would ignore them.
    ///
    /// # Errors
    /// `Usage`.
    pub fn check_nix_args(&self) -> anyhow::Result<()> {
        let looks_host_up = matches!(self, Self::Identity(args) if args.command.looks_host_up());
        let asks_nix =
            self.evaluates() || self.takes_release() || looks_host_up || matches!(self, Self::Demo(_));
        match self.nix_args().first() {
            Some(first) if !asks_nix => bail!(
                Usage, "`{first}` is an argument for Nix, and this command line asks nothing of Nix";
                hint: "leave out what follows `--`"
            ),
            _ => Ok(()),
        }
    }

    /// The folder of `--identity-dir`, for the commands that evaluate the flake.
    pub fn identity_dir(&self) -> Option<&Path> {
        match self {
            Self::Flash(args) => args.payload.identity_dir.as_deref(),
            Self::Restore(args) => args.identity_dir.as_deref(),
            Self::Up(args) => args.payload.identity_dir.as_deref(),
            _ => None,
        }
    }

    /// The folder of `--identity-dir`, for all commands that have the option.
    pub fn key_folder(&self) -> Option<&Path> {
        match self {
            Self::Identity(args) => args.command.keys()?.dir(),
            _ => self.identity_dir(),
        }
    }

    /// The address of the host, where the user names one.
    pub fn address(&self) -> Option<&Address> {
        match self {
            Self::Status(args) => args.to.as_ref(),
            Self::Up(args) => args.to.as_ref(),
            Self::Identity(Identity { command: IdentityCommand::Trust(args) }) => args.to.as_ref(),
            _ => self.deploy_args()?.to.as_ref(),
        }
    }

    /// Whether a loop device or a file may be a card.
    pub fn allows_virtual_cards(&self) -> bool {
        match self {
            Self::Devices(args) => args.allow_virtual,
            Self::Flash(args) => args.write.confirm.allow_virtual,
            Self::Restore(args) => args.write.confirm.allow_virtual,
            Self::Up(args) => args.write.confirm.allow_virtual,
            Self::Card(Card { command: CardCommand::Check(args) }) => args.confirm.allow_virtual,
            _ => false,
        }
    }

    /// Whether the flake may set all ssh options, also those that run programs on this machine.
    pub fn trusts_flake(&self) -> bool {
        match self {
            Self::Release(args) => args.trust.trust_flake,
            Self::Status(args) => args.trust.trust_flake,
            Self::Up(args) => args.trust.trust_flake,
            Self::Identity(Identity { command: IdentityCommand::Trust(args) }) => args.trust.trust_flake,
            _ => self.deploy_args().is_some_and(|how| how.trust.trust_flake),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::Cli;

    /// Also of a command that builds an image as one step of many.
    #[test]
    fn every_command_with_the_option_prints_build_logs() {
        for line in [
            "sd-image pi -L",
            "flash pi /dev/sdb -L",
            "boot pi -L",
            "restore pi /dev/sdb -L",
            "up pi -L",
            "card verify /dev/sdb pi -L",
            "deploy pi -L",
            "release pi --out x -L",
            "rollback pi -L",
            "hosts -- -L",
        ] {
            for (options, expected) in [(line.to_owned(), true), (line.replace("-L", ""), false)] {
                let words = ["xtask"].into_iter().chain(options.split_whitespace());
                let command = Cli::try_parse_from(words).unwrap().command.unwrap();
                assert_eq!(command.prints_build_logs(), expected, "{options}");
            }
        }
    }
}
