//! Running deploy-rs.

use anyhow::Result;

use super::host;
use super::options::{DeployOptions, Goal};
use super::target::Target;
use super::verdict::DeployExit;
use crate::base::failure::{self, ExitKind};
use crate::base::process::Launcher;
use crate::base::{Event, Reporter};
use crate::nix;

/// What deploy-rs logs when it turns to the host's system, after building and copying (1.0.0).
const ACTIVATING: &str = "Activating profile `";

/// What switch-to-configuration says before it ends with 100: the running system cannot become this one. The exit
/// code itself is lost where deploy-rs hears first from its waiter (1.0.0).
const NEEDS_REBOOT: &str = "until you reboot the system";

/// Switches flakes on for the nix commands of deploy-rs, whatever the user's nix.conf says.
const NIX_CONFIG: &str = "extra-experimental-features = nix-command flakes";

/// Refuses where there is no deploy-rs.
pub fn require(launcher: &Launcher) -> Result<()> {
    let missing =
        || ExitKind::Refused.error("there is no deploy-rs (`deploy`) on PATH: run `cargo xtask setup`");
    launcher.which("deploy").map(drop).ok_or_else(missing)
}

/// The arguments for deploy-rs. Checks of the flake are left out: they evaluate every other host, and
/// what this host runs is proved afterwards. Words that the user passed on come last, so that they win.
/// Their options of ssh are part of the connection already.
pub fn arguments(target: &Target, flake: &str, order: &DeployOptions) -> Result<Vec<String>> {
    let mut args = vec!["--skip-checks".to_owned()];
    args.extend((order.goal == Goal::Boot).then(|| "--boot".to_owned()));
    let options = host::whole(&target.host, &target.connection)?;
    args.extend(options.iter().flat_map(|options| ["--ssh-opts".to_owned(), options.clone()]));
    args.push(format!("{flake}#{}.system", nix::quote(&target.host)));
    let extra = &order.extra;
    args.extend(if options.is_some() { without_ssh_options(extra) } else { extra.clone() });
    Ok(args)
}

/// `extra` without the option that must not be there twice.
fn without_ssh_options(extra: &[String]) -> Vec<String> {
    let (mut kept, mut words) = (Vec::new(), extra.iter());
    while let Some(word) = words.next() {
        match word.as_str() {
            "--" => return [&kept[..], &["--".to_owned()], words.as_slice()].concat(),
            "--ssh-opts" => drop(words.next()),
            other if other.starts_with("--ssh-opts=") => {}
            _ => kept.push(word.clone()),
        }
    }
    kept
}

/// Runs deploy-rs to its end, each of its lines a log event. Its exit code says little: see
/// [`super::verdict`]. That the user stopped it is one more way to end: the host goes on by itself.
pub fn run(launcher: &Launcher, args: &[String], reporter: &dyn Reporter) -> Result<DeployExit> {
    let launcher = launcher.clone().with_env("NIX_CONFIG", with_flakes(launcher));
    let (mut activated, mut wants_reboot) = (false, false);
    let ended = launcher.stream_all("deploy", args, |line| {
        let line = nix::strip_ansi(line);
        activated |= line.contains(ACTIVATING);
        wants_reboot |= line.contains(NEEDS_REBOOT);
        reporter.report(&Event::log(line));
    });
    let code = match ended {
        Err(error) if failure::kind(&error) == ExitKind::Interrupted => ExitKind::Interrupted.code().into(),
        ended => ended?,
    };
    Ok(DeployExit { code, activated, wants_reboot })
}

fn with_flakes(launcher: &Launcher) -> String {
    let own = launcher.env("NIX_CONFIG").unwrap_or_default();
    format!("{}\n{NIX_CONFIG}", own.to_string_lossy()).trim_start().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::desired::Overrides;
    use crate::deploy::options::Afterwards;
    use crate::deploy::verdict::tests::target;

    fn order(goal: Goal, extra: &[String]) -> DeployOptions {
        let (overrides, extra) = (Overrides::default(), extra.to_vec());
        DeployOptions { goal, afterwards: Afterwards::Stay, wait: None, health: Vec::new(), overrides, extra }
    }

    #[test]
    fn what_deploy_rs_is_asked() {
        let patience = "-o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3";
        let extra = ["--debug-logs".to_owned(), "--".to_owned(), "-L".to_owned()];
        let expected =
            ["--skip-checks", "--ssh-opts", patience, r#"F#"stinky".system"#, "--debug-logs", "--", "-L"];
        let switch = order(Goal::Switch, &extra);
        assert_eq!(arguments(&target(None), "F", &switch).unwrap(), expected);
        assert_eq!(switch.nix_args(), ["-L"]);
        let next_boot = arguments(&target(None), "F", &order(Goal::Boot, &[])).unwrap();
        assert_eq!(next_boot[..2], ["--skip-checks", "--boot"]);
    }

    #[test]
    fn the_users_options_of_ssh_are_not_passed_on_twice() {
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
    fn the_settings_of_the_user_stay() {
        let launcher = Launcher::new("/").with_env("NIX_CONFIG", "cores = 1");
        assert_eq!(with_flakes(&launcher), format!("cores = 1\n{NIX_CONFIG}"));
        assert_eq!(with_flakes(&Launcher::new("/").with_env("NIX_CONFIG", "")), NIX_CONFIG);
    }
}
