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
    uses: Vec<(BlockDevice, Use)>,
    /// The devices and files that are used as swap.
    swaps: Vec<PathBuf>,
}

impl Usage {
    pub fn load(roots: &Roots) -> Self {
        let mounts = mounts::mounts(roots);
        let system_paths = SystemPaths::load(roots);
        let mut usage = Self { uses: Vec::new(), swaps: Vec::new() };
        for mount in &mounts {
            let devices = devices_of_mount(roots, mount);
            let role = Role::Mounted { at: mount.at.clone(), owner: system_paths.owner(&mount.at) };
            let through = through_pool(mount, &devices);
            for device in &devices {
                usage.walk(roots, device, &role, &through);
            }
        }
        let swaps = mounts::swaps(roots);
        for swap in &swaps {
            for device in swap_devices(roots, swap) {
                usage.walk(roots, &device, &Role::Swap, &[]);
            }
        }
        usage.swaps = swaps;
        usage.add_virtual(roots);
        usage
    }

    /// Adds the uses by virtual devices: the backing of a virtual device is in use even if that device is not.
    fn add_virtual(&mut self, roots: &Roots) {
        for upper in all(roots) {
            let through = [upper.title()];
            for lower in behind(roots, &upper) {
                let is_known = |(device, used): &(BlockDevice, Use)| {
                    *device == lower && used.through.first() == through.first()
                };
                if !self.uses.iter().any(is_known) {
                    self.walk(roots, &lower, &Role::Held, &through);
                }
            }
        }
    }

    /// The uses of the whole disk `disk` and its partitions, without duplicates.
    pub fn of(&self, disk: &BlockDevice) -> Vec<Use> {
        let mine = self.uses.iter().filter(|(device, _)| device.disk() == *disk);
        let mut uses = Vec::<Use>::new();
        for (_, used) in mine {
            if !uses.contains(used) {
                uses.push(used.clone());
            }
        }
        let parts = disk.partitions();
        let held = std::iter::once(disk).chain(&parts).filter_map(|part| held(part, &uses));
        let held = held.collect::<Vec<_>>();
        uses.into_iter().chain(held).collect()
    }

    /// The uses of a plain file: those of the loop devices over the file, the loop devices themselves, and swap.
    /// The kernel has no exclusive claim for a file, so this is all that protects it.
    pub fn of_file(&self, roots: &Roots, path: &Path) -> Vec<Use> {
        self.of_file_with_id(roots, path, InodeId::of(path))
    }

    /// The uses of the plain file `path`, which the kernel identifies by `id`.
    fn of_file_with_id(&self, roots: &Roots, path: &Path, id: Option<InodeId>) -> Vec<Use> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let swap = self.swaps.iter().find(|swap| is_same_file(roots, swap, path));
        let swap = swap.map(|_| Use { device: name.to_string(), through: Vec::new(), role: Role::Swap });
        let over = all(roots).filter(|device| is_behind(roots, device, path, id));
        swap.into_iter().chain(over.flat_map(|device| self.uses_through(&device, &name))).collect()
    }

    /// The uses of the backing of the virtual device `disk` by others than `disk`: the kernel's exclusive claim is for
    /// one device only, and other devices may have the same backing.
    pub fn of_backing(&self, roots: &Roots, disk: &BlockDevice) -> Vec<Use> {
        let own_title = disk.title();
        let by_others = |used: &Use| used.through.first() != Some(&own_title);
        match backing(roots, disk) {
            None => Vec::new(),
            Some(Backing::File { path, file, .. }) => {
                let uses = self.of_file_with_id(roots, &path, file).into_iter().filter(by_others);
                uses.map(|used| Use { device: disk.name(), ..used }).collect()
            }
            Some(Backing::Device(lower)) => {
                let lower = lower.disk();
                let uses =
                    [self.of(&lower), self.of_backing(roots, &lower)].concat().into_iter().filter(by_others);
                uses.map(|used| used.of_stacked(&disk.name())).collect()
            }
        }
    }

    /// The uses of `upper`, as uses of the device `lower` below it.
    fn uses_through(&self, upper: &BlockDevice, lower: &str) -> Vec<Use> {
        let mut uses = self.of(upper);
        if uses.is_empty() {
            uses.push(Use { device: String::new(), through: Vec::new(), role: Role::Held });
        }
        for used in &mut uses {
            lower.clone_into(&mut used.device);
            used.through.insert(0, upper.title());
        }
        uses
    }

    /// Adds the use of `device` and of every device below, down to the disks.
    fn walk(&mut self, roots: &Roots, device: &BlockDevice, role: &Role, above: &[String]) {
        let used = Use { device: device.name(), through: above.to_vec(), role: role.clone() };
        self.uses.push((device.clone(), used));
        if above.len() >= MAX_DEPTH {
            return;
        }
        let through = [&[device.title()], above].concat();
        for lower in below(roots, device) {
            self.walk(roots, &lower, role, &through);
        }
    }
}

/// The mounts of `disk` itself and of its partitions, in the kernel's order.
pub fn mounts_of(roots: &Roots, disk: &Disk) -> Vec<Mount> {
    let Some(disk) = disk.number.and_then(|number| BlockDevice::by_number(roots, number)) else {
        return Vec::new();
    };
    let is_of_disk =
        |mount: &Mount| devices_of_mount(roots, mount).iter().any(|device| device.disk() == disk);
    mounts::mounts(roots).into_iter().filter(is_of_disk).collect()
}

/// The pool between a device and a mount that has several devices, as a [`Use::through`].
fn through_pool(mount: &Mount, devices: &[BlockDevice]) -> Vec<String> {
    let count = devices.len();
    if count > 1 { vec![format!("a {} of {count} devices", mount.fstype)] } else { Vec::new() }
}

/// Whether the file behind the virtual `device` is the file `path`, which the kernel identifies by `id`.
fn is_behind(roots: &Roots, device: &BlockDevice, path: &Path, id: Option<InodeId>) -> bool {
    match backing(roots, device) {
        Some(Backing::File { path: other, file, .. }) => {
            file.is_some() && file == id || is_same_file(roots, &other, path)
        }
        _ => false,
    }
}

/// The block devices below the virtual device `disk`: those that store its backing file, or its backing device.
fn behind(roots: &Roots, disk: &BlockDevice) -> Vec<BlockDevice> {
    match backing(roots, disk) {
        None => Vec::new(),
        Some(Backing::Device(device)) => vec![device],
        Some(Backing::File { file: Some(file), found: false, .. }) => {
            BlockDevice::by_number(roots, file.filesystem).into_iter().collect()
        }
        Some(Backing::File { path, .. }) => under(roots, &path),
    }
}

/// Whether both paths lead to the same file, which may have several names.
pub fn is_same(left: &Path, right: &Path) -> bool {
    let identity = |path: &Path| path.metadata().ok().map(|facts| (facts.dev(), facts.ino()));
    left == right || identity(left).is_some_and(|left| Some(left) == identity(right))
}

/// [`is_same`] for the file `other` behind any loop device, without a question to another file system, which may hang.
fn is_same_file(roots: &Roots, other: &Path, path: &Path) -> bool {
    let filesystem = |path| mounts::innermost(roots, path).map(|mount| mount.number);
    other == path || filesystem(other) == filesystem(path) && is_same(other, path)
}

/// Every whole block device that the kernel knows.
fn all(roots: &Roots) -> impl Iterator<Item = BlockDevice> {
    let entries = roots.sys.join("block").read_dir().into_iter().flatten();
    entries.filter_map(|entry| BlockDevice::by_name(roots, entry.ok()?.file_name().to_str()?))
}

/// The names of the whole disks that store the file system of `path`, and of the devices stacked between.
pub fn carriers(roots: &Roots, path: &Path) -> Vec<String> {
    let mut usage = Usage { uses: Vec::new(), swaps: Vec::new() };
    for device in under(roots, path) {
        usage.walk(roots, &device, &Role::Held, &[]);
    }
    usage.uses.iter().map(|(device, _)| device.disk().name()).collect()
}

/// The mount points below `path`.
pub fn mounted_below(roots: &Roots, path: &Path) -> Vec<PathBuf> {
    let mount_points = mounts::mounts(roots).into_iter().map(|mount| mount.at);
    mount_points.filter(|at| at != path && at.starts_with(path)).collect()
}

/// The devices of the file system of `path`, by its device number, or where that number is anonymous, by the innermost
/// mount around `path`.
fn under(roots: &Roots, path: &Path) -> Vec<BlockDevice> {
    if let Some(device) = behind_file(roots, path) {
        return vec![device];
    }
    mounts::innermost(roots, path).map(|mount| devices_of_mount(roots, &mount)).unwrap_or_default()
}

/// The devices directly below a device, or below the disk of a partition.
fn below(roots: &Roots, device: &BlockDevice) -> Vec<BlockDevice> {
    let disk = device.disk();
    [disk.linked("slaves"), behind(roots, &disk)].concat()
}

/// The block device of the file system that stores `file`; `None` where the question may hang.
fn behind_file(roots: &Roots, file: &Path) -> Option<BlockDevice> {
    if mounts::may_hang(roots, file) {
        return None;
    }
    let number = DeviceNumber::from_raw(file.metadata().ok()?.dev());
    BlockDevice::by_number(roots, number)
}

/// The use of a partition that has holders, where no mount or swap is a known use of it already.
fn held(part: &BlockDevice, known: &[Use]) -> Option<Use> {
    let device = part.name();
    let through = part.linked("holders").iter().map(BlockDevice::title).collect::<Vec<_>>();
    let is_known = known.iter().any(|used| used.device == device);
    (!is_known && !through.is_empty()).then_some(Use { device, through, role: Role::Held })
}

/// The block devices of a mount, by its device number, or where that is anonymous, by its source and the members that
/// btrfs and bcachefs list.
fn devices_of_mount(roots: &Roots, mount: &Mount) -> Vec<BlockDevice> {
    if let Some(device) = BlockDevice::by_number(roots, mount.number) {
        return vec![device];
    }
    let sources = mount.source.split(':').filter_map(|path| BlockDevice::by_path(roots, Path::new(path)));
    let sources = sources.collect::<Vec<_>>();
    match sources.first() {
        Some(first) if mount.fstype == "btrfs" => btrfs_members(roots, first).unwrap_or(sources),
        _ => sources,
    }
}

/// All devices of the mounted btrfs of which `member` is one.
fn btrfs_members(roots: &Roots, member: &BlockDevice) -> Option<Vec<BlockDevice>> {
    let pools = roots.sys.join("fs/btrfs").read_dir().ok()?;
    let folders = pools.filter_map(|pool| Some(pool.ok()?.path().join("devices")));
    let members = |folder: PathBuf| {
        let entries = folder.read_dir().into_iter().flatten();
        let devices =
            entries.filter_map(|entry| BlockDevice::by_name(roots, entry.ok()?.file_name().to_str()?));
        devices.collect::<Vec<_>>()
    };
    folders.map(members).find(|devices| devices.contains(member))
}

/// The device of a swap partition, or the devices that store a swap file.
fn swap_devices(roots: &Roots, path: &Path) -> Vec<BlockDevice> {
    device_at(roots, path).map_or_else(|| under(roots, path), |device| vec![device])
}
