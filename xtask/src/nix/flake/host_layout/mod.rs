//! Finds where a host reads its host key and other files of a payload, by the evaluated configuration of the host.

mod logins;
mod wifi;

use std::fmt;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::bail;
use crate::base::Plain;

pub use logins::{HostLogins, LoginUser};
pub use wifi::HostWifi;

/// The most moves of a path; more moves are a circle.
const MAX_MOVES: usize = 16;

/// The parts of a host's configuration that decide where it reads its host key. `layout.nix` evaluates them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostLayout {
    /// The paths of the ed25519 keys of sshd; `None` if unknown.
    #[serde(default)]
    host_keys: Option<Vec<String>>,
    /// The file systems that the host mounts, except bind mounts; empty if unknown.
    #[serde(default)]
    mounts: Vec<Mount>,
    /// The paths that the host keeps elsewhere: by bind mounts, by impermanence, or as links.
    #[serde(default)]
    moved: Vec<MovedPath>,
    /// The boards that the host has to boot, by the names of `raspberryPi.boards`; empty if unknown.
    #[serde(default)]
    pub boards: Vec<String>,
    /// Who can log in; `None` if unknown.
    #[serde(default)]
    pub logins: Option<HostLogins>,
    /// How the host connects to Wi-Fi; `None` if it does not, or if that is unknown.
    #[serde(default)]
    pub wifi: Option<HostWifi>,
    /// Whether the configuration has the option `raspberryPi.wifi` of this project.
    #[serde(default)]
    pub has_wifi_module: bool,
}

/// A file system that the host mounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mount {
    /// The mount point.
    at: String,
    device: Option<String>,
    #[serde(rename = "type")]
    file_system: Option<String>,
}

/// A file or a folder that the host reads at `path` and keeps at `source`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct MovedPath {
    path: String,
    source: String,
}

/// The file system with the host key, and the place of the key there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPlace {
    pub device: MountedDevice,
    /// Where the host mounts the file system.
    pub mounted_at: String,
    /// The folder that contains `etc/ssh` with the key, such as `/persist`; empty for the root of the file system.
    /// Where the key is not in a folder `etc/ssh`, empty on the file system at `/`, and `None` on any other.
    pub folder: Option<String>,
    /// The path of the key below `folder`, or below the root of the file system where `folder` is `None`.
    pub key: String,
    /// The folder that the root of the file system must have: `nix` or `store`; `None` where none is required.
    pub required_folder: Option<&'static str>,
}

/// How a configuration names the partition of a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountedDevice {
    Label(String),
    /// In lower case.
    Uuid(String),
    /// The number of a partition of an SD card.
    Number(u32),
}

impl fmt::Display for MountedDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(label) => Plain(label).fmt(f),
            Self::Uuid(uuid) => write!(f, "with the UUID {}", Plain(uuid)),
            Self::Number(number) => number.fmt(f),
        }
    }
}

impl HostLayout {
    /// The place of the host key; `None` where the keys or the file systems of the host are unknown.
    ///
    /// # Errors
    /// `Refused` with the reason where no partition of a card can have the key.
    pub fn key_place(&self) -> Result<Option<KeyPlace>> {
        let Some(keys) = &self.host_keys else { return Ok(None) };
        if self.mounts.is_empty() {
            return Ok(None);
        }
        let Some(read_path) = keys.first() else {
            bail!(Refused, "services.openssh.hostKeys of the host has no ed25519 key");
        };
        let kept_path = self.follow_moves(read_path)?;
        let Some(mount) = find_innermost(&self.mounts, |mount| &mount.at, &kept_path) else {
            bail!(
                Refused,
                "the configuration of the host mounts no file system for the host key {read_path}"
            );
        };
        let device = mount.partition(&kept_path)?;
        let Some(path) = rest_below(&mount.at, &kept_path).filter(|path| *path != "/") else {
            bail!(Refused, "the host key {read_path} is the mount point of a file system")
        };
        let (folder, key) = match path.rsplit_once("/etc/ssh/") {
            Some((folder, name)) if !name.contains('/') => {
                (Some(folder.to_owned()), format!("etc/ssh/{name}"))
            }
            _ if mount.at == "/" => (Some(String::new()), path[1..].to_owned()),
            _ => (None, path[1..].to_owned()),
        };
        Ok(Some(KeyPlace {
            device,
            mounted_at: mount.at.clone(),
            folder,
            key,
            required_folder: self.required_folder(mount),
        }))
    }

    /// The path, relative to the folder of the payload, of the file that the host reads at `path`; `None` where the
    /// file is not in that folder of the file system with the host key, or the place of the host key is unknown.
    ///
    /// # Errors
    /// Those of [`Self::key_place`]; `Refused` where `path` is not plain.
    pub fn payload_path(&self, path: &str) -> Result<Option<String>> {
        let Some(place) = self.key_place()? else { return Ok(None) };
        let kept_path = self.follow_moves(path)?;
        let mount = find_innermost(&self.mounts, |mount| &mount.at, &kept_path);
        let below_mount = mount
            .filter(|mount| mount.at == place.mounted_at)
            .and_then(|mount| rest_below(&mount.at, &kept_path));
        let below_folder =
            below_mount.and_then(|path| rest_below(place.folder.as_deref().unwrap_or_default(), path));
        Ok(below_folder.filter(|path| *path != "/").map(|path| path[1..].to_owned()))
    }

    /// The path where the host keeps the file that it reads at `path`.
    ///
    /// # Errors
    /// `Refused` where the path is not plain, or is moved in a circle.
    fn follow_moves(&self, path: &str) -> Result<String> {
        let mut current = normalize(path)?;
        for _ in 0..MAX_MOVES {
            let Some(moved) = find_innermost(&self.moved, |moved| &moved.path, &current) else {
                return Ok(current);
            };
            // A file system that is mounted inside the moved folder stays where it is.
            let mount = find_innermost(&self.mounts, |mount| &mount.at, &current);
            if mount.is_some_and(|mount| is_inside(&moved.path, &mount.at)) {
                return Ok(current);
            }
            let rest = rest_below(&moved.path, &current).unwrap_or_default();
            current = normalize(&format!("{}{rest}", moved.source))?;
        }
        bail!(Refused, "the configuration of the host moves {path} in a circle")
    }

    /// The folder that the root of the file system of `mount` must have, as it leads to the store; `None` where the
    /// file system does not contain the store, or has another mount point than `/` and `/nix`.
    fn required_folder(&self, mount: &Mount) -> Option<&'static str> {
        let store_mount = find_innermost(&self.mounts, |mount| &mount.at, "/nix/store")?;
        match mount.at.as_str() {
            _ if mount != store_mount => None,
            "/" => Some("nix"),
            "/nix" => Some("store"),
            _ => None,
        }
    }
}

impl Mount {
    /// The partition of the file system, by its device. Errors name `path`, a file on the file system.
    ///
    /// # Errors
    /// `Refused` for a file system that the tool does not write, and for a device that names no partition.
    fn partition(&self, path: &str) -> Result<MountedDevice> {
        let at = &self.at;
        match self.file_system.as_deref() {
            None | Some("auto" | "ext4") => {}
            Some(memory @ ("tmpfs" | "ramfs")) => {
                bail!(Refused, "the host keeps its key {path} in memory ({memory} at {at})")
            }
            Some(other) => {
                bail!(Refused, "the host key {path} is on {other} (at {at}), and only ext4 is written")
            }
        }
        let device = self.device.as_deref().unwrap_or_default();
        if let Some(label) = device.strip_prefix("/dev/disk/by-label/") {
            return Ok(MountedDevice::Label(unescape_label(label)));
        }
        if let Some(uuid) = device.strip_prefix("/dev/disk/by-uuid/") {
            return Ok(MountedDevice::Uuid(uuid.to_lowercase()));
        }
        if let Some(number) = partition_number(device) {
            return Ok(MountedDevice::Number(number));
        }
        bail!(
            Refused,
            "the host key {path} is on {device:?} (at {at}), which names no partition by its label, UUID or number"
        )
    }
}

/// The number of the partition of an SD card, such as 2 for `/dev/mmcblk0p2`; `None` for another device.
fn partition_number(device: &str) -> Option<u32> {
    let (_disk, number) = device.strip_prefix("/dev/mmcblk")?.split_once('p')?;
    number.parse().ok()
}

/// The item whose path is the longest one that contains `path`; `None` where no item contains `path`.
fn find_innermost<'a, T>(items: &'a [T], path_of: impl Fn(&T) -> &String, path: &str) -> Option<&'a T> {
    let containing = items.iter().filter(|item| rest_below(path_of(item), path).is_some());
    containing.max_by_key(|item| path_of(item).len())
}

/// The rest of `path` below `folder`, with a `/` in front; `/` for `folder` itself, `None` for a path elsewhere.
fn rest_below<'a>(folder: &str, path: &'a str) -> Option<&'a str> {
    let rest = path.strip_prefix(folder.trim_end_matches('/'))?;
    match rest {
        "" => Some("/"),
        _ => rest.starts_with('/').then_some(rest),
    }
}

/// Whether `path` is below `folder`, and not `folder` itself.
fn is_inside(folder: &str, path: &str) -> bool {
    rest_below(folder, path).is_some_and(|rest| rest != "/")
}

/// `path` without empty parts and without `.`.
///
/// # Errors
/// `Refused` for `/`, for a relative path, and for one with `..` or control characters.
fn normalize(path: &str) -> Result<String> {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>();
    let is_absolute = path.starts_with('/') && !parts.is_empty();
    if !is_absolute || parts.contains(&"..") || path.chars().any(char::is_control) {
        bail!(Refused, "the configuration of the host has a file at {path:?}, which is no plain path");
    }
    Ok(parts.iter().map(|part| format!("/{part}")).collect())
}

/// The label for `name` in `/dev/disk/by-label`, where udev writes special characters as `\x20`.
fn unescape_label(name: &str) -> String {
    let mut parts = name.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2).unwrap_or_default();
        if let Ok(byte) = u8::from_str_radix(digits, 16) {
            bytes.push(byte);
            bytes.extend_from_slice(&part.as_bytes()[digits.len()..]);
        } else {
            bytes.extend_from_slice(b"\\x");
            bytes.extend_from_slice(part.as_bytes());
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
