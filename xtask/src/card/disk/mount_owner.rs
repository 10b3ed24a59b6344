//! The owner of a mount: the running system, its configuration, or a user who mounted a card somewhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Roots, mounts};
use crate::base::bounded::{self, Links};

/// The owner of a mount. Only a mount of a user may be unmounted to write a card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MountOwner {
    /// The running system: the mount point is one of its folders.
    #[default]
    System,
    /// The configuration of the machine, which mounts the file system at each boot.
    Configuration,
    /// A user who mounted a card.
    User,
}

/// The folders of the running system in which nobody mounts a card, except below [`SHARED_FOLDERS`].
const SYSTEM_FOLDERS: &[&str] = &["/boot", "/efi", "/etc", "/gnu", "/nix", "/usr"];

/// The folders of the running system below which a user may have mounted a card.
const SHARED_FOLDERS: &[&str] = &[
    "/home",
    "/opt",
    "/persist",
    "/persist/home",
    "/persist/root",
    "/persist/var",
    "/root",
    "/srv",
    "/usr/local",
    "/usr/local/bin",
    "/usr/local/etc",
    "/usr/local/games",
    "/usr/local/include",
    "/usr/local/lib",
    "/usr/local/libexec",
    "/usr/local/sbin",
    "/usr/local/share",
    "/usr/local/src",
    "/var",
    "/var/cache",
    "/var/db",
    "/var/empty",
    "/var/home",
    "/var/lib",
    "/var/local",
    "/var/lock",
    "/var/log",
    "/var/mail",
    "/var/opt",
    "/var/roothome",
    "/var/run",
    "/var/spool",
    "/var/srv",
    "/var/tmp",
    "/var/usrlocal",
];

/// The size of the largest file of the configuration that is read, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// The paths that the running system needs, beside [`SYSTEM_FOLDERS`] and [`SHARED_FOLDERS`].
#[derive(Debug, Default)]
pub struct SystemPaths {
    /// The mount points in fstab that are mounted at each boot, and those of the mount units of systemd.
    configured: BTreeSet<PathBuf>,
    /// The home folders of all accounts.
    homes: BTreeSet<PathBuf>,
}

impl SystemPaths {
    /// Reads fstab, passwd and the names of the mount units. A file that cannot be read counts as empty.
    pub fn load(roots: &Roots) -> Self {
        let read = |name: &str| {
            let bytes = bounded::read(&roots.etc.join(name), MAX_FILE, Links::Follow).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let units = roots.etc.join("systemd/system").read_dir().into_iter().flatten();
        let unit_names = units.filter_map(|unit| unit.ok()?.file_name().into_string().ok());
        let of_units = unit_names.filter_map(|name| unit_mount_point(&name));
        let configured = fstab_mount_points(&read("fstab")).into_iter().chain(of_units).collect();
        Self { configured, homes: home_folders(&read("passwd")) }
    }

    /// The owner of the mount at `at`.
    pub fn owner(&self, at: &Path) -> MountOwner {
        let is_below = |folders: &[&str]| folders.iter().any(|folder| at.starts_with(folder));
        let is_system_folder = at == Path::new("/")
            || SHARED_FOLDERS.iter().any(|folder| at == Path::new(folder))
            || is_below(SYSTEM_FOLDERS) && !is_below(SHARED_FOLDERS);
        let has_home = self.homes.iter().any(|home| home.starts_with(at));
        if is_system_folder || has_home {
            MountOwner::System
        } else if self.configured.contains(at) {
            MountOwner::Configuration
        } else {
            MountOwner::User
        }
    }
}

/// The mount points of fstab(5), without those that are only mounted on request (`noauto`).
fn fstab_mount_points(text: &str) -> Vec<PathBuf> {
    let lines = text.lines().map(str::trim_start).filter(|line| !line.starts_with('#'));
    lines.filter_map(fstab_mount_point).collect()
}

/// The mount point of a line of fstab(5): source, mount point, type, options and two numbers. `None` with the option
/// `noauto`, and for a line without a mount point, such as that of a swap partition.
fn fstab_mount_point(line: &str) -> Option<PathBuf> {
    let fields = line.split_ascii_whitespace().collect::<Vec<_>>();
    let options = fields.get(3).copied().unwrap_or_default();
    if options.split(',').any(|option| option == "noauto") {
        return None;
    }
    let mount_point = PathBuf::from(mounts::unescape(fields.get(1)?));
    mount_point.is_absolute().then_some(mount_point)
}

/// The mount point of a mount unit by its name, `home-me-data.mount`, which systemd escapes (systemd.unit(5)). `None`
/// for other units.
fn unit_mount_point(name: &str) -> Option<PathBuf> {
    let name = name.strip_suffix(".mount")?.replace('-', "/");
    let mut parts = name.split("\\x");
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let code = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok())?;
        bytes.push(code);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    Some(Path::new("/").join(String::from_utf8_lossy(&bytes).trim_start_matches('/')))
}

/// The home folders in passwd(5), without `/`, which belongs to the system in any case.
fn home_folders(text: &str) -> BTreeSet<PathBuf> {
    let homes = text.lines().filter_map(|line| line.split(':').nth(5)).map(PathBuf::from);
    homes.filter(|home| home.is_absolute() && home != Path::new("/")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fake::FakeMachine;
    use super::*;

    const FSTAB: &str = "# /dev/sdc1 /home/me/comment ext4\n/dev/sda2 / ext4 defaults 0 1\n\
        UUID=1-2 /home/me/my\\040data vfat user,rw 0 0\nLABEL=CARD /home/me/card vfat noauto,user 0 0\n\
        /dev/sda3 none swap sw 0 0\n/dev/sda4 /var/backup\n";
    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nme:x:1000:100::/home/me:/bin/sh\n\
        db:x:70:70::/var/lib/db/data:/bin/false\nhttp:x:33:33::/srv/http:/bin/false\nnobody:x:9:9::/:/bin/false\nbroken\n";

    /// Mount points of the system, with a blank between two.
    const OF_THE_SYSTEM: &str = "/ /boot /boot/firmware /etc/x /home /home/me \
        /nix/store /opt /root /srv /usr /usr/lib/x /usr/local /usr/local/bin /usr/share/local /usr/localx \
        /persist /persist/home /srv/http /var \
        /var/lib /var/lib/db /var/lib/db/data /var/log /var/tmp";
    /// Mount points of a user's own card.
    const OF_A_USER: &str = "/home/me/card /home/me/mnt/deep/er /home/card /home/me2 /root/card /var/card \
        /var/mnt/card /var/tmp/card /var/lib/db2 /media/me/CARD /run/media/me/CARD /mnt \
        /opt/x /srv/x /srv/cards/a /srv/http2 /usr/local/x /usr/local/bin2 /usr/local/share/x /persist/x \
        /home/me/comment /home/me/my /rooted /optional /home/me/other";

    #[test]
    fn the_mount_point_decides_who_owns_a_mount() {
        let machine = FakeMachine::new();
        machine.write_file("etc/fstab", FSTAB).write_file("etc/passwd", PASSWD);
        machine.write_file("etc/systemd/system/home-me-a\\x2db\\x20c.mount", "");
        machine.write_file("etc/systemd/system/home-me-other.service", "");
        let paths = SystemPaths::load(&machine.roots());
        for (owner, mount_points) in [
            (MountOwner::System, OF_THE_SYSTEM.split(' ').collect()),
            (MountOwner::Configuration, vec!["/home/me/my data", "/var/backup", "/home/me/a-b c"]),
            (MountOwner::User, OF_A_USER.split(' ').collect()),
        ] {
            for at in mount_points {
                assert_eq!(paths.owner(Path::new(at)), owner, "{at}");
            }
        }
    }

    #[test]
    fn without_a_configuration_the_folders_decide() {
        let paths = SystemPaths::load(&FakeMachine::new().roots());
        assert_eq!(paths.owner(Path::new("/home")), MountOwner::System);
        assert_eq!(paths.owner(Path::new("/home/me/card")), MountOwner::User);
    }

    #[test]
    fn fuzz() {
        let unit = "home-me-a\\x2db\\x20c.mount";
        crate::base::fuzz::check_text(&[FSTAB, PASSWD, unit], |text| {
            (fstab_mount_points(text).len(), home_folders(text).len(), unit_mount_point(text))
        });
    }
}
