//! Running deploy-rs.

use std::collections::VecDeque;

use anyhow::Result;

use super::host;
use super::options::{DeployOptions, Goal};
use super::release;
use super::stand_in::StandIn;
use super::target::Target;
use crate::base::failure::{self, ExitKind};
use crate::base::process::Launcher;
use crate::base::{Context, Event, FlakeRef, Reporter, redact};
use crate::{bail, nix};

/// The log line of deploy-rs (1.0.0) that marks the beginning of the activation, after building and copying.
const ACTIVATING: &str = "Activating profile `";

/// What `switch-to-configuration` prints before it exits with 100: the running system cannot switch to the new one
/// without a reboot. The exit code itself is lost if deploy-rs first hears from the process that waits for the
/// activation (1.0.0).
const NEEDS_REBOOT: &str = "until you reboot the system";

/// Enables flakes for the nix commands of deploy-rs, whatever the user's nix.conf says.
const NIX_CONFIG: &str = "extra-experimental-features = nix-command flakes";

/// How deploy-rs exited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeployExit {
    pub code: i32,
    /// Whether deploy-rs began an activation on the host.
    pub activated: bool,
    /// Whether the activation reported that only a reboot can switch to the system.
    pub needs_reboot: bool,
}

impl DeployExit {
    /// Whether the user stopped deploy-rs.
    pub fn is_interrupted(self) -> bool {
        self.code == i32::from(ExitKind::Interrupted.code())
    }
}

/// Refuses if deploy-rs is not on `PATH`.
pub fn require_deploy_rs(launcher: &Launcher) -> Result<()> {
    match launcher.which("deploy") {
        Some(_) => Ok(()),
        None => {
            bail!(Refused(MissingProgram), "no deploy-rs (`deploy`) on PATH"; hint: "run `cargo xtask setup`")
        }
    }
}

/// The launcher for deploy-rs. For a profile of a release, it leads to a `nix` of its own, as long as that lives.
///
/// # Errors
/// Those of [`release::launcher`].
pub fn launcher(cx: &Context, target: &Target) -> Result<(Launcher, Option<StandIn>)> {
    match target.release {
        Some(_) => release::launcher(cx, &target.host).map(|(launcher, nix)| (launcher, Some(nix))),
        None => Ok((cx.launcher.clone(), None)),
    }
}

/// The arguments with which deploy-rs deploys `target` from `flake`.
///
/// They skip the checks of the flake, which evaluate every other host: this tool verifies the host afterwards.
/// Arguments of the user come last, so that they win. The user's `--ssh-opts` are already part of the connection.
///
/// # Errors
/// Those of [`host::deploy_rs_ssh_opts`].
pub fn arguments(target: &Target, flake: &FlakeRef, options: &DeployOptions) -> Result<Vec<String>> {
    let mut args = vec!["--skip-checks".to_owned()];
    if options.goal == Goal::Boot {
        args.push("--boot".to_owned());
    }
    let ssh_options = host::deploy_rs_ssh_opts(&target.host, &target.connection)?;
    args.extend(["--ssh-opts".to_owned(), ssh_options]);
    args.push(format!("{flake}#{}.system", nix::quote(&target.host)));
    args.extend(without_ssh_options(&options.extra));
    Ok(args)
}

/// `extra` without `--ssh-opts`, which deploy-rs accepts only once.
fn without_ssh_options(extra: &[String]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut words = extra.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            // The words that follow are for Nix.
            "--" => return [&kept[..], &["--".to_owned()], words.as_slice()].concat(),
            "--ssh-opts" => {
                let _value = words.next();
            }
            other if other.starts_with("--ssh-opts=") => {}
            _ => kept.push(word.clone()),
        }
    }
    kept
}

/// How many lines of deploy-rs are kept, the last ones.
const MAX_TAIL: usize = 30;

/// The last lines of deploy-rs, which a user wants to see where it failed.
#[derive(Default)]
pub struct Tail(VecDeque<String>);

impl Tail {
    fn push(&mut self, line: String) {
        if self.0.len() == MAX_TAIL {
            self.0.pop_front();
        }
        self.0.push_back(line);
    }

    /// Reports the lines.
    pub fn report(&self, reporter: &dyn Reporter) {
        if !self.0.is_empty() {
            reporter.report(&Event::Tail { lines: self.0.iter().cloned().collect() });
        }
    }
}

/// Runs deploy-rs with `args` until it exits, and reports each of its lines as it comes. Returns how it exited, and its
/// last lines. `ssh` is the one that it runs; without it, the user's.
///
/// The exit code decides little: see [`super::verdict`]. An interrupt by the user is an exit like others, because the
/// host continues by itself.
pub fn run(
    launcher: &Launcher,
    args: &[String],
    ssh: Option<&StandIn>,
    reporter: &dyn Reporter,
) -> Result<(DeployExit, Tail)> {
    let launcher = ssh.map_or_else(|| launcher.clone(), |ssh| ssh.on_path_of(launcher));
    let nix_config = nix_config_with_flakes(&launcher);
    let launcher = launcher.with_env("NIX_CONFIG", nix_config);
    let mut activated = false;
    let mut needs_reboot = false;
    let mut tail = Tail::default();
    let exit = launcher.stream_all("deploy", args, |line| {
        // The variation selectors behind its symbols would be shown as escapes.
        let line = nix::strip_ansi(line).replace('\u{fe0f}', "");
        activated |= line.contains(ACTIVATING);
        needs_reboot |= line.contains(NEEDS_REBOOT);
        let line = redact::without_passwords(&line);
        reporter.report(&Event::output(&line));
        tail.push(line);
    });
    let code = match exit {
        Err(error) if failure::kind(&error) == ExitKind::Interrupted => ExitKind::Interrupted.code().into(),
        code => code?,
    };
    Ok((DeployExit { code, activated, needs_reboot }, tail))
}

/// The user's `NIX_CONFIG`, with flakes enabled.
fn nix_config_with_flakes(launcher: &Launcher) -> String {
    let user_config = launcher.env("NIX_CONFIG").unwrap_or_default();
    format!("{}\n{NIX_CONFIG}", user_config.to_string_lossy()).trim_start().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::desired::Overrides;
    use crate::deploy::options::Afterwards;
    use crate::deploy::verdict::tests::target;

    fn options(goal: Goal, extra: &[String]) -> DeployOptions {
        let overrides = Overrides::default();
        let extra = extra.to_vec();
        DeployOptions {
            goal,
            is_dry_run: false,
            afterwards: Afterwards::Stay,
            wait: None,
            health: Vec::new(),
            keep_firmware: false,
            waves: crate::deploy::Waves::new(Vec::new(), None),
            cache_key: None,
            cache: None,
            overrides,
            release: None,
            extra,
        }
    }

    #[test]
    fn deploy_rs_gets_the_options_of_the_tool_before_those_of_the_user() {
        let timeouts = "-o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3 -T";
        let extra = ["--debug-logs".to_owned(), "--".to_owned(), "-L".to_owned()];
        let expected =
            ["--skip-checks", "--ssh-opts", timeouts, r#"F#"stinky".system"#, "--debug-logs", "--", "-L"];
        let switch = options(Goal::Switch, &extra);
        assert_eq!(arguments(&target(None), &FlakeRef::of_url("F"), &switch).unwrap(), expected);
    }

    #[test]
    fn the_words_behind_the_separator_are_for_nix() {
        let extra = ["--debug-logs".to_owned(), "--".to_owned(), "-L".to_owned()];
        assert_eq!(options(Goal::Switch, &extra).nix_args(), ["-L"]);
    }

    #[test]
    fn the_goal_boot_is_an_option_of_deploy_rs() {
        let next_boot = arguments(&target(None), &FlakeRef::of_url("F"), &options(Goal::Boot, &[])).unwrap();
        assert_eq!(next_boot[..2], ["--skip-checks", "--boot"]);
    }

    #[test]
    fn ssh_options_of_the_user_are_passed_once() {
        for (extra, expected) in [
            ("--ssh-opts=-p -d", "-d"),
            ("-d --ssh-opts -p --remote-build", "-d --remote-build"),
            ("-d -- --ssh-opts x", "-d -- --ssh-opts x"),
        ] {
            let extra = extra.split(' ').map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(without_ssh_options(&extra).join(" "), expected);
        }
    }

    #[test]
    fn nix_settings_of_the_user_are_kept() {
        let launcher = Launcher::new("/").with_env("NIX_CONFIG", "cores = 1");
        assert_eq!(nix_config_with_flakes(&launcher), format!("cores = 1\n{NIX_CONFIG}"));
        assert_eq!(nix_config_with_flakes(&Launcher::new("/").with_env("NIX_CONFIG", "")), NIX_CONFIG);
    }
}
