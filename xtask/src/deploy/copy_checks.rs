//! Checks that the host takes a copy of the closure: once when its state is first read, before hours of building, and
//! again before the copy, when the size and the signatures of the closure are known.

use std::collections::HashSet;

use anyhow::Result;

use super::boot_check::BootOutlook;
use super::host::{CLOSURE_TIMEOUT, Query, Remote};
use super::plan::Plan;
use super::target::Target;
use crate::bail;
use crate::base::{Bytes, Context, shell};
use crate::nix::{self, Config, CopyFault, StorePath};

/// With less free space, in bytes, a host cannot even register new store paths.
const MIN_FREE: u64 = 16 << 20;
/// With less free space, in bytes, an update of a system seldom fits.
const LOW_FREE: u64 = 512 << 20;
/// How many paths a host is asked for at once: a command of ssh has at most 128 KiB.
const MAX_PATHS: usize = 500;

/// Binary caches that have no paths of a user's own flake.
const PUBLIC_CACHES: &[&str] = &["https://cache.nixos.org", "https://cache.nixos.org/"];

/// Checks, before anything is built, that the host of `plan` takes a copy. `signs` is whether the tool signs what is
/// built.
///
/// # Errors
/// `Refused` where the copy would fail for certain.
pub fn check_before_build(cx: &Context, signs: bool, version: nix::Version, plan: &Plan) -> Result<()> {
    let Plan { target, store, .. } = plan;
    if !target.builds_here {
        return Ok(());
    }
    let host = &target.host;
    if !store.greeting.is_empty() {
        bail!(
            Refused, "nothing can be copied to {host}: its shell prints text before each command: {}", store.greeting;
            hint: "{}", remedy(CopyFault::Greeting, target)
        );
    }
    if let Some(text) = &store.fault {
        let text = if text.is_empty() { "it prints nothing" } else { text };
        bail!(
            Refused, "nothing can be copied to {host}: `nix-store` does not run there: {text}";
            hint: "{}", remedy(CopyFault::NoNixStore, target)
        );
    }
    check_free(cx, target, store.free)?;
    if !signs && store.trusted == Some(false) && is_surely_unsigned(cx, version, target)? {
        return Err(untrusted_user_refusal(target));
    }
    Ok(())
}

/// The remedy for `fault` of a copy to `target`.
fn remedy(fault: CopyFault, target: &Target) -> String {
    fault.hint(&target.connection.destination, &target.connection.ssh_words())
}

/// Refuses a host without free space in /nix, and warns of one with little.
fn check_free(cx: &Context, target: &Target, free: Option<u64>) -> Result<()> {
    let Some(free) = free.filter(|free| *free < LOW_FREE) else { return Ok(()) };
    let hint = remedy(CopyFault::HostFull, target);
    if free < MIN_FREE {
        bail!(Refused(NoRoom), "the disk of /nix on {} is full: {} are free", target.host, Bytes(free); hint: "{hint}");
    }
    cx.warn(format!("{} has only {} free in /nix; {hint}", target.host, Bytes(free)));
    Ok(())
}

/// The refusal of a user whom the store of the host does not trust.
fn untrusted_user_refusal(target: &Target) -> anyhow::Error {
    let user = target.connection.user();
    crate::failure!(
        Refused, "the Nix on {} does not trust the user {user}, so it refuses unsigned copies (`lacks a signature by a \
                  trusted key`)", target.host;
        hint: "{}", remedy(CopyFault::Untrusted, target)
    )
}

/// Whether the profile is neither signed nor content-addressed. A profile that is not built yet will be neither if
/// the local Nix signs nothing, and takes paths only from public caches.
fn is_surely_unsigned(cx: &Context, version: nix::Version, target: &Target) -> Result<bool> {
    if target.path.exists() {
        return Ok(!nix::is_signed_or_content_addressed(&cx.launcher, &target.path)?);
    }
    if target.release.is_some() {
        // It comes from a cache, which may sign.
        return Ok(false);
    }
    let config = Config::load(&cx.launcher, version, &[])?;
    let mut caches = config.substituters.split_whitespace();
    Ok(!config.signs && caches.all(|cache| PUBLIC_CACHES.contains(&cache)))
}

/// Checks, once the profile of `plan` is built, that the host takes its closure, and has room for its boot files.
///
/// # Errors
/// `Refused` where the copy would fail.
pub fn check_before_copy(cx: &Context, plan: &Plan) -> Result<()> {
    let target = &plan.target;
    if !target.builds_here || plan.already_done().is_some() || !target.path.exists() {
        return Ok(());
    }
    if plan.store.trusted == Some(false) && !nix::is_signed_or_content_addressed(&cx.launcher, &target.path)?
    {
        return Err(untrusted_user_refusal(target));
    }
    check_room(cx, plan)
}

/// Refuses a closure, or boot files, that do not fit on the host.
///
/// The host may have paths of the closure from an earlier copy. It is asked for them only where they decide.
fn check_room(cx: &Context, plan: &Plan) -> Result<()> {
    let mut at_most_needed = total_size(&plan.missing);
    if let Some(outlook) = &plan.boot {
        if outlook.shares_store {
            at_most_needed = at_most_needed.saturating_add(outlook.needed);
        } else {
            check_boot_room(plan, outlook, outlook.free)?;
        }
    }
    let Some(free) = plan.store.free.filter(|free| at_most_needed > *free) else { return Ok(()) };
    let remote = Remote::new(&cx.launcher, &plan.target.host, &plan.target.connection);
    let absent = query_absent_paths(&remote.with_mux(plan.mux.as_ref()), &plan.missing)?;
    check_fits(plan, total_size(&absent), free)
}

/// The sum of the sizes, in bytes.
fn total_size(paths: &[(StorePath, u64)]) -> u64 {
    paths.iter().fold(0, |sum: u64, (_, size)| sum.saturating_add(*size))
}

/// Refuses a closure of `needed` bytes that exceeds the `free` bytes in /nix. Also refuses boot files that go there
/// too, if the closure leaves too little room for them.
fn check_fits(plan: &Plan, needed: u64, free: u64) -> Result<()> {
    if needed > free {
        bail!(
            Refused(NoRoom), "the new system needs {} on {}, where {} are free in /nix", Bytes(needed), plan.target.host, Bytes(free);
            hint: "{}", remedy(CopyFault::HostFull, &plan.target)
        );
    }
    let shared = plan.boot.as_ref().filter(|outlook| outlook.shares_store);
    shared.map_or(Ok(()), |outlook| check_boot_room(plan, outlook, Some(free - needed)))
}

/// Refuses boot files that do not fit into the boot folder. `free` is the room that the copy leaves there, in bytes;
/// `None` if that is unknown, which is no refusal.
fn check_boot_room(plan: &Plan, outlook: &BootOutlook, free: Option<u64>) -> Result<()> {
    let Some(free) = free.filter(|free| outlook.needed > *free) else { return Ok(()) };
    let Target { host, connection, .. } = &plan.target;
    let BootOutlook { folder, needed, shares_store, .. } = outlook;
    let ssh_words = &connection.ssh_words();
    // The boot folder loses the kernels of deleted generations only when its menu is written again.
    let then = if *shares_store {
        String::new()
    } else {
        format!(
            ", then remove the old kernels from {folder}: `ssh {ssh_words} sudo /run/current-system/bin/switch-to-configuration boot`"
        )
    };
    bail!(
        Refused(NoRoom), "{folder} on {host} is too full: the new kernel, initrd and device trees need {} there, and {} are left for them",
        Bytes(*needed), Bytes(free);
        hint: "{}{then}", remedy(CopyFault::HostFull, &plan.target)
    );
}

/// Asks the host which of `paths`, given with their sizes, are not in its store.
fn query_absent_paths(remote: &Remote, paths: &[(StorePath, u64)]) -> Result<Vec<(StorePath, u64)>> {
    let mut absent = Vec::new();
    for batch in paths.chunks(MAX_PATHS) {
        let words = batch.iter().map(|(path, _)| shell::quote(path.as_str())).collect::<Vec<_>>().join(" ");
        let mut query = Query::new("the query of missing paths")?;
        query.add("invalid", &format!("nix-store --check-validity --print-invalid {words}"));
        let answer = remote.query(&query, CLOSURE_TIMEOUT)?;
        let invalid = answer.lines("invalid").collect::<HashSet<_>>();
        absent.extend(batch.iter().filter(|(path, _)| invalid.contains(path.as_str())).cloned());
    }
    Ok(absent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::{ExitKind, kind};

    /// A plan for a host whose boot folder gets files of 60 MiB.
    fn plan(shares_store: bool) -> Plan {
        let boot = BootOutlook { needed: 60 << 20, shares_store, ..BootOutlook::default() };
        Plan { boot: Some(boot), ..crate::deploy::plan::tests::plan() }
    }

    #[test]
    fn a_boot_folder_on_another_file_system_needs_no_room_in_the_store() {
        let free = 100 << 20;
        for (shares_store, needed, refused) in [
            (true, 40 << 20, false),
            (true, 90 << 20, true),
            (false, 90 << 20, false),
            (false, 110 << 20, true),
        ] {
            let found = check_fits(&plan(shares_store), needed, free).map_err(|error| kind(&error));
            let expected = if refused { Err(ExitKind::Refused) } else { Ok(()) };
            assert_eq!(found, expected, "{shares_store} {needed}");
        }
    }
}
