//! Refusals of several hosts in one command, before anything is built.

use anyhow::Result;

use super::find_target::FoundTarget;
use super::host::State;
use super::plan::Plan;
use super::target::Target;
use crate::base::HostName;
use crate::base::failure::{ExitKind, Reason, kind};
use crate::{bail, failure};

/// Checks that all hosts that were `found` can be deployed to by one command. In a dry run, a host may ask for a
/// password.
///
/// The errors of a host that is broken in the flake stay with that host. A name that the flake does not have stops
/// all hosts, because the user may have meant any of them.
///
/// # Errors
/// `Usage` for a name that the flake does not have, and for hosts that ask for a password; `Refused` if two hosts are
/// the same machine.
pub fn check(is_dry_run: bool, found: &[Result<FoundTarget>]) -> Result<()> {
    let errors = found.iter().filter_map(|found| found.as_ref().err());
    let unknown = errors.filter(|error| kind(error) == ExitKind::Usage).collect::<Vec<_>>();
    if !unknown.is_empty() {
        return Err(names_not_in_flake_error(&unknown));
    }
    let targets = found.iter().flatten().map(|found| &found.target).collect::<Vec<_>>();
    for (position, target) in targets.iter().enumerate() {
        check_distinct(target, &targets[..position])?;
    }
    // A plan that is only shown needs no password.
    if is_dry_run { Ok(()) } else { refuse_password_prompts(&targets) }
}

/// One error for all names that the flake does not have; each of several names keeps its hint.
fn names_not_in_flake_error(errors: &[&anyhow::Error]) -> anyhow::Error {
    if let [error] = errors {
        return ExitKind::Usage.error_with_hint_of(format_args!("{error:#}; nothing was deployed"), error);
    }
    let message = format!("nothing was deployed, as {} hosts cannot be deployed", errors.len());
    ExitKind::Usage.error_with_reasons(message, errors.iter().map(|error| Reason::of_error(error)).collect())
}

/// Refuses hosts with `interactiveSudo`, whether the flake or the command line sets it: several hosts would ask on one
/// terminal at once.
fn refuse_password_prompts(targets: &[&Target]) -> Result<()> {
    let interactive = targets.iter().filter(|target| target.interactive_sudo);
    let names = interactive.map(|target| target.host.as_str()).collect::<Vec<_>>();
    if names.is_empty() {
        return Ok(());
    }
    bail!(
        Usage, "sudo on {} asks for a password, and a deploy of several hosts cannot ask; nothing was deployed",
        names.join(", "); hint: "deploy to each host with `interactiveSudo` by a command of its own"
    );
}

/// Refuses a host that is the same machine as one of `others`: each deploy would undo the other.
fn check_distinct(target: &Target, others: &[&Target]) -> Result<()> {
    let Some(other) = others.iter().find(|other| address_and_options(other) == address_and_options(target))
    else {
        return Ok(());
    };
    let (address, _) = address_and_options(target);
    bail!(
        Refused, "{} and {} are the same machine, {address}, which cannot run both systems; nothing was deployed",
        other.host, target.host; hint: "deploy one of them"
    );
}

/// The machines that a run has planned for, with the names of their hosts.
#[derive(Default)]
pub struct Machines(Vec<(HostName, (String, String))>);

impl Machines {
    /// Replaces the plans for hosts that are the same machine, also as one of an earlier call, by refusals. The states
    /// of the hosts decide, whatever their names and ssh options.
    pub fn refuse_known(&mut self, plans: Vec<Result<Plan>>) -> Vec<Result<Plan>> {
        let earlier = self.0.clone();
        let new = plans
            .iter()
            .flatten()
            .filter_map(|plan| Some((plan.target.host.clone(), machine_identity(&plan.before)?)));
        self.0.extend(new);
        refuse_same_machine(plans, &earlier)
    }
}

/// Replaces the plans for hosts that are the same machine, or one of `earlier`, by refusals.
fn refuse_same_machine(
    plans: Vec<Result<Plan>>,
    earlier: &[(HostName, (String, String))],
) -> Vec<Result<Plan>> {
    // The name and the machine of each host that reports one, in the order of the plans.
    let machines = plans.iter().map(|plan| {
        let Plan { target, before, .. } = plan.as_ref().ok()?;
        Some((target.host.clone(), machine_identity(before)?))
    });
    let machines = machines.collect::<Vec<_>>();
    let mut checked = Vec::new();
    for (plan, own) in plans.into_iter().zip(&machines) {
        let Some((host, machine)) = own else {
            checked.push(plan);
            continue;
        };
        let mut others = machines.iter().flatten().chain(earlier).filter(|(other, _)| other != host);
        checked.push(match others.find(|(_, other_machine)| other_machine == machine) {
            Some((other, _)) => Err(failure!(
                Refused, "{host} and {other} are the same machine, which cannot run both systems; nothing was \
                          deployed to {host}";
                hint: "deploy one of them"
            )),
            None => plan,
        });
    }
    checked
}

/// What identifies a machine or a container: the boot ID and the profile folder, which together differ between any two.
/// `None` if the host does not report them.
fn machine_identity(state: &State) -> Option<(String, String)> {
    let folder = state.folder.clone()?;
    (!state.boot_id.is_empty()).then(|| (state.boot_id.clone(), folder))
}

/// What identifies a machine, whoever logs in: its address and the ssh options.
fn address_and_options(target: &Target) -> (String, &[String]) {
    (target.connection.hostname().to_lowercase(), &target.connection.options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::verdict::tests::target;

    #[test]
    fn a_machine_is_identified_by_its_boot_and_its_profile_folder() {
        let state = |boot: &str, folder: Option<&str>| State {
            boot_id: boot.into(),
            folder: folder.map(str::to_owned),
            ..State::default()
        };
        let identity = |boot: &str, folder: Option<&str>| machine_identity(&state(boot, folder));
        assert_eq!(identity("a", Some("1:2")), identity("a", Some("1:2")));
        assert_ne!(identity("a", Some("1:2")), identity("a", Some("1:3")));
        assert_eq!((identity("a", None), identity("", Some("1:2"))), (None, None));
    }

    #[test]
    fn two_hosts_at_one_address_and_port_are_refused() {
        let reached_at = |host: &str, destination: &str, options: &str| {
            let mut target = Target { host: host.into(), ..target(None) };
            target.connection.destination = destination.into();
            target.connection.options = options.split_whitespace().map(str::to_owned).collect();
            target
        };
        let first = reached_at("a", "root@pi.lan", "-p 22");
        for (second, same) in [
            (reached_at("b", "root@pi.lan", "-p 22"), true),
            (reached_at("b", "pi@Pi.lan", "-p 22"), true),
            (reached_at("b", "root@pi.lan", "-p 2222"), false),
            (reached_at("b", "root@pi2.lan", "-p 22"), false),
        ] {
            let refused = check_distinct(&second, &[&first]).map_err(|error| error.to_string());
            let error =
                "a and b are the same machine, pi.lan, which cannot run both systems; nothing was deployed";
            assert_eq!(refused, if same { Err(error.to_owned()) } else { Ok(()) }, "{second:?}");
        }
    }
}
