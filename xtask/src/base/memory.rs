//! The memory that new processes can have: by the machine, and by the control groups of this process.

use std::fs;
use std::path::{Path, PathBuf};

/// The memory in bytes that new processes can have without swapping. `root` is the folder with `proc` and `sys`. `None`
/// where neither the memory of the machine nor a limit of a control group can be read.
///
/// `MemAvailable` of proc(5) knows nothing of the limits of a container or a service: the kernel kills processes that
/// exceed them.
pub fn available(root: &Path) -> Option<u64> {
    let in_groups = groups(root).iter().filter_map(Group::available).min();
    let in_machine = read(&root.join("proc/meminfo")).and_then(|meminfo| mem_available(&meminfo));
    in_groups.into_iter().chain(in_machine).min()
}

/// The value of `MemAvailable` in the text of `/proc/meminfo`, in bytes.
fn mem_available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The versions of control groups (cgroups(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A control group that counts the memory of this process: its own, or one around that.
struct Group {
    version: Version,
    folder: PathBuf,
}

impl Group {
    /// The part of the limit that is left, in bytes; `None` without a limit. The kernel's cache of files does not count
    /// as used.
    fn available(&self) -> Option<u64> {
        let number = |name: &str| read(&self.folder.join(name))?.trim().parse::<u64>().ok();
        let (limit, usage, cache_label) = match self.version {
            Version::One => {
                (number("memory.limit_in_bytes"), number("memory.usage_in_bytes"), "total_inactive_file ")
            }
            Version::Two => {
                // Above `high` the kernel slows processes down, above `max` it kills them.
                let limit = [number("memory.high"), number("memory.max")].into_iter().flatten().min();
                (limit, number("memory.current"), "inactive_file ")
            }
        };
        let stat = read(&self.folder.join("memory.stat")).unwrap_or_default();
        let cached = stat.lines().find_map(|line| line.strip_prefix(cache_label)?.parse::<u64>().ok());
        let used = usage?.saturating_sub(cached.unwrap_or(0));
        Some(limit?.saturating_sub(used))
    }
}

/// The control groups that count the memory of this process, the innermost first.
fn groups(root: &Path) -> Vec<Group> {
    let [cgroup, mountinfo] =
        ["proc/self/cgroup", "proc/self/mountinfo"].map(|name| read(&root.join(name)).unwrap_or_default());
    let mut groups = Vec::new();
    for mount in mountinfo.lines().filter_map(parse_mount) {
        let Some(path) = cgroup.lines().find_map(|line| parse_path(mount.version, line)) else { continue };
        // In a container, the paths may be those outside of it.
        let below = path.strip_prefix(mount.group.trim_end_matches('/')).unwrap_or_default();
        let folder = root.join(mount.folder.trim_start_matches('/'));
        groups.extend(groups_between(mount.version, &folder, below.trim_start_matches('/')));
    }
    groups
}

/// The groups from the folder `below` in `top` up to `top`. A path with `..` leads out of `top`: then `top` alone.
fn groups_between(version: Version, top: &Path, below: &str) -> Vec<Group> {
    let leads_out = below.split('/').any(|part| part == "..");
    let innermost = if leads_out { top.to_owned() } else { top.join(below) };
    let folders = innermost.ancestors().take_while(|folder| folder.starts_with(top));
    folders.map(|folder| Group { version, folder: folder.to_owned() }).collect()
}

/// A mount of control groups.
struct Mount<'a> {
    version: Version,
    /// The path of the group that is the root of the mount.
    group: &'a str,
    /// The folder where the group is mounted.
    folder: &'a str,
}

/// The mount in a line of `/proc/self/mountinfo` (proc(5)); `None` where it has no control groups for memory.
fn parse_mount(line: &str) -> Option<Mount<'_>> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut words = file_system.split(' ');
    let kind = words.next()?;
    let options = words.nth(1).unwrap_or_default();
    let version = match kind {
        "cgroup2" => Version::Two,
        "cgroup" if options.split(',').any(|option| option == "memory") => Version::One,
        _ => return None,
    };
    let mut fields = mount.split(' ').skip(3);
    Some(Mount { version, group: fields.next()?, folder: fields.next()? })
}

/// The path of the group in a line of `/proc/self/cgroup`; `None` for a group that does not count memory, and for a
/// group of another version.
fn parse_path(version: Version, line: &str) -> Option<&str> {
    let (number, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    let counts_memory = match version {
        Version::One => controllers.split(',').any(|name| name == "memory"),
        Version::Two => number == "0" && controllers.is_empty(),
    };
    counts_memory.then_some(path)
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       24684096 kB\nMemFree:  1 kB\nMemAvailable:   8388608 kB\n";
    const V1: &str = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                      32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n";
    const V2: &str = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    /// The available memory in MiB where `files` are the names and the contents of the files in `proc` and `sys`.
    fn mib(files: &[(&str, &str)]) -> Option<u64> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = dir.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        available(dir.path()).map(|bytes| bytes >> 20)
    }

    #[test]
    fn without_limits_the_memory_of_the_machine_counts() {
        assert_eq!(mib(&[]), None);
        assert_eq!(mib(&[("proc/meminfo", MEMINFO)]), Some(8192));
        let own = "0::/user.slice/session-1.scope\n";
        let unlimited = [
            ("proc/meminfo", MEMINFO),
            ("proc/self/cgroup", own),
            ("proc/self/mountinfo", V2),
            ("sys/fs/cgroup/user.slice/memory.max", "max\n"),
            ("sys/fs/cgroup/user.slice/memory.current", "1048576\n"),
        ];
        assert_eq!(mib(&unlimited), Some(8192));
    }

    /// `systemd-run -p MemoryMax=3G` makes a service with a limit; the slice around it can have a limit, too.
    #[test]
    fn every_level_of_the_second_version_counts() {
        let service = "sys/fs/cgroup/system.slice/run.service";
        let [max, current, stat] =
            ["memory.max", "memory.current", "memory.stat"].map(|name| format!("{service}/{name}"));
        let files = [
            ("proc/meminfo", MEMINFO),
            ("proc/self/cgroup", "0::/system.slice/run.service\n"),
            ("proc/self/mountinfo", V2),
            (&max, "3221225472\n"),
            (&current, "1073741824\n"),
            (&stat, "anon 1\ninactive_file 536870912\nactive_file 1\n"),
        ];
        assert_eq!(mib(&files), Some(2560));
        let slice = [
            ("sys/fs/cgroup/system.slice/memory.high", "2147483648\n"),
            ("sys/fs/cgroup/system.slice/memory.max", "max\n"),
            ("sys/fs/cgroup/system.slice/memory.current", "1073741824\n"),
        ];
        assert_eq!(mib(&[&files[..], &slice].concat()), Some(1024));
        let full = [("sys/fs/cgroup/system.slice/memory.current", "4294967296\n")];
        assert_eq!(mib(&[&files[..], &slice[..2], &full].concat()), Some(0));
    }

    /// In a container of `docker run --memory 1g`, the paths of the groups may be those of the machine.
    #[test]
    fn a_container_with_the_first_version_has_its_limit() {
        let mount = V1.replacen(" / ", " /docker/abc ", 1);
        for (own, mount) in [
            ("4:memory:/docker/abc\n0::/\n", mount.as_str()),
            ("4:cpu,memory:/\n", V1),
            ("4:memory:/../..\n", V1),
        ] {
            let files = [
                ("proc/meminfo", MEMINFO),
                ("proc/self/cgroup", own),
                ("proc/self/mountinfo", mount),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n"),
                ("sys/fs/cgroup/memory/memory.usage_in_bytes", "536870912\n"),
                ("sys/fs/cgroup/memory/memory.stat", "inactive_file 0\ntotal_inactive_file 268435456\n"),
            ];
            assert_eq!(mib(&files), Some(768), "{own}");
        }
        let unlimited = [
            ("proc/meminfo", MEMINFO),
            ("proc/self/cgroup", "4:memory:/\n"),
            ("proc/self/mountinfo", V1),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "536870912\n"),
        ];
        assert_eq!(mib(&unlimited), Some(8192));
    }

    #[test]
    fn fuzz() {
        let samples = [MEMINFO, V1, V2, "4:memory:/docker/abc\n0::/\n"];
        crate::base::fuzz::check_text(&samples, |text| {
            for line in text.lines() {
                if let Some(mount) = parse_mount(line) {
                    groups_between(mount.version, Path::new(mount.folder), mount.group);
                }
                parse_path(Version::One, line);
                parse_path(Version::Two, line);
            }
            mem_available(text)
        });
    }
}
