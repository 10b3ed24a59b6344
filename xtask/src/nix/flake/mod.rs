//! What a flake offers: hosts with a NixOS configuration, an image or a deploy node.

mod catalogue;
mod host_image;
mod host_layout;
mod names;
mod suggest;

pub use catalogue::{Catalogue, Host, no_node_error};
pub use host_image::HostImage;
pub use host_layout::{HostLayout, KeyPlace, MountedDevice};

/// The Nix function from the outputs of a flake to the names and images in them; see `hosts.nix`.
const HOSTS: &str = concat!("(", include_str!("hosts.nix"), ") (", include_str!("layout.nix"), ")");
