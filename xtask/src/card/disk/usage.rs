//! What uses a disk: every mount and swap, walked down through volumes, arrays and loop devices to
//! the disks below, and what merely holds the disk.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::backing::{Backing, FileId, backing, device_at};
use super::mounts::{self, Mount};
use super::sysfs::Node;
use super::{Disk, Number, Role, Roots, Use};

/// Nothing is stacked deeper; a loop over a file on itself would be.
const DEEPEST: usize = 16;

/// All uses of all disks of the running system, gathered once.
pub struct Usage {
    uses: Vec<(Node, Use)>,
    /// The devices and files that are swapped to.
    swaps: Vec<PathBuf>,
}

impl Usage {
    pub fn load(roots: &Roots) -> Self {
        let mounts = mounts::mounts(roots);
        let mut usage = Self { uses: Vec::new(), swaps: Vec::new() };
        for mount in &mounts {
            let (nodes, role) = (devices(roots, mount), Role::Mounted { at: mount.at.clone() });
            let through = spread(mount, &nodes);
            for node in &nodes {
                usage.walk(roots, node, &role, &through);
            }
        }
        let swaps = mounts::swaps(roots);
        for swap in &swaps {
            for node in swap_devices(roots, swap) {
                usage.walk(roots, &node, &Role::Swap, &[]);
            }
        }
        usage.swaps = swaps;
        usage.add_virtual(roots);
        usage
    }

    /// What a virtual device stands on is used even if nobody uses that device yet.
    fn add_virtual(&mut self, roots: &Roots) {
        for upper in all(roots) {
            let through = [upper.title()];
            for lower in behind(roots, &upper) {
                let is_told =
                    |(node, used): &(Node, Use)| *node == lower && used.through.first() == through.first();
                if !self.uses.iter().any(is_told) {
                    self.walk(roots, &lower, &Role::Held, &through);
                }
            }
        }
    }

    /// The uses of the whole disk `disk` and its partitions; each is told once.
    pub fn of(&self, disk: &Node) -> Vec<Use> {
        let mine = self.uses.iter().filter(|(node, _)| node.disk() == *disk);
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

    /// The uses of a plain file: those of the loop devices over it, the loop devices themselves, and swap.
    /// The kernel gives no exclusive claim to a file, so this is all that protects it.
    pub fn of_file(&self, roots: &Roots, path: &Path) -> Vec<Use> {
        self.of_file_known(roots, path, FileId::of(path))
    }

    /// The same of the file that the kernel knows as `id`.
    fn of_file_known(&self, roots: &Roots, path: &Path, id: Option<FileId>) -> Vec<Use> {
        let device = path.file_name().unwrap_or_default().to_string_lossy();
        let swap = self.swaps.iter().find(|swap| is_same_file(roots, swap, path));
        let swap = swap.map(|_| Use { device: device.to_string(), through: Vec::new(), role: Role::Swap });
        let over = |node: &Node| is_behind(roots, node, path, id);
        swap.into_iter()
            .chain(all(roots).filter(over).flat_map(|node| self.through(&node, &device)))
            .collect()
    }

    /// The uses of what the virtual device `disk` stands on, other than `disk`: the exclusive claim that the kernel
    /// gives is to one device only, and other devices may stand on the same.
    pub fn of_backing(&self, roots: &Roots, disk: &Node) -> Vec<Use> {
        let own = disk.title();
        let by_others = |used: &Use| used.through.first() != Some(&own);
        match backing(roots, disk) {
            None => Vec::new(),
            Some(Backing::File { path, file, .. }) => {
                let uses = self.of_file_known(roots, &path, file).into_iter().filter(by_others);
                uses.map(|used| Use { device: disk.name(), ..used }).collect()
            }
            Some(Backing::Device(lower)) => {
                let lower = lower.disk();
                let uses =
                    [self.of(&lower), self.of_backing(roots, &lower)].concat().into_iter().filter(by_others);
                uses.map(|used| used.below(&disk.name())).collect()
            }
        }
    }

    /// What `node` is used for, as uses of `device` below it.
    fn through(&self, node: &Node, device: &str) -> Vec<Use> {
        let mut uses = self.of(node);
        if uses.is_empty() {
            uses.push(Use { device: String::new(), through: Vec::new(), role: Role::Held });
        }
        for used in &mut uses {
            device.clone_into(&mut used.device);
            used.through.insert(0, node.title());
        }
        uses
    }

    /// Goes from a used device down to the disks that carry it; every level is used.
    fn walk(&mut self, roots: &Roots, node: &Node, role: &Role, above: &[String]) {
        let used = Use { device: node.name(), through: above.to_vec(), role: role.clone() };
        self.uses.push((node.clone(), used));
        if above.len() >= DEEPEST {
            return;
        }
        let through = [&[node.title()], above].concat();
        for lower in below(roots, node) {
            self.walk(roots, &lower, role, &through);
        }
    }
}

/// The mounts of `disk` and of its partitions themselves, in the kernel's order.
pub fn mounts_of(roots: &Roots, disk: &Disk) -> Vec<Mount> {
    let Some(disk) = disk.number.and_then(|number| Node::by_number(roots, number)) else { return Vec::new() };
    let own = |mount: &Mount| devices(roots, mount).iter().any(|node| node.disk() == disk);
    mounts::mounts(roots).into_iter().filter(own).collect()
}

/// What stands between a device and a mount that has several.
fn spread(mount: &Mount, nodes: &[Node]) -> Vec<String> {
    let count = nodes.len();
    if count > 1 { vec![format!("a {} of {count} devices", mount.fstype)] } else { Vec::new() }
}

/// Whether the file behind the virtual device `node` is the one at `path`, which the kernel knows as `id`.
fn is_behind(roots: &Roots, node: &Node, path: &Path, id: Option<FileId>) -> bool {
    match backing(roots, node) {
        Some(Backing::File { path: other, file, .. }) => {
            file.is_some() && file == id || is_same_file(roots, &other, path)
        }
        _ => false,
    }
}

/// The block devices on which the virtual device `disk` stands: those that carry its file, or its device.
fn behind(roots: &Roots, disk: &Node) -> Vec<Node> {
    match backing(roots, disk) {
        None => Vec::new(),
        Some(Backing::Device(device)) => vec![device],
        Some(Backing::File { file: Some(file), found: false, .. }) => {
            Node::by_number(roots, file.filesystem).into_iter().collect()
        }
        Some(Backing::File { path, .. }) => under(roots, &path),
    }
}

/// Whether both are one file, which may have several names and be reached on several ways.
pub fn is_same(left: &Path, right: &Path) -> bool {
    let identity = |path: &Path| path.metadata().ok().map(|facts| (facts.dev(), facts.ino()));
    left == right || identity(left).is_some_and(|left| Some(left) == identity(right))
}

/// The same for the file behind any loop device: one of another filesystem, which may hang, is not asked.
fn is_same_file(roots: &Roots, other: &Path, path: &Path) -> bool {
    let filesystem = |path| mounts::innermost(roots, path).map(|mount| mount.number);
    other == path || filesystem(other) == filesystem(path) && is_same(other, path)
}

/// Every whole block device that the kernel knows.
fn all(roots: &Roots) -> impl Iterator<Item = Node> {
    let entries = roots.sys.join("block").read_dir().into_iter().flatten();
    entries.filter_map(|entry| Node::by_name(roots, entry.ok()?.file_name().to_str()?))
}

/// The names of the whole disks, and of all that is stacked on them, that carry the filesystem of `path`.
pub fn carriers(roots: &Roots, path: &Path) -> Vec<String> {
    let mut usage = Usage { uses: Vec::new(), swaps: Vec::new() };
    for node in under(roots, path) {
        usage.walk(roots, &node, &Role::Held, &[]);
    }
    usage.uses.iter().map(|(node, _)| node.disk().name()).collect()
}

/// Where something is mounted below `path`.
pub fn mounted_below(roots: &Roots, path: &Path) -> Vec<PathBuf> {
    let places = mounts::mounts(roots).into_iter().map(|mount| mount.at);
    places.filter(|at| at != path && at.starts_with(path)).collect()
}

/// The devices of the filesystem of `path`: by its device number, or by the innermost mount around
/// it where that number is anonymous.
fn under(roots: &Roots, path: &Path) -> Vec<Node> {
    if let Some(node) = behind_file(roots, path) {
        return vec![node];
    }
    mounts::innermost(roots, path).map(|mount| devices(roots, &mount)).unwrap_or_default()
}

/// What a device, or the disk of a partition, is made of.
fn below(roots: &Roots, node: &Node) -> Vec<Node> {
    let disk = node.disk();
    [disk.linked("slaves"), behind(roots, &disk)].concat()
}

/// The block device of the filesystem on which `file` is stored; none where asking might take for ever.
fn behind_file(roots: &Roots, file: &Path) -> Option<Node> {
    if mounts::may_hang(roots, file) {
        return None;
    }
    let number = Number::from_raw(file.metadata().ok()?.dev());
    Node::by_number(roots, number)
}

/// A use for a partition that is part of something, where no mount or swap has told so already.
fn held(part: &Node, known: &[Use]) -> Option<Use> {
    let device = part.name();
    let through = part.linked("holders").iter().map(Node::title).collect::<Vec<_>>();
    let told = known.iter().any(|used| used.device == device);
    (!told && !through.is_empty()).then_some(Use { device, through, role: Role::Held })
}

/// The block devices of a mount: by number, or where the filesystem has only an anonymous one, by
/// its source and the members that btrfs and bcachefs tell.
fn devices(roots: &Roots, mount: &Mount) -> Vec<Node> {
    if let Some(node) = Node::by_number(roots, mount.number) {
        return vec![node];
    }
    let sources = mount.source.split(':').filter_map(|path| Node::by_path(roots, Path::new(path)));
    let sources = sources.collect::<Vec<_>>();
    match sources.first() {
        Some(first) if mount.fstype == "btrfs" => btrfs_members(roots, first).unwrap_or(sources),
        _ => sources,
    }
}

/// All devices of the mounted btrfs that `member` belongs to.
fn btrfs_members(roots: &Roots, member: &Node) -> Option<Vec<Node>> {
    let pools = roots.sys.join("fs/btrfs").read_dir().ok()?;
    let folders = pools.filter_map(|pool| Some(pool.ok()?.path().join("devices")));
    let members = |folder: PathBuf| {
        let entries = folder.read_dir().into_iter().flatten();
        let nodes = entries.filter_map(|entry| Node::by_name(roots, entry.ok()?.file_name().to_str()?));
        nodes.collect::<Vec<_>>()
    };
    folders.map(members).find(|nodes| nodes.contains(member))
}

/// A swap partition, or the devices under a swap file.
fn swap_devices(roots: &Roots, path: &Path) -> Vec<Node> {
    device_at(roots, path).map_or_else(|| under(roots, path), |node| vec![node])
}
