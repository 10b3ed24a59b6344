//! What keeps several hosts from being deployed to by one command. It is found before anything is built.

use anyhow::Result;

use super::gather::Found;
use super::host::State;
use super::options::Goal;
use super::plan::Plan;
use super::target::{Connection, Target};
use crate::base::failure::{ExitKind, hint, kind};

/// Looks at the hosts that were found. A host that is broken in the flake is its own affair; one that the flake does not
/// have is a slip of the user, who may have meant any.
///
/// # Errors
/// Of `Usage` for a host that the flake does not have; refused where two of them are one machine, or where one asks for a password.
pub fn check(goal: Goal, found: &[Result<Found>]) -> Result<()> {
    let errors = found.iter().filter_map(|found| found.as_ref().err());
    let unknown = errors.filter(|error| kind(error) == ExitKind::Usage).collect::<Vec<_>>();
    if !unknown.is_empty() {
        return Err(unknown_hosts(&unknown));
    }
    let targets = found.iter().flatten().map(|found| &found.target).collect::<Vec<_>>();
    targets.iter().enumerate().try_for_each(|(at, target)| alone(target, &targets[..at]))?;
    // Where nothing is changed, nobody is asked.
    if goal == Goal::Show { Ok(()) } else { unattended(&targets) }
}

/// One error for several hosts that the flake does not have, with all their hints.
fn unknown_hosts(errors: &[&anyhow::Error]) -> anyhow::Error {
    let messages = errors.iter().map(|error| format!("{error:#}")).collect::<Vec<_>>();
    let message = format!("{}; nothing was deployed", messages.join("\n  "));
    let hints = errors.iter().filter_map(|error| hint(error)).collect::<Vec<_>>();
    if hints.is_empty() {
        return ExitKind::Usage.error(message);
    }
    ExitKind::Usage.error_with_hint(message, hints.join("\n  "))
}

/// Refuses hosts that ask for passwords: several would ask on one terminal at once.
fn unattended(targets: &[&Target]) -> Result<()> {
    let asking = targets.iter().filter(|target| target.interactive_sudo).map(|target| target.host.as_str());
    let asking = asking.collect::<Vec<_>>();
    if asking.is_empty() {
        return Ok(());
    }
    Err(ExitKind::Usage.error(format!(
        "passwords for sudo are asked for one host at a time, and `interactiveSudo` is set for {}: name it alone; \
         nothing was deployed",
        asking.join(", ")
    )))
}

/// Refuses a host that is the same machine as one of `others`: each would undo what the other did.
fn alone(target: &Target, others: &[&Target]) -> Result<()> {
    let Some(other) = others.iter().find(|other| machine(other) == machine(target)) else { return Ok(()) };
    let (one, two, (address, _)) = (&other.host, &target.host, machine(target));
    Err(ExitKind::Refused.error(format!(
        "{one} and {two} lead to one machine, {address}, which cannot run both: deploy one of them; nothing was deployed"
    )))
}

/// Refuses hosts that turn out to be one machine, whatever names and options lead there.
pub fn keep_apart(plans: Vec<Result<Plan>>) -> Vec<Result<Plan>> {
    let identity = |plan: &Result<Plan>| plan.as_ref().ok().and_then(|plan| identity(&plan.before));
    let all = plans.iter().map(identity).collect::<Vec<_>>();
    let names = plans.iter().map(|plan| plan.as_ref().map_or("", |plan| &plan.target.host).to_owned());
    let names = names.collect::<Vec<_>>();
    let same =
        |at: usize| (0..all.len()).find(|other| *other != at && all[at].is_some() && all[at] == all[*other]);
    let fate = |(at, plan): (usize, Result<Plan>)| {
        match same(at) {
        Some(other) => Err(ExitKind::Refused.error(format!(
            "{} and {} are one machine, which cannot run both: deploy one of them; nothing was deployed to it",
            names[at], names[other]
        ))),
        None => plan,
    }
    };
    plans.into_iter().enumerate().map(fate).collect()
}

/// What no two machines have in common, nor two containers; `None` where the host does not tell it.
fn identity(state: &State) -> Option<(String, String)> {
    let folder = state.folder.clone()?;
    (!state.boot_id.is_empty()).then(|| (state.boot_id.clone(), folder))
}

/// What tells one machine from another, whoever logs in: its address, and the options of ssh.
fn machine(target: &Target) -> (String, &[String]) {
    let Connection { destination, options, .. } = &target.connection;
    let (_, address) = destination.rsplit_once('@').unwrap_or(("", destination));
    (address.to_lowercase(), options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::verdict::tests::target;

    #[test]
    fn what_tells_machines_apart() {
        let state = |boot: &str, folder: Option<&str>| State {
            boot_id: boot.into(),
            folder: folder.map(str::to_owned),
            ..State::default()
        };
        let of = |boot: &str, folder: Option<&str>| identity(&state(boot, folder));
        assert_eq!(of("a", Some("1:2")), of("a", Some("1:2")));
        assert_ne!(of("a", Some("1:2")), of("a", Some("1:3")));
        assert_eq!((of("a", None), of("", Some("1:2"))), (None, None));
    }

    #[test]
    fn one_machine_by_two_names() {
        let at = |host: &str, destination: &str, options: &str| {
            let mut target = Target { host: host.into(), ..target(None) };
            target.connection.destination = destination.into();
            target.connection.options = options.split_whitespace().map(str::to_owned).collect();
            target
        };
        let first = at("a", "root@pi.lan", "-p 22");
        for (second, same) in [
            (at("b", "root@pi.lan", "-p 22"), true),
            (at("b", "pi@Pi.lan", "-p 22"), true),
            (at("b", "root@pi.lan", "-p 2222"), false),
            (at("b", "root@pi2.lan", "-p 22"), false),
        ] {
            let refused = alone(&second, &[&first]).map_err(|error| error.to_string());
            let error = "a and b lead to one machine, pi.lan, which cannot run both: deploy one of them; nothing was \
                         deployed";
            assert_eq!(refused, if same { Err(error.to_owned()) } else { Ok(()) }, "{second:?}");
        }
    }
}
