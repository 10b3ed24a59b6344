//! Probing the host: reading its state in one round trip.

use std::time::Duration;

use anyhow::Result;

use super::boot_changes;
use super::query::{PROBE_TIMEOUT, Query};
use super::ssh::Remote;
use super::state::{State, UNCONFIRMED, UNITS_UNKNOWN};
use super::workdir::Workdir;
use crate::base::shell;
use crate::deploy::target::Target;

/// How long a host may take to start all units of a boot, and to report its state.
pub const BOOT_TIMEOUT: Duration = Duration::from_secs(900);
/// The command that waits for the end of the boot.
pub const WAIT_FOR_BOOT: &str = "systemctl is-system-running --wait";

/// The `pgrep` pattern for an activation of deploy-rs. The bracket keeps it from matching the shell that runs
/// `pgrep`.
///
/// Everybody can start a process with such a command line, so only processes of root and of the login user count, by
/// their real user, which `su` and `sudo` change only after they have authenticated somebody.
const ACTIVATION: &str = "activate .*[-]-confirm-timeout";

/// Reads the state of `target`.
pub fn probe(remote: &Remote, target: &Target) -> Result<State> {
    probe_with(remote, target, |_| {})
}

/// Reads the state of `target` after deploy-rs, which worked in `workdir`, has exited. If deploy-rs `confirmed` the
/// deploy, removes that folder, provided that it is empty: nothing works there any more.
pub fn probe_after_deploy(
    remote: &Remote,
    target: &Target,
    workdir: &Workdir,
    confirmed: bool,
) -> Result<State> {
    probe_with(remote, target, |query| {
        query.add(UNCONFIRMED, &workdir.list_command());
        if confirmed {
            query.add("removed", &workdir.remove_empty_command());
        }
    })
}

/// Waits until the boot of `target` is over, with all units that it starts, and reads its state.
pub fn probe_after_boot(remote: &Remote, target: &Target) -> Result<State> {
    let mut query = Query::new("the wait for the end of the boot")?;
    query.add("end-of-boot", WAIT_FOR_BOOT);
    add_queries(&mut query, target);
    Ok(State::read(&remote.query(&query, BOOT_TIMEOUT)?))
}

/// Reads the state of `target` by a query to which `add_more` adds further commands.
fn probe_with(remote: &Remote, target: &Target, add_more: impl FnOnce(&mut Query)) -> Result<State> {
    let mut query = Query::new("the query of the state")?;
    add_queries(&mut query, target);
    add_more(&mut query);
    Ok(State::read(&remote.query(&query, PROBE_TIMEOUT)?))
}

/// Adds all commands from whose output the state of `target` is read.
pub fn add_queries(query: &mut Query, target: &Target) {
    let users = activation_users(target);
    // The oldest process of root. A `pgrep` without this option prints nothing.
    query.add("pgrep", "pgrep -U root -o .");
    // Asked for before the links: what is read after the end of an activation is its result.
    query.add("activation", &format!("pgrep -U {users} -f '{ACTIVATION}'"));
    add_system_queries(query, target);
    for (name, command) in [
        ("folder", format!("stat -L -c %d:%i {}", shell::quote(parent_folder(&target.link)))),
        ("failed", format!("systemctl --failed --no-legend --plain || echo {UNITS_UNKNOWN}")),
        ("rollback", format!("ls {}", shell::quote(&format!("{}/deploy-rs-activate", target.link)))),
        ("switch", format!("ls {}", shell::quote(&format!("{}/bin/switch-to-configuration", target.link)))),
    ] {
        query.add(name, &command);
    }
    if let Some(sudo) = target.sudo.as_deref().and_then(sudo_without_prompt) {
        query.add("sudo", &format!("{sudo} echo yes || echo no"));
    }
    boot_changes::add_queries(query);
}

/// Adds the commands from whose output the systems of `target` are read, and its trial: a part of the state.
pub fn add_system_queries(query: &mut Query, target: &Target) {
    for (name, command) in [
        ("current", "readlink -f /run/current-system".to_owned()),
        ("booted", "readlink -f /run/booted-system".to_owned()),
        ("profile", format!("readlink -f {}", shell::quote(&target.link))),
        ("offered", format!("readlink -f {}/activate", target.path)),
        ("boot", "cat /proc/sys/kernel/random/boot_id".to_owned()),
        ("trial-command", "command -v boot-trial".to_owned()),
        ("trial", format!("{}boot-trial status", root_prefix(target))),
    ] {
        query.add(name, &command);
    }
}

fn parent_folder(link: &str) -> &str {
    link.rsplit_once('/').map_or(".", |(folder, _)| folder)
}

/// The users whose processes can be an activation, in the form of `pgrep -U`.
fn activation_users(target: &Target) -> String {
    match target.connection.user() {
        "root" => "root".to_owned(),
        user => shell::quote(&format!("root,{user}")),
    }
}

/// Like [`Target::sudo_prefix`], but with an option that prevents a password prompt, where the program is known.
pub fn root_prefix(target: &Target) -> String {
    let Some(sudo) = &target.sudo else { return String::new() };
    match sudo_without_prompt(sudo) {
        Some(silent) => format!("{silent} "),
        None => format!("{sudo} "),
    }
}

/// The words of `sudo` with an option that prevents a password prompt; `None` for an unknown program.
fn sudo_without_prompt(sudo: &str) -> Option<String> {
    let (program, rest) = sudo.split_once(' ')?;
    ["sudo", "doas"].contains(&program).then(|| format!("{program} -n {rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::verdict::tests::target;

    #[test]
    fn activations_of_root_and_of_the_login_user_count() {
        for (destination, expected) in [
            ("root@pi", "root"),
            ("pi@stinky", "root,pi"),
            ("first.last@example.org@pi", "root,first.last@example.org"),
            ("root@example.org@pi", "root,root@example.org"),
        ] {
            let mut target = target(None);
            target.connection.destination = destination.into();
            assert_eq!(activation_users(&target), expected, "{destination}");
        }
    }
}
