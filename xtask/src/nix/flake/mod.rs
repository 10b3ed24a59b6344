//! What a flake offers: hosts with a NixOS configuration, an image or a deploy node.

mod catalogue;
mod host_image;
mod host_layout;
mod names;
mod suggest;

pub use catalogue::{Catalogue, Host, no_node_error};
pub use host_image::HostImage;
pub use host_layout::{HostLayout, KeyPlace, MountedDevice};

/// The Nix function that reads names and images out of the outputs of a flake; see the file.
const HOSTS: &str = concat!("(", include_str!("hosts.nix"), ") (", include_str!("layout.nix"), ")");
