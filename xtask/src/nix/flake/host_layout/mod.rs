//! Where a host reads its host key, by its evaluated configuration.

use std::fmt;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::bail;
use crate::base::Plain;

/// How often a path may be moved; more moves are a circle.
const MAX_MOVES: usize = 16;

/// The parts of a host's configuration that decide where it reads its host key. `layout.nix` evaluates them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostLayout {
    /// The paths of the ed25519 keys of sshd; `None` if unknown.
    #[serde(default)]
    host_keys: Option<Vec<String>>,
    #[serde(default)]
    mounts: Vec<Mount>,
    /// The paths that are kept elsewhere: by bind mounts, by impermanence, or as links.
    #[serde(default)]
    moved: Vec<Moved>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mount {
    at: String,
    device: Option<String>,
    #[serde(rename = "type")]
    file_system: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Moved {
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
    /// `None` where the key is not in a folder `etc/ssh`.
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
    /// The place of the host key; `None` where the configuration does not say.
    ///
    /// # Errors
    /// `Refused` with the reason where no partition of a card can have the key.
    pub fn key_place(&self) -> Result<Option<KeyPlace>> {
        let Some(keys) = self.host_keys.as_ref().filter(|_| !self.mounts.is_empty()) else { return Ok(None) };
        let Some(read) = keys.first() else {
            bail!(Refused, "services.openssh.hostKeys of the host has no ed25519 key");
        };
        let kept = self.kept_at(read)?;
        let Some(mount) = innermost(&self.mounts, |mount| &mount.at, &kept) else {
            bail!(Refused, "the configuration of the host mounts no file system for the host key {read}");
        };
        let device = mount.device(&kept)?;
        let path = below(&mount.at, &kept).filter(|path| *path != "/");
        let Some(path) = path else {
            bail!(Refused, "the host key {read} is where a file system is mounted")
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

    /// The path where the host keeps the file that it reads at `path`.
    fn kept_at(&self, path: &str) -> Result<String> {
        let mut current = normal(path)?;
        for _ in 0..MAX_MOVES {
            let Some(moved) = innermost(&self.moved, |moved| &moved.path, &current) else {
                return Ok(current);
            };
            // A file system that is mounted inside the moved folder stays where it is.
            let inner = innermost(&self.mounts, |mount| &mount.at, &current);
            if inner.is_some_and(|mount| below(&moved.path, &mount.at).is_some_and(|rest| rest != "/")) {
                return Ok(current);
            }
            let rest = below(&moved.path, &current).unwrap_or_default();
            current = normal(&format!("{}{rest}", moved.source))?;
        }
        bail!(Refused, "the configuration of the host moves {path} in a circle")
    }

    /// The folder that the root of the file system of `mount` must have: that which leads to the store.
    fn required_folder(&self, mount: &Mount) -> Option<&'static str> {
        let store = innermost(&self.mounts, |mount| &mount.at, "/nix/store")?;
        match mount.at.as_str() {
            "/" if store == mount => Some("nix"),
            "/nix" if store == mount => Some("store"),
            _ => None,
        }
    }
}

impl Mount {
    /// The partition, by its device. Errors name `path`, the file on it.
    fn device(&self, path: &str) -> Result<MountedDevice> {
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
        let number = |device: &str| device.strip_prefix("/dev/mmcblk")?.split_once('p')?.1.parse().ok();
        if let Some(label) = device.strip_prefix("/dev/disk/by-label/") {
            return Ok(MountedDevice::Label(unescape(label)));
        }
        if let Some(uuid) = device.strip_prefix("/dev/disk/by-uuid/") {
            return Ok(MountedDevice::Uuid(uuid.to_lowercase()));
        }
        match number(device) {
            Some(number) => Ok(MountedDevice::Number(number)),
            None => bail!(
                Refused,
                "the host key {path} is on {device:?} (at {at}), which names no partition by its label, UUID or number"
            ),
        }
    }
}

/// The item whose path is the longest one that contains `path`.
fn innermost<'a, T>(items: &'a [T], path_of: impl Fn(&T) -> &String, path: &str) -> Option<&'a T> {
    items.iter().filter(|item| below(path_of(item), path).is_some()).max_by_key(|item| path_of(item).len())
}

/// The rest of `path` below `folder`, with its `/`; `None` for a path elsewhere.
fn below<'a>(folder: &str, path: &'a str) -> Option<&'a str> {
    let rest = path.strip_prefix(folder.trim_end_matches('/'))?;
    match rest {
        "" => Some("/"),
        _ => rest.starts_with('/').then_some(rest),
    }
}

/// `path` without empty parts and without `.`.
fn normal(path: &str) -> Result<String> {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>();
    if !path.starts_with('/')
        || parts.is_empty()
        || parts.contains(&"..")
        || path.chars().any(char::is_control)
    {
        bail!(Refused, "the configuration of the host has its key at {path:?}, which is no plain path");
    }
    Ok(parts.iter().map(|part| format!("/{part}")).collect())
}

/// The label that `name` of `/dev/disk/by-label` stands for: udev writes special characters as `\x20`.
fn unescape(name: &str) -> String {
    let mut parts = name.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.extend(byte.map_or_else(|| b"\\x".to_vec(), |byte| vec![byte]));
        bytes.extend_from_slice(&part.as_bytes()[byte.map_or(0, |_| 2)..]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
