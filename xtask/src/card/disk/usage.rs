//! The uses of disks: every mount and swap, followed down through volumes, arrays and loop devices to the disks below,
//! and the devices that are stacked on a disk without any mount.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::backing::{Backing, InodeId, backing, device_at};
use super::mount_owner::SystemPaths;
use super::mounts::{self, Mount};
use super::sysfs::BlockDevice;
use super::{DeviceNumber, Disk, Role, Roots, Use};

/// The greatest depth of stacked devices. Only a loop device over a file on itself would be deeper.
const MAX_DEPTH: usize = 16;

/// All uses of all disks, gathered once.
pub struct Usage {
    /// Each use with the disk, partition or stacked device that is used.
    uses: Vec<(BlockDevice, Use)>,
    /// The devices and files that are used as swap.
    swaps: Vec<PathBuf>,
}

impl Usage {
    /// Gathers the uses by mounts, by swap, and by virtual devices.
    pub fn load(roots: &Roots) -> Self {
        let system_paths = SystemPaths::load(roots);
        let mut usage = Self { uses: Vec::new(), swaps: mounts::swaps(roots) };
        for mount in &mounts::mounts(roots) {
            let devices = devices_of_mount(roots, mount);
            let role = Role::Mounted { at: mount.at.clone(), owner: system_paths.owner(&mount.at) };
            let pool = pool_title(mount, &devices);
            for device in &devices {
                usage.add_use(roots, device, &role, pool.as_slice());
            }
        }
        for swap in usage.swaps.clone() {
            for device in swap_devices(roots, &swap) {
                usage.add_use(roots, &device, &Role::Swap, &[]);
            }
        }
        usage.add_virtual_devices(roots);
        usage
    }

    /// Adds the uses by virtual devices: the backing of a virtual device is in use even if no use of the virtual device
    /// is known.
    fn add_virtual_devices(&mut self, roots: &Roots) {
        for upper in whole_devices(roots) {
            let title = upper.title();
            for lower in backing_devices(roots, &upper) {
                let is_known = self
                    .uses
                    .iter()
                    .any(|(device, used)| *device == lower && used.through.first() == Some(&title));
                if !is_known {
                    self.add_use(roots, &lower, &Role::Held, std::slice::from_ref(&title));
                }
            }
        }
    }

    /// Adds the use of `device` as `role` through the devices `above`, and the same use of every device below `device`,
    /// down to the disks.
    fn add_use(&mut self, roots: &Roots, device: &BlockDevice, role: &Role, above: &[String]) {
        let used = Use { device: device.name(), through: above.to_vec(), role: role.clone() };
        self.uses.push((device.clone(), used));
        if above.len() >= MAX_DEPTH {
            return;
        }
        let through = [&[device.title()], above].concat();
        for lower in lower_devices(roots, device) {
            self.add_use(roots, &lower, role, &through);
        }
    }

    /// The uses of the whole disk `disk` and its partitions, without duplicates.
    pub fn uses_of(&self, disk: &BlockDevice) -> Vec<Use> {
        let mut uses = Vec::<Use>::new();
        for (device, used) in &self.uses {
            if device.disk() == *disk && !uses.contains(used) {
                uses.push(used.clone());
            }
        }
        let parts = disk.partitions();
        let disk_and_parts = std::iter::once(disk).chain(&parts);
        let held_uses = disk_and_parts.filter_map(|part| held_use(part, &uses)).collect::<Vec<_>>();
        [uses, held_uses].concat()
    }

    /// The uses of the plain file `path`: as swap, by the loop devices over the file, and the uses of these loop
    /// devices. No other check protects a file: the kernel has no exclusive claim for files. With `id`, by which the
    /// kernel identifies the file, another file that is now at `path` does not matter.
    pub fn uses_of_file(&self, roots: &Roots, path: &Path, id: Option<InodeId>) -> Vec<Use> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut uses = Vec::new();
        if self.swaps.iter().any(|swap| is_same_file_on_mount(roots, swap, path, id)) {
            uses.push(Use { device: name.to_string(), through: Vec::new(), role: Role::Swap });
        }
        for upper in whole_devices(roots) {
            if has_backing_file(roots, &upper, path, id) {
                uses.extend(self.uses_by_upper(&upper, &name));
            }
        }
        uses
    }

    /// The uses of the backing of the virtual device `disk` by other devices than `disk`: the kernel's exclusive claim
    /// is for one device only, and other devices may have the same backing.
    pub fn uses_of_backing(&self, roots: &Roots, disk: &BlockDevice) -> Vec<Use> {
        let own_title = disk.title();
        let is_by_other = |used: &Use| used.through.first() != Some(&own_title);
        match backing(roots, disk) {
            None => Vec::new(),
            Some(Backing::File { path, file, .. }) => {
                let uses = self.uses_of_file(roots, &path, file).into_iter().filter(is_by_other);
                uses.map(|used| Use { device: disk.name(), ..used }).collect()
            }
            Some(Backing::Device(lower)) => {
                let lower = lower.disk();
                let uses = [self.uses_of(&lower), self.uses_of_backing(roots, &lower)].concat();
                let uses = uses.into_iter().filter(is_by_other);
                uses.map(|used| used.into_use_of_upper(&disk.name())).collect()
            }
        }
    }

    /// The uses of `upper` as uses of `lower`, on which `upper` is stacked. Where `upper` has no uses, `upper` itself
    /// is the use.
    fn uses_by_upper(&self, upper: &BlockDevice, lower: &str) -> Vec<Use> {
        let mut uses = self.uses_of(upper);
        if uses.is_empty() {
            uses.push(Use { device: upper.name(), through: Vec::new(), role: Role::Held });
        }
        for used in &mut uses {
            lower.clone_into(&mut used.device);
            used.through.insert(0, upper.title());
        }
        uses
    }
}

/// The mounts of `disk` itself and of its partitions, in the kernel's order.
pub fn mounts_of(roots: &Roots, disk: &Disk) -> Vec<Mount> {
    let Some(whole) = disk.number.and_then(|number| BlockDevice::by_number(roots, number)) else {
        return Vec::new();
    };
    let is_of_disk =
        |mount: &Mount| devices_of_mount(roots, mount).iter().any(|device| device.disk() == whole);
    mounts::mounts(roots).into_iter().filter(is_of_disk).collect()
}

/// The words for the pool of the `devices` of `mount`, for [`Use::through`]; `None` for a mount of one device.
fn pool_title(mount: &Mount, devices: &[BlockDevice]) -> Option<String> {
    let count = devices.len();
    (count > 1).then(|| format!("a {} of {count} devices", mount.fstype))
}

/// Whether the backing of the virtual `device` is the file `path`, which the kernel identifies by `id`.
fn has_backing_file(roots: &Roots, device: &BlockDevice, path: &Path, id: Option<InodeId>) -> bool {
    let Some(Backing::File { path: backing_path, file, .. }) = backing(roots, device) else { return false };
    let has_same_id = file.is_some() && file == id;
    has_same_id || is_same_file_on_mount(roots, &backing_path, path, id)
}

/// The block devices below the virtual device `disk`: its backing device, or the devices that store its backing file.
fn backing_devices(roots: &Roots, disk: &BlockDevice) -> Vec<BlockDevice> {
    match backing(roots, disk) {
        None => Vec::new(),
        Some(Backing::Device(device)) => vec![device],
        Some(Backing::File { file: Some(file), is_at_path: false, .. }) => {
            BlockDevice::by_number(roots, file.filesystem).into_iter().collect()
        }
        Some(Backing::File { path, .. }) => devices_of_path(roots, &path),
    }
}

/// Whether both paths lead to the same file, which may have several names.
pub fn is_same_file(left: &Path, right: &Path) -> bool {
    left == right || InodeId::of(left).is_some_and(|id| InodeId::of(right) == Some(id))
}

/// Whether the path `other` leads to the file that is or was at `path`. The kernel identifies this file by `id`, if
/// known. `other` is the path of a swap file or of the file behind a loop device. It is only looked up if it is on the
/// file system of `path`, because another file system may hang. The paths alone are compared where `other` leads
/// nowhere.
fn is_same_file_on_mount(roots: &Roots, other: &Path, path: &Path, id: Option<InodeId>) -> bool {
    let filesystem = |path| mounts::innermost_mount(roots, path).map(|mount| mount.number);
    let is_on_mount = || filesystem(other) == filesystem(path);
    match id {
        Some(id) => is_on_mount() && InodeId::of(other).map_or(other == path, |found| found == id),
        None => other == path || is_on_mount() && is_same_file(other, path),
    }
}

/// Every whole block device that the kernel knows.
fn whole_devices(roots: &Roots) -> Vec<BlockDevice> {
    devices_in(roots, &roots.sys.join("block"))
}

/// The block devices whose names are in `folder`; none where the folder cannot be read.
fn devices_in(roots: &Roots, folder: &Path) -> Vec<BlockDevice> {
    let entries = folder.read_dir().into_iter().flatten();
    entries.filter_map(|entry| BlockDevice::by_name(roots, entry.ok()?.file_name().to_str()?)).collect()
}

/// The names of the whole disks that store the file system of `path`, and of the devices that are stacked on them.
pub fn storage_devices(roots: &Roots, path: &Path) -> Vec<String> {
    let mut usage = Usage { uses: Vec::new(), swaps: Vec::new() };
    for device in devices_of_path(roots, path) {
        usage.add_use(roots, &device, &Role::Held, &[]);
    }
    usage.uses.iter().map(|(device, _)| device.disk().name()).collect()
}

/// The mount points below `path`.
pub fn mount_points_below(roots: &Roots, path: &Path) -> Vec<PathBuf> {
    let mount_points = mounts::mounts(roots).into_iter().map(|mount| mount.at);
    mount_points.filter(|at| at != path && at.starts_with(path)).collect()
}

/// The devices of the file system of `path`. The device number of the file system names the device. Where that number
/// is anonymous or cannot be read, the innermost mount around `path` names the devices.
fn devices_of_path(roots: &Roots, path: &Path) -> Vec<BlockDevice> {
    if let Some(device) = filesystem_device(roots, path) {
        return vec![device];
    }
    mounts::innermost_mount(roots, path).map(|mount| devices_of_mount(roots, &mount)).unwrap_or_default()
}

/// The devices directly below `device`. Below a partition are those below its disk.
fn lower_devices(roots: &Roots, device: &BlockDevice) -> Vec<BlockDevice> {
    let disk = device.disk();
    [disk.slaves(), backing_devices(roots, &disk)].concat()
}

/// The block device of the file system that stores `file`; `None` where its number is anonymous, where there is no such
/// file, and where asking the file system may hang.
fn filesystem_device(roots: &Roots, file: &Path) -> Option<BlockDevice> {
    if mounts::may_hang(roots, file) {
        return None;
    }
    let number = DeviceNumber::from_raw(file.metadata().ok()?.dev());
    BlockDevice::by_number(roots, number)
}

/// The use of `part`, a disk or a partition, by its holders; `None` where it has none, or where a use of `part` is
/// among the `known` uses.
fn held_use(part: &BlockDevice, known: &[Use]) -> Option<Use> {
    let device = part.name();
    let through = part.holders().iter().map(BlockDevice::title).collect::<Vec<_>>();
    if through.is_empty() || known.iter().any(|used| used.device == device) {
        return None;
    }
    Some(Use { device, through, role: Role::Held })
}

/// The block devices of a mount. Its device number names the device. Where that number is anonymous, its source names
/// the devices: for bcachefs all members, for btrfs one member. sysfs lists the other members of a btrfs.
fn devices_of_mount(roots: &Roots, mount: &Mount) -> Vec<BlockDevice> {
    if let Some(device) = BlockDevice::by_number(roots, mount.number) {
        return vec![device];
    }
    let paths = mount.source.split(':').map(Path::new);
    let sources = paths.filter_map(|path| BlockDevice::by_path(roots, path)).collect::<Vec<_>>();
    match sources.first() {
        Some(first) if mount.fstype == "btrfs" => btrfs_members(roots, first).unwrap_or(sources),
        _ => sources,
    }
}

/// All devices of the mounted btrfs of which `member` is one; `None` where sysfs lists no such btrfs.
fn btrfs_members(roots: &Roots, member: &BlockDevice) -> Option<Vec<BlockDevice>> {
    let pools = roots.sys.join("fs/btrfs").read_dir().ok()?;
    let folders = pools.filter_map(|pool| Some(pool.ok()?.path().join("devices")));
    folders.map(|folder| devices_in(roots, &folder)).find(|members| members.contains(member))
}

/// The device of a swap partition, or the devices that store a swap file.
fn swap_devices(roots: &Roots, path: &Path) -> Vec<BlockDevice> {
    device_at(roots, path).map_or_else(|| devices_of_path(roots, path), |device| vec![device])
}
