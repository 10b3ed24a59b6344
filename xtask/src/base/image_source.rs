//! The source of an image, as the user names it: a host, or an attribute of the flake.

use std::fmt::{self, Display};

use super::attribute_path::split_attribute_path;
use super::host_name::HostName;

/// The host or the attribute that an image is built of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageSource {
    /// The image of a host, from the first attribute of the flake that has one.
    Host(HostName),
    /// The image at an attribute path of the flake, as Nix reads it.
    Attribute(String),
}

impl ImageSource {
    /// The host that the image is for; `None` for an attribute whose path names no host.
    pub fn host(&self) -> Option<HostName> {
        match self {
            Self::Host(host) => Some(host.clone()),
            Self::Attribute(path) => host_of(path),
        }
    }

    /// The host, or the attribute where that names none.
    pub fn name(&self) -> HostName {
        self.host().unwrap_or_else(|| self.to_string().into())
    }
}

/// The host in `nixosConfigurations.HOST.…`, `images.HOST` or `packages.SYSTEM.HOST-sdImage`; `None` for other paths.
/// Some flakes sort configurations by system: `nixosConfigurations.SYSTEM.HOST.…`. In others the name of a host is a
/// system, and its `config` comes next.
fn host_of(path: &str) -> Option<HostName> {
    // Nix drops a dot at the beginning: it says that the path begins at the outputs of the flake.
    let parts = split_attribute_path(path.strip_prefix('.').unwrap_or(path))?;
    let host = match parts.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["nixosConfigurations", system, host, ..] if is_system(system) && host != "config" => host,
        ["nixosConfigurations", host, ..] | ["images", host] => host,
        ["packages", _, package] => package.strip_suffix("-sdImage")?,
        _ => return None,
    };
    Some(host).filter(|host| !host.is_empty()).map(HostName::from)
}

/// Whether `name` is the double of a system, as `hosts.nix` recognizes it.
fn is_system(name: &str) -> bool {
    let Some((machine, kernel)) = name.split_once('-') else { return false };
    let armv = machine.strip_prefix("armv").and_then(|version| version.strip_suffix('l'));
    let is_arm = armv.is_some_and(|version| ["5", "5a", "6", "6a", "7", "7a"].contains(&version));
    (is_arm || ["aarch64", "i686", "riscv64", "x86_64"].contains(&machine))
        && ["linux", "darwin"].contains(&kernel)
}

impl Display for ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Host(host) => host.fmt(f),
            Self::Attribute(path) => f.write_str(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_an_attribute_names_its_host() {
        for (path, host) in [
            ("nixosConfigurations.pi.config.system.build.sdImage", Some("pi")),
            ("nixosConfigurations.aarch64-linux.pi.config.system.build.sdImage", Some("pi")),
            ("nixosConfigurations.aarch64-linux.config.system.build.sdImage", Some("aarch64-linux")),
            ("nixosConfigurations.pi-linux.config.system.build.sdImage", Some("pi-linux")),
            ("images.pi", Some("pi")),
            ("packages.aarch64-linux.pi-sdImage", Some("pi")),
            (".images.pi", Some("pi")),
            ("nixosConfigurations.\"pi.lan\".config.system.build.sdImage", Some("pi.lan")),
            ("images.\"pi.lan\"", Some("pi.lan")),
            ("images.p\"i.la\"n", Some("pi.lan")),
            ("packages.aarch64-linux.\"pi.lan-sdImage\"", Some("pi.lan")),
            ("packages.aarch64-linux.default", None),
            ("packages.aarch64-linux.-sdImage", None),
            ("nixosConfigurations.\"\".config", None),
            ("images.\"pi", None),
            ("images.pi%2Elan", None),
            ("image", None),
        ] {
            assert_eq!(ImageSource::Attribute(path.into()).host(), host.map(HostName::from), "{path}");
        }
    }
}
