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
use crate::base::failure::ExitKind;
use crate::base::shell;

/// How long the copies of a mount in other mount namespaces are waited for after unmounting.
const UNMOUNT_TIMEOUT: Duration = Duration::from_secs(3);

impl Use {
    /// Whether unmounting releases the disk without harm: a mount of the disk or a partition itself that a user has
    /// made.
    pub fn is_plain_mount(&self) -> bool {
        matches!(self.role, Role::Mounted { .. }) && self.through.is_empty() && !self.is_system()
    }
}

impl Disk {
    /// The plain mounts, each as the partition (or the disk) and the mount point.
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
/// Another disk than the one that was confirmed, and a disk that is used in any other way by now: then nothing is
/// unmounted. A mount point that is busy, which is not retried, or that this user may not unmount.
pub fn unmount(roots: &Roots, disk: &Disk, confirmed: &[PathBuf]) -> Result<()> {
    if confirmed.is_empty() {
        return Ok(());
    }
    let now = Disk::load(roots, &disk.path)?;
    disk.same_as(&now)?;
    let mut unmounted = Vec::new();
    for mount in unmount_order(roots, &now, confirmed)? {
        unmount_one(&mount).map_err(|error| unmount_error(roots, &mount, &unmounted, error))?;
        unmounted.push(mount.at);
    }
    wait_for_copies(disk);
    Ok(())
}

/// Waits until the disk can be claimed: a process that makes a mount namespace, such as a build in a sandbox, has
/// copies of all mounts for some milliseconds. Where the disk stays claimed, the exclusive claim that follows fails.
fn wait_for_copies(disk: &Disk) {
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

/// The mounts of `disk` in the order in which they can be unmounted.
fn unmount_order(roots: &Roots, disk: &Disk, confirmed: &[PathBuf]) -> Result<Vec<Mount>> {
    let path = disk.path.display();
    if let Some(used) = disk.uses.iter().find(|used| !used.is_plain_mount()) {
        bail!(Refused, "{path} is in use: {used}; nothing was written");
    }
    let own_mounts = usage::mounts_of(roots, disk);
    if let Some(new) = own_mounts.iter().find(|mount| !confirmed.contains(&mount.at)) {
        let at = new.at.display();
        bail!(Refused, "{path} has been mounted at {at} since it was confirmed; nothing was written");
    }
    let is_on_top = |other: &Mount| own_mounts.iter().any(|mount| mount.id == other.parent);
    let foreign = mounts(roots).into_iter().find(|other| is_on_top(other) && !own_mounts.contains(other));
    if let Some(Mount { source, at, .. }) = foreign {
        let mount_point = shell::quote(&at.to_string_lossy());
        bail!(
            Refused,
            "{source} is mounted at {}, on top of {path}; nothing was written",
            at.display();
            hint: "run `umount {mount_point}`"
        );
    }
    Ok(topmost_first(own_mounts))
}

/// Sorts the mounts so that each is unmounted before the mount that it stands on, its `parent`.
fn topmost_first(mut left: Vec<Mount>) -> Vec<Mount> {
    let mut order = Vec::new();
    while let Some(free) = left.iter().rposition(|mount| left.iter().all(|other| other.parent != mount.id)) {
        order.push(left.remove(free));
    }
    order
}

/// Unmounts `mount` from within the folder of the mount point, which is opened without following links: the owner of a
/// folder above may meanwhile put a link to another mount there. A folder with a mount on it cannot be replaced.
fn unmount_one(mount: &Mount) -> Result<(), Errno> {
    let folder = mount.at.parent().ok_or(Errno::BUSY)?;
    let name = mount.at.file_name().ok_or(Errno::BUSY)?;
    fchdir(open_without_links(folder)?)?;
    let result = unmount_here(mount, Path::new(name));
    chdir("/")?;
    result
}

/// Unmounts `mount` from `name` in the working directory.
fn unmount_here(mount: &Mount, name: &Path) -> Result<(), Errno> {
    if !is_visible(mount, name) {
        return Err(Errno::BUSY);
    }
    loop {
        match rustix::mount::unmount(name, UnmountFlags::NOFOLLOW) {
            Err(Errno::INTR) => {}
            // Another process has unmounted it.
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

/// Whether `mount` is the visible mount at `path`: a mount that hides `mount` would be unmounted instead. Always true
/// for kernels before 5.8, which do not report the mount.
fn is_visible(mount: &Mount, path: &Path) -> bool {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let Ok(found) = statx(CWD, path, flags, StatxFlags::MNT_ID) else { return true };
    found.stx_mask & StatxFlags::MNT_ID.bits() == 0 || found.stx_mnt_id == mount.id
}

/// The error of unmounting `mount` after the mount points `unmounted`.
fn unmount_error(roots: &Roots, mount: &Mount, unmounted: &[PathBuf], error: Errno) -> anyhow::Error {
    let mount_point = shell::quote(&mount.at.to_string_lossy());
    let (kind, why, hint) = match error {
        Errno::BUSY if !is_visible(mount, &mount.at) => (
            ExitKind::Refused,
            "another mount hides it".to_owned(),
            "unmount the other mount first".to_owned(),
        ),
        Errno::BUSY => {
            let (why, hint) = busy(roots, &mount.at);
            (ExitKind::Refused, why, hint)
        }
        Errno::PERM | Errno::ACCESS => {
            let why = "this user has no permission to unmount it".to_owned();
            (ExitKind::Permission, why, format!("run `umount {mount_point}` as root"))
        }
        other => (ExitKind::Io, other.to_string(), format!("run `umount {mount_point}`")),
    };
    let before = unmounted.iter().map(|at| format!("; {} is unmounted", at.display())).collect::<String>();
    let at = mount.at.display();
    let message = format_args!("{at} could not be unmounted: {why}; nothing was written{before}");
    kind.error_with_hint(message, hint)
}

/// Why the mount at `at` is busy, and the hint for it.
fn busy(roots: &Roots, at: &Path) -> (String, String) {
    let users = open_files::users(roots, at).join(", ");
    if users.is_empty() {
        let hint = format!("run `fuser -vm {}` to list its users", shell::quote(&at.to_string_lossy()));
        return ("it is busy".to_owned(), hint);
    }
    (format!("it is busy with {users}"), format!("end {users} first"))
}

#[cfg(test)]
mod tests {
    use super::super::fake::FakeMachine;
    use super::*;

    /// The owner of a folder above replaces it by a link at the last moment.
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

    fn order(machine: &FakeMachine, confirmed: &[&str]) -> Result<Vec<String>, String> {
        let confirmed = confirmed.iter().map(PathBuf::from).collect::<Vec<_>>();
        let order = unmount_order(&machine.roots(), &machine.disk("sdb"), &confirmed);
        let paths = |order: Vec<Mount>| order.iter().map(|mount| mount.at.display().to_string()).collect();
        order.map(paths).map_err(|error| crate::base::failure::with_hint(&error))
    }

    /// A stick with two partitions, one mounted in the other, on itself, and by a second name.
    fn mounted() -> FakeMachine {
        let machine = FakeMachine::new();
        machine.with_stick().mount("0:20", "/", "tmpfs", "none");
        machine.mount("8:17", "/media/a", "ext4", "/dev/sdb1").mount(
            "8:16",
            "/media/a/b",
            "vfat",
            "/dev/sdb",
        );
        machine.mount("8:17", "/media/a", "ext4", "/dev/sdb1").mount("8:17", "/mnt", "ext4", "/dev/sdb1");
        machine
    }

    #[test]
    fn the_topmost_goes_first() {
        let order = order(&mounted(), &["/media/a", "/media/a/b", "/mnt"]).unwrap();
        assert_eq!(order, ["/mnt", "/media/a", "/media/a/b", "/media/a"]);
    }

    #[test]
    fn only_confirmed_mounts_are_unmounted() {
        let refused = |machine: &FakeMachine, why: &str| {
            let words = order(machine, &["/media/a", "/media/a/b", "/mnt"]).unwrap_err();
            assert_eq!(words, why);
        };
        let machine = mounted();
        machine.mount("8:17", "/srv/x", "ext4", "/dev/sdb1");
        refused(&machine, "/dev/sdb is in use: sdb1 is mounted at /srv/x; nothing was written");
        let machine = mounted();
        machine.mount("8:17", "/media/new", "ext4", "/dev/sdb1");
        refused(
            &machine,
            "/dev/sdb has been mounted at /media/new since it was confirmed; nothing was written",
        );
        let machine = mounted();
        machine.mount("0:50", "/mnt/scratch", "tmpfs", "scratch");
        refused(
            &machine,
            "scratch is mounted at /mnt/scratch, on top of /dev/sdb; nothing was written; run `umount /mnt/scratch`",
        );
        let machine = mounted();
        machine.swap("/dev/sdb1");
        refused(&machine, "/dev/sdb is in use: sdb1 is used as swap; nothing was written");
    }
}
