//! What the user names to get an image: a host, or an attribute of the flake.

use std::fmt::{self, Display};

use super::host_name::HostName;

/// Whose image is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageSource {
    /// The image of a host, at the first place that has one.
    Host(HostName),
    /// The image at an attribute path of the flake, as Nix reads it.
    Attribute(String),
}

impl ImageSource {
    /// The host that the image is for; of an attribute, as far as its path names one.
    pub fn host(&self) -> Option<HostName> {
        match self {
            Self::Host(host) => Some(host.clone()),
            Self::Attribute(path) => host_of(path),
        }
    }
}

/// The host in `nixosConfigurations.HOST.…`, `images.HOST` or `packages.SYSTEM.HOST-sdImage`.
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
    fn hosts_of_attributes() {
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
