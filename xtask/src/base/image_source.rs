//! The source of an image, as the user names it: a host, or an attribute of the flake.

use std::fmt::{self, Display};

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
}

/// The host in `nixosConfigurations.HOST.…`, `images.HOST` or `packages.SYSTEM.HOST-sdImage`; `None` for other paths.
fn host_of(path: &str) -> Option<HostName> {
    let parts = path.split('.').map(|part| part.trim_matches('"')).collect::<Vec<_>>();
    match parts[..] {
        ["nixosConfigurations", host, ..] | ["images", host] => Some(host.into()),
        ["packages", _, package] => package.strip_suffix("-sdImage").map(HostName::from),
        _ => None,
    }
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
            ("images.pi", Some("pi")),
            ("packages.aarch64-linux.pi-sdImage", Some("pi")),
            ("packages.aarch64-linux.default", None),
            ("image", None),
        ] {
            assert_eq!(ImageSource::Attribute(path.into()).host(), host.map(HostName::from), "{path}");
        }
    }
}
