//! The next step after the status of hosts.

use super::reboot;
use crate::base::{HostName, NextStep, Timestamp};
use crate::deploy::{Left, Status};

/// After the `statuses` of hosts, which were compared with the flake, or with the release that the `options` name: the
/// deploy of those that differ; else the reboot of those that wait for one; else a look at failed units; else
/// another look at a host that activates a system; else the flake from which hosts were rolled back.
pub fn of_status(options: &str, statuses: &[Status]) -> Option<NextStep> {
    let left = statuses.iter().filter_map(|status| Some((&status.host, status.left()?))).collect::<Vec<_>>();
    let hosts_with = |wanted: &[Left]| {
        let hosts = left.iter().filter(|(_, left)| wanted.contains(left));
        hosts.map(|(host, _)| format!("{host:#}")).collect::<Vec<_>>()
    };
    let [behind, to_boot, to_reboot] =
        [&[Left::Deploy][..], &[Left::FirstBoot], &[Left::FirstBoot, Left::Reboot]].map(hosts_with);
    if !behind.is_empty() {
        let command = format!("cargo xtask deploy{options} {}", behind.join(" "));
        let step = NextStep::run(command, "makes the hosts run what they should");
        let is_to_mend = |Status { history, .. }: &&Status| history.has_failed && !history.is_stopped;
        let mut behind = statuses.iter().filter(|status| status.left() == Some(Left::Deploy));
        return Some(if behind.any(|status| is_to_mend(&status)) {
            step.after("mend what failed in the last deploy")
        } else {
            step
        });
    }
    if !to_reboot.is_empty() {
        let command = format!("cargo xtask deploy{options} {}", to_reboot.join(" "));
        return Some(reboot(&command, !to_boot.is_empty()));
    }
    let failed_units = left.iter().find_map(|(_, left)| match left {
        Left::FailedUnits { command } => Some(command),
        _ => None,
    });
    if let Some(command) = failed_units {
        return Some(NextStep::run_because(command, "shows why units have failed"));
    }
    if let [host, ..] = &hosts_with(&[Left::Activation])[..] {
        let command = format!("cargo xtask status{options} {host}");
        return Some(NextStep::run(command, "shows what the host runs after the activation"));
    }
    left.iter().find_map(|(host, left)| match left {
        Left::Mend { rolled_back } => Some(of_rolled_back(options, host, rolled_back)),
        _ => None,
    })
}

/// For a `host` with an older revision since its rollback `when`: the deploy undoes that, so the flake comes first.
pub fn of_rolled_back(options: &str, host: &HostName, when: &Timestamp) -> NextStep {
    let reason = format!("{host} has an older revision by the rollback of {when}, which a deploy undoes");
    NextStep::run_because(format!("cargo xtask deploy{options} {host:#}"), reason).after("mend the flake")
}
