//! What a command needs: the flake, the state folder, Nix, a log.

use std::path::Path;

use super::{BuildLogArgs, Card, CardCommand, Command, Identity, IdentityCommand};
use crate::bail;
use crate::base::{Address, TimeLimit};

impl Command {
    /// Whether the command evaluates the flake of the user. An evaluation may build parts of the flake.
    pub fn evaluates(&self) -> bool {
        match self {
            Self::Deploy(_)
            | Self::Hosts(_)
            | Self::NewHost(_)
            | Self::Restore(_)
            | Self::Rollback(_)
            | Self::SdImage(_)
            | Self::Status(_)
            | Self::Up(_) => true,
            Self::Flash(args) => args.image.is_none(),
            Self::Boot(args) => args.names_host(),
            Self::Card(Card { command: CardCommand::Verify(args) }) => args.names_host(),
            Self::Identity(args) => args.command.evaluates(),
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
                    | Self::Flash(_)
                    | Self::History(_)
                    | Self::Identity(_)
                    | Self::Log(_)
            )
    }

    /// Whether a log of the command is kept in the state folder, which exists already if `has_state`. A command that
    /// changes nothing makes no state folder for its log, and one that only shows what is kept here has none.
    pub fn keeps_log(&self, has_state: bool) -> bool {
        match self {
            Self::Boot(_)
            | Self::Deploy(_)
            | Self::Flash(_)
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

    /// The longest time that one evaluation may take; `None` for the default.
    pub fn eval_timeout(&self) -> Option<TimeLimit> {
        match self {
            Self::Deploy(args) => args.how.eval.eval_timeout,
            Self::Rollback(args) => args.how.eval.eval_timeout,
            Self::Hosts(args) => args.eval_timeout(),
            Self::NewHost(args) => args.nix.eval.eval_timeout,
            Self::SdImage(args) => args.build.nix.eval.eval_timeout,
            Self::Flash(args) => args.build.nix.eval.eval_timeout,
            Self::Boot(args) => args.build.nix.eval.eval_timeout,
            Self::Restore(args) => args.build.nix.eval.eval_timeout,
            Self::Status(args) => args.nix.eval.eval_timeout,
            Self::Up(args) => args.build.nix.eval.eval_timeout,
            Self::Card(Card { command: CardCommand::Verify(args) }) => args.build.nix.eval.eval_timeout,
            Self::Identity(args) => args.command.nix().and_then(|nix| nix.eval.eval_timeout),
            _ => None,
        }
    }

    /// The user's arguments for Nix.
    pub fn nix_args(&self) -> &[String] {
        match self {
            Self::Deploy(args) => args.how.nix_args(),
            Self::Rollback(args) => args.how.nix_args(),
            Self::Hosts(args) => &args.nix.nix_args,
            Self::NewHost(args) => &args.nix.nix_args,
            Self::SdImage(args) => &args.build.nix.nix_args,
            Self::Flash(args) => &args.build.nix.nix_args,
            Self::Boot(args) => &args.build.nix.nix_args,
            Self::Restore(args) => &args.build.nix.nix_args,
            Self::Status(args) => &args.nix.nix_args,
            Self::Up(args) => &args.build.nix.nix_args,
            Self::Card(Card { command: CardCommand::Verify(args) }) => &args.build.nix.nix_args,
            Self::Identity(args) => args.command.nix().map_or(&[], |nix| &nix.nix_args),
            Self::Demo(args) => &args.nix_args,
            _ => &[],
        }
    }

    /// Whether all lines of builders are printed, by `-L` of the command or among the arguments for Nix.
    pub fn prints_build_logs(&self) -> bool {
        let logs = match self {
            Self::Deploy(args) => args.how.logs,
            Self::Rollback(args) => args.how.logs,
            Self::SdImage(args) => args.build.logs,
            Self::Flash(args) => args.build.logs,
            Self::Boot(args) => args.build.logs,
            Self::Restore(args) => args.build.logs,
            Self::Card(Card { command: CardCommand::Verify(args) }) => args.build.logs,
            _ => BuildLogArgs::default(),
        };
        let is_log_option = |arg: &String| arg == "-L" || arg == "--print-build-logs";
        logs.print_build_logs || self.nix_args().iter().any(is_log_option)
    }

    /// Refuses arguments for Nix where nothing is asked of Nix, which would ignore them.
    ///
    /// # Errors
    /// `Usage`.
    pub fn check_nix_args(&self) -> anyhow::Result<()> {
        let looks_host_up = matches!(self, Self::Identity(args) if args.command.looks_host_up());
        let asks_nix = self.evaluates() || looks_host_up || matches!(self, Self::Demo(_));
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

    /// The address of the host, where the user names one.
    pub fn address(&self) -> Option<&Address> {
        match self {
            Self::Deploy(args) => args.how.to.as_ref(),
            Self::Rollback(args) => args.how.to.as_ref(),
            Self::Status(args) => args.to.as_ref(),
            Self::Up(args) => args.to.as_ref(),
            Self::Identity(Identity { command: IdentityCommand::Trust(args) }) => args.to.as_ref(),
            _ => None,
        }
    }

    /// Whether the flake may set all ssh options, also those that run programs on this machine.
    pub fn trusts_flake(&self) -> bool {
        match self {
            Self::Deploy(args) => args.how.trust.trust_flake,
            Self::Rollback(args) => args.how.trust.trust_flake,
            Self::Status(args) => args.trust.trust_flake,
            Self::Up(args) => args.trust.trust_flake,
            Self::Identity(Identity { command: IdentityCommand::Trust(args) }) => args.trust.trust_flake,
            _ => false,
        }
    }
}
