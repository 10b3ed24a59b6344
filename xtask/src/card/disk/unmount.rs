//! Unmounting a card that a desktop has mounted: plainly, never lazily and never by force.

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
use crate::base::failure::ExitKind as Failure;
use crate::base::shell;

/// After unmounting, for what lets go of the disk a little later.
const UNMOUNT_TIMEOUT: Duration = Duration::from_secs(3);

impl Use {
    /// Whether unmounting it sets the disk free and hurts nobody: a mount of the disk or a partition
    /// itself, outside the running system.
    pub fn is_plain_mount(&self) -> bool {
        matches!(self.role, Role::Mounted { .. }) && self.through.is_empty() && !self.is_system()
    }
}

impl Disk {
    /// Its plain mounts, each as the partition (or the disk) and the place.
    pub fn plain_mounts(&self) -> impl Iterator<Item = (&str, &Path)> {
        let plain = self.uses.iter().filter(|used| used.is_plain_mount());
        plain.filter_map(|used| match &used.role {
            Role::Mounted { at } => Some((used.device.as_str(), at.as_path())),
            _ => None,
        })
    }
}

/// Unmounts `disk` from the places that were `agreed` to, the topmost first. The disk must be the one
/// that was confirmed; where it is used in any other way by now, nothing is unmounted at all.
///
/// # Errors
/// Besides that, a place that is busy, which is final, and one that this user may not unmount.
pub fn unmount(roots: &Roots, disk: &Disk, agreed: &[PathBuf]) -> Result<()> {
    if agreed.is_empty() {
        return Ok(());
    }
    let now = Disk::load(roots, &disk.path)?;
    disk.same_as(&now)?;
    let mut done = Vec::new();
    for mount in planned(roots, &now, agreed)? {
        detach(&mount).map_err(|error| explain(roots, &mount, &done, error))?;
        done.push(mount.at);
    }
    wait_for_copies(disk);
    Ok(())
}

/// Whoever makes a mount namespace, as a build in a sandbox does, has copies of all mounts for some
/// milliseconds. Where the disk stays claimed, the claim that follows says so.
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

/// The mounts of `disk` in the order in which they can go.
fn planned(roots: &Roots, disk: &Disk, agreed: &[PathBuf]) -> Result<Vec<Mount>> {
    let refused = |why: String| Err(Failure::Refused.error(format!("{why}; nothing was written")));
    let path = disk.path.display();
    if let Some(used) = disk.uses.iter().find(|used| !used.is_plain_mount()) {
        return refused(format!("{path} is in use: {used}"));
    }
    let own = usage::mounts_of(roots, disk);
    if let Some(new) = own.iter().find(|mount| !agreed.contains(&mount.at)) {
        let at = new.at.display();
        return refused(format!("{path} has been mounted at {at} since it was confirmed"));
    }
    let below = |other: &Mount| own.iter().any(|mount| mount.id == other.parent);
    let foreign = mounts(roots).into_iter().find(|other| below(other) && !own.contains(other));
    if let Some(Mount { source, at, .. }) = foreign {
        let at = at.display();
        return refused(format!(
            "{source} is mounted at {at}, on top of {path}, and has to be unmounted first"
        ));
    }
    Ok(topmost_first(own))
}

/// In mountinfo a mount names the one it stands on.
fn topmost_first(mut left: Vec<Mount>) -> Vec<Mount> {
    let mut order = Vec::new();
    while let Some(free) = left.iter().rposition(|mount| left.iter().all(|other| other.parent != mount.id)) {
        order.push(left.remove(free));
    }
    order
}

/// From within the folder that the mount stands in, which is reached without links: whoever owns a folder above may put a link to
/// another mount there meanwhile. A folder with a mount on it cannot be replaced.
fn detach(mount: &Mount) -> Result<(), Errno> {
    let (Some(folder), Some(name)) = (mount.at.parent(), mount.at.file_name()) else {
        return Err(Errno::BUSY);
    };
    fchdir(open(folder)?)?;
    let done = detach_here(mount, Path::new(name));
    chdir("/")?;
    done
}

fn detach_here(mount: &Mount, name: &Path) -> Result<(), Errno> {
    if !shows(name, mount) {
        return Err(Errno::BUSY);
    }
    loop {
        match rustix::mount::unmount(name, UnmountFlags::NOFOLLOW) {
            Err(Errno::INTR) => {}
            // Somebody else has unmounted it: that is as good.
            Err(Errno::INVAL | Errno::NOENT) => return Ok(()),
            done => return done,
        }
    }
}

/// Opens a folder without following links. Kernels before 5.6 cannot, and follow them.
fn open(folder: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match openat2(CWD, folder, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        Err(Errno::NOSYS) => rustix::fs::open(folder, flags, Mode::empty()),
        opened => opened,
    }
}

/// Whether the place shows this mount, and not another that hides it and would be unmounted in its
/// stead. Kernels before 5.8 do not tell.
fn is_visible(mount: &Mount) -> bool {
    shows(&mount.at, mount)
}

fn shows(place: &Path, mount: &Mount) -> bool {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let Ok(found) = statx(CWD, place, flags, StatxFlags::MNT_ID) else { return true };
    found.stx_mask & StatxFlags::MNT_ID.bits() == 0 || found.stx_mnt_id == mount.id
}

fn explain(roots: &Roots, mount: &Mount, done: &[PathBuf], error: Errno) -> anyhow::Error {
    let (at, place) = (mount.at.display(), shell::quote(&mount.at.to_string_lossy()));
    let (kind, why) = match error {
        Errno::BUSY if !is_visible(mount) => {
            (Failure::Refused, "another mount hides it; unmount that first".to_owned())
        }
        Errno::BUSY => (Failure::Refused, busy(roots, &mount.at)),
        Errno::PERM | Errno::ACCESS => {
            (Failure::Permission, format!("it takes root; unmount it yourself: umount {place}"))
        }
        other => (Failure::Io, other.to_string()),
    };
    let before = done.iter().map(|at| format!("; {} is unmounted", at.display())).collect::<String>();
    kind.error(format!("{at} could not be unmounted: {why}; nothing was written{before}"))
}

fn busy(roots: &Roots, at: &Path) -> String {
    let users = open_files::below(roots, at);
    match users.as_slice() {
        [] => format!("it is busy; `fuser -vm {}` says with what", shell::quote(&at.to_string_lossy())),
        users => format!("it is busy with {}; end that first", users.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::FakeMachine;
    use super::*;

    /// A mount in a folder of somebody who puts a link in its place at the last moment.
    #[test]
    fn links_on_the_way_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("real/card")).unwrap();
        std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
        let at = dir.path().join("link/card");
        let id = statx(CWD, &at, AtFlags::empty(), StatxFlags::MNT_ID).unwrap().stx_mnt_id;
        let number = super::super::Number { major: 8, minor: 17 };
        let [fstype, source] = ["vfat", "/dev/sdb1"].map(str::to_owned);
        let mount = Mount { id, parent: 1, number, at, fstype, source };
        assert_eq!(detach(&mount), Err(Errno::LOOP));
    }

    fn places(machine: &FakeMachine, agreed: &[&str]) -> Result<Vec<String>, String> {
        let agreed = agreed.iter().map(PathBuf::from).collect::<Vec<_>>();
        let order = planned(&machine.roots(), &machine.disk("sdb"), &agreed);
        let places = |order: Vec<Mount>| order.iter().map(|mount| mount.at.display().to_string()).collect();
        order.map(places).map_err(|error| error.to_string())
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
        let order = places(&mounted(), &["/media/a", "/media/a/b", "/mnt"]).unwrap();
        assert_eq!(order, ["/mnt", "/media/a", "/media/a/b", "/media/a"]);
    }

    #[test]
    fn only_what_was_agreed_to() {
        let refused = |machine: &FakeMachine, why: &str| {
            let words = places(machine, &["/media/a", "/media/a/b", "/mnt"]).unwrap_err();
            assert_eq!(words, format!("{why}; nothing was written"));
        };
        let machine = mounted();
        machine.mount("8:17", "/srv/x", "ext4", "/dev/sdb1");
        refused(&machine, "/dev/sdb is in use: sdb1 is mounted at /srv/x");
        let machine = mounted();
        machine.mount("8:17", "/media/new", "ext4", "/dev/sdb1");
        refused(&machine, "/dev/sdb has been mounted at /media/new since it was confirmed");
        let machine = mounted();
        machine.mount("0:50", "/mnt/scratch", "tmpfs", "scratch");
        refused(
            &machine,
            "scratch is mounted at /mnt/scratch, on top of /dev/sdb, and has to be unmounted first",
        );
        let machine = mounted();
        machine.swap("/dev/sdb1");
        refused(&machine, "/dev/sdb is in use: sdb1 is used as swap");
    }
}
