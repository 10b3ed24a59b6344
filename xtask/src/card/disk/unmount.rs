//! Unmounting a card that a desktop has mounted: never lazily and never by force.

use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxFlags, openat2, statx};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use rustix::process::{chdir, fchdir};

use super::mounts::{Mount, mounts};
use super::{Disk, Role, Roots, Use, open_files, usage};
use crate::bail;
use crate::base::failure::{ExitKind, ReasonKind};
use crate::base::shell;

/// The longest wait after unmounting for the end of the mount's copies in other mount namespaces.
const UNMOUNT_TIMEOUT: Duration = Duration::from_secs(3);

impl Use {
    /// Whether this use is a plain mount, which unmounting ends without harm: a user has mounted the disk or the
    /// partition itself.
    pub fn is_plain_mount(&self) -> bool {
        matches!(self.role, Role::Mounted { .. }) && self.through.is_empty() && !self.is_system()
    }
}

impl Disk {
    /// The plain mounts ([`Use::is_plain_mount`]): for each the name of the partition or disk, and the mount point.
    pub fn plain_mounts(&self) -> impl Iterator<Item = (&str, &Path)> {
        let plain = self.uses.iter().filter(|used| used.is_plain_mount());
        plain.filter_map(|used| match &used.role {
            Role::Mounted { at, .. } => Some((used.device.as_str(), at.as_path())),
            _ => None,
        })
    }
}

/// Unmounts `disk` from the `confirmed` mount points, the topmost mount first.
///
/// # Errors
/// Before anything is unmounted: the disk is not the one that was confirmed, or has other uses by now. Later: a mount
/// point is busy, which is not retried, or this user may not unmount it.
pub fn unmount(roots: &Roots, disk: &Disk, confirmed: &[PathBuf]) -> Result<()> {
    if confirmed.is_empty() {
        return Ok(());
    }
    let now = Disk::load(roots, &disk.path)?;
    disk.require_same(&now)?;
    let mut unmounted = Vec::new();
    for mount in unmount_order(roots, &now, confirmed)? {
        unmount_one(&mount).map_err(|error| unmount_error(roots, &mount, &unmounted, error))?;
        unmounted.push(mount.at);
    }
    wait_for_mount_copies(disk);
    Ok(())
}

/// Waits until the disk can be claimed, for [`UNMOUNT_TIMEOUT`] at most: a process that makes a mount namespace, such
/// as a build in a sandbox, has copies of all mounts for some milliseconds. Where the disk stays claimed, the exclusive
/// claim that follows fails.
fn wait_for_mount_copies(disk: &Disk) {
    let deadline = Instant::now() + UNMOUNT_TIMEOUT;
    let is_claimed = || {
        let claim = (OFlags::EXCL | OFlags::CLOEXEC).bits().cast_signed();
        let opened = OpenOptions::new().read(true).custom_flags(claim).open(&disk.path);
        opened.is_err_and(|error| Errno::from_io_error(&error) == Some(Errno::BUSY))
    };
    while is_claimed() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The mounts of `disk` in the order in which they can be unmounted. Fails where unmounting them would not be enough:
/// with another use of the disk, a mount that is not `confirmed`, and a mount of another device on top of one of these.
fn unmount_order(roots: &Roots, disk: &Disk, confirmed: &[PathBuf]) -> Result<Vec<Mount>> {
    let path = disk.path.display();
    if let Some(used) = disk.uses.iter().find(|used| !used.is_plain_mount()) {
        let why = format_args!("{path} is {}: {used}; nothing was written", used.disk_state());
        return Err(used.refusal_kind().refusal(why, None));
    }
    let own_mounts = usage::mounts_of(roots, disk);
    if let Some(new) = own_mounts.iter().find(|mount| !confirmed.contains(&mount.at)) {
        let at = new.at.display();
        bail!(
            Refused(InUse), "{path} has been mounted at {at} since it was confirmed; nothing was written";
            hint: "run the command again"
        );
    }
    let stands_on_own = |other: &Mount| own_mounts.iter().any(|mount| mount.id == other.parent);
    let foreign_on_top =
        mounts(roots).into_iter().find(|other| stands_on_own(other) && !own_mounts.contains(other));
    if let Some(Mount { source, at, .. }) = foreign_on_top {
        let mount_point = shell::quote(&at.to_string_lossy());
        bail!(
            Refused(InUse),
            "{source} is mounted at {}, on top of {path}; nothing was written",
            at.display();
            hint: "run `umount {mount_point}`"
        );
    }
    Ok(topmost_first(own_mounts))
}

/// Sorts `mounts` so that each comes before its `parent`, the mount on which it stands.
fn topmost_first(mut mounts: Vec<Mount>) -> Vec<Mount> {
    let mut order = Vec::new();
    while let Some(topmost) = mounts.iter().rposition(|mount| !is_parent(mount, &mounts)) {
        order.push(mounts.remove(topmost));
    }
    order
}

/// Whether one of `mounts` stands on `mount`.
fn is_parent(mount: &Mount, mounts: &[Mount]) -> bool {
    mounts.iter().any(|other| other.parent == mount.id)
}

/// Unmounts `mount` from within the folder that contains the mount point. The folder is opened without following links:
/// the owner of a folder above may replace that folder by a link to another mount. The mount point itself cannot be
/// replaced while something is mounted on it. Leaves the working directory at `/`.
fn unmount_one(mount: &Mount) -> Result<(), Errno> {
    // The root of the file system tree is always busy.
    let folder = mount.at.parent().ok_or(Errno::BUSY)?;
    let name = mount.at.file_name().ok_or(Errno::BUSY)?;
    fchdir(open_without_links(folder)?)?;
    let result = unmount_here(mount, Path::new(name));
    chdir("/")?;
    result
}

/// Unmounts `mount` from the mount point `name` in the working directory. `EBUSY` where another mount hides it.
fn unmount_here(mount: &Mount, name: &Path) -> Result<(), Errno> {
    if !is_visible(mount, name) {
        return Err(Errno::BUSY);
    }
    loop {
        match rustix::mount::unmount(name, UnmountFlags::NOFOLLOW) {
            Err(Errno::INTR) => {}
            // Another process has unmounted it already.
            Err(Errno::INVAL | Errno::NOENT) => return Ok(()),
            result => return result,
        }
    }
}

/// Opens a folder without following links. Kernels before 5.6 have no such call: there links are followed.
fn open_without_links(folder: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match openat2(CWD, folder, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        Err(Errno::NOSYS) => rustix::fs::open(folder, flags, Mode::empty()),
        opened => opened,
    }
}

/// Whether `mount` is the visible mount at `path`: a mount that hides `mount` would be unmounted instead. Also true
/// where the kernel does not report the mount at `path`, which kernels before 5.8 never do.
fn is_visible(mount: &Mount, path: &Path) -> bool {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let Ok(stat) = statx(CWD, path, flags, StatxFlags::MNT_ID) else { return true };
    let is_reported = stat.stx_mask & StatxFlags::MNT_ID.bits() != 0;
    !is_reported || stat.stx_mnt_id == mount.id
}

/// The error of unmounting `mount` after the mount points `unmounted`, which it names too.
fn unmount_error(roots: &Roots, mount: &Mount, unmounted: &[PathBuf], error: Errno) -> anyhow::Error {
    let mount_point = shell::quote(&mount.at.to_string_lossy());
    let Cause { kind, why, hint } = match error {
        Errno::BUSY if !is_visible(mount, &mount.at) => {
            let hint = format!("`findmnt --target {mount_point}` shows the other mount: unmount it first");
            Cause { kind: ExitKind::Refused, why: "another mount hides it".to_owned(), hint }
        }
        Errno::BUSY => busy_cause(roots, &mount.at),
        Errno::PERM | Errno::ACCESS => Cause {
            kind: ExitKind::Permission,
            why: "this user has no permission to unmount it".to_owned(),
            hint: format!("run `umount {mount_point}` as root"),
        },
        other => {
            Cause { kind: ExitKind::Io, why: other.to_string(), hint: format!("run `umount {mount_point}`") }
        }
    };
    let before = unmounted.iter().map(|at| format!("; {} is unmounted", at.display())).collect::<String>();
    let at = mount.at.display();
    let message = format!("{at} could not be unmounted: {why}; nothing was written{before}");
    match kind {
        ExitKind::Refused => ReasonKind::InUse.refusal(message, Some(hint)),
        kind => kind.error_with_hint(message, hint),
    }
}

/// The cause of a failed unmount, for its error.
struct Cause {
    kind: ExitKind,
    why: String,
    hint: String,
}

/// The cause where the file system at the mount point `at` is busy, with the processes that use it.
fn busy_cause(roots: &Roots, at: &Path) -> Cause {
    let users = open_files::users(roots, at);
    if users.is_empty() {
        let hint = format!("run `fuser -vm {}` to list its users", shell::quote(&at.to_string_lossy()));
        return Cause { kind: ExitKind::Refused, why: "it is busy".to_owned(), hint };
    }
    let why = format!("it is busy with {}", open_files::titles(&users));
    Cause { kind: ExitKind::Refused, why, hint: open_files::end_hint(&users) }
}

#[cfg(test)]
mod tests {
    use super::super::fake::FakeMachine;
    use super::*;

    /// The owner of a folder above the mount point may replace that folder by a link at the last moment.
    #[test]
    fn links_on_the_way_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("real/card")).unwrap();
        std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
        let at = dir.path().join("link/card");
        let id = statx(CWD, &at, AtFlags::empty(), StatxFlags::MNT_ID).unwrap().stx_mnt_id;
        let number = super::super::DeviceNumber { major: 8, minor: 17 };
        let [fstype, source] = ["vfat", "/dev/sdb1"].map(str::to_owned);
        let mount = Mount { id, parent: 1, number, at, fstype, source };
        assert_eq!(unmount_one(&mount), Err(Errno::LOOP));
    }

    const CONFIRMED: &[&str] = &["/media/a", "/media/a/b", "/mnt"];

    /// The mount points of sdb in the order of unmounting after [`CONFIRMED`] were confirmed, or the error.
    fn mount_point_order(machine: &FakeMachine) -> Result<Vec<String>, String> {
        let confirmed = CONFIRMED.iter().map(PathBuf::from).collect::<Vec<_>>();
        let order = unmount_order(&machine.roots(), &machine.disk("sdb"), &confirmed);
        let order = order.map_err(|error| crate::base::failure::with_hint(&error))?;
        Ok(order.iter().map(|mount| mount.at.display().to_string()).collect())
    }

    /// A machine with a stick: the partition is mounted at `/media/a` twice and at `/mnt`, the disk at `/media/a/b`.
    fn machine_with_mounts() -> FakeMachine {
        let machine = FakeMachine::new();
        machine.with_stick().mount("0:20", "/", "tmpfs", "none");
        machine.mount("8:17", "/media/a", "ext4", "/dev/sdb1");
        machine.mount("8:16", "/media/a/b", "vfat", "/dev/sdb");
        machine.mount("8:17", "/media/a", "ext4", "/dev/sdb1");
        machine.mount("8:17", "/mnt", "ext4", "/dev/sdb1");
        machine
    }

    #[test]
    fn the_topmost_mount_is_unmounted_first() {
        let order = mount_point_order(&machine_with_mounts()).unwrap();
        assert_eq!(order, ["/mnt", "/media/a", "/media/a/b", "/media/a"]);
    }

    #[track_caller]
    fn assert_refused(machine: &FakeMachine, error: &str) {
        assert_eq!(mount_point_order(machine).unwrap_err(), error);
    }

    #[test]
    fn only_confirmed_plain_mounts_are_unmounted() {
        let machine = machine_with_mounts();
        machine.mount("8:17", "/opt", "ext4", "/dev/sdb1");
        assert_refused(
            &machine,
            "/dev/sdb is a disk of the running system: sdb1 is mounted at /opt; nothing was written",
        );
        let machine = machine_with_mounts();
        machine.mount("8:17", "/media/new", "ext4", "/dev/sdb1");
        assert_refused(
            &machine,
            "/dev/sdb has been mounted at /media/new since it was confirmed; nothing was written; run the command again",
        );
        let machine = machine_with_mounts();
        machine.mount("0:50", "/mnt/scratch", "tmpfs", "scratch");
        assert_refused(
            &machine,
            "scratch is mounted at /mnt/scratch, on top of /dev/sdb; nothing was written; run `umount /mnt/scratch`",
        );
        let machine = machine_with_mounts();
        machine.add_swap("/dev/sdb1");
        assert_refused(
            &machine,
            "/dev/sdb is a disk of the running system: sdb1 is used as swap; nothing was written",
        );
        let machine = machine_with_mounts();
        machine.add_device("virtual/block/dm-0", "253:0", &[("dm/name", "safe")]).stack("dm-0", "sdb1");
        machine.mount("253:0", "/media/b", "ext4", "/dev/mapper/safe");
        assert_refused(
            &machine,
            "/dev/sdb is in use: sdb1 is mounted at /media/b through dm-0 (safe); nothing was written",
        );
    }
}
