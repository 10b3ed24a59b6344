//! The image of a host.

use std::fmt::{self, Display};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::attribute_path::attribute_path;
use super::host_layout::HostLayout;
use crate::base::{Context, ImageSource};
use crate::nix::Installable;

/// The place in a flake where an image was found. `hosts.nix` has the order of the places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// `packages.SYSTEM.HOST-sdImage`.
    Convention,
    /// `images.HOST`.
    Images,
    /// A package whose name is that of the host, with or without an ending such as `-image`.
    Package,
    /// `system.build` of the host's own configuration.
    Configuration,
    /// A package such as `sdImage`, in a flake with one host.
    Only,
    /// `system.build` of another configuration, such as `HOST-image`.
    Companion,
    /// The SD card image that nixpkgs makes of the host's configuration.
    Stock,
    /// The attribute that the user named.
    Attribute,
}

/// The derivation of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostImage {
    pub place: Place,
    /// The attribute path in the flake.
    pub(super) path: Vec<String>,
    /// The name of the derivation.
    pub(super) name: String,
    /// The system that builds the derivation, if known.
    pub system: Option<String>,
    /// The store path of the derivation.
    pub(super) derivation: String,
    /// The path of the image's file in the output, if the flake names it.
    pub file: Option<String>,
    /// Where the host reads its key, if the image has a configuration.
    #[serde(default)]
    pub layout: Option<HostLayout>,
}

impl HostImage {
    /// The derivation of the image for `nix build`, with the attribute as its name in messages.
    pub fn installable(&self, cx: &Context) -> Installable {
        Installable::derivation(&self.derivation).with_name(format!("{}#{self}", cx.flake))
    }

    /// Where the image is, for a table: the attribute path, or only the system where the image is at the place of the
    /// convention, which follows from the host and the system.
    pub fn summary(&self) -> String {
        match (self.place, &self.system) {
            (Place::Convention, Some(system)) => system.clone(),
            _ => self.to_string(),
        }
    }

    /// A note on the place of the image of `source`; `None` where the place is the convention, or named by the user.
    pub fn remark(&self, source: &ImageSource) -> Option<String> {
        match self.place {
            Place::Convention | Place::Attribute => None,
            Place::Companion => Some(format!(
                "{source} has no image of its own; using the image of another configuration: {self}"
            )),
            Place::Stock => Some(format!(
                "{source} has no image of its own; using the SD card image that nixpkgs makes of its configuration: \
                 {self}"
            )),
            _ => Some(format!("the image of {source} is {self}")),
        }
    }
}

impl Display for HostImage {
    /// The attribute path, as Nix and `FLAKE#ATTRIBUTE` read it.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        // The path that the user named has one part, which is written for Nix already.
        match self.place {
            Place::Attribute => f.write_str(&self.path.join(".")),
            _ => f.write_str(&attribute_path(&self.path)),
        }
    }
}
