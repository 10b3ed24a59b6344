//! What a flake offers: hosts with a NixOS configuration, an image or a deploy node.

mod answer;
mod attribute_path;
mod catalogue;
mod catalogue_at_once;
mod find_image;
mod host_image;
mod host_layout;
mod names;
mod no_image;
mod outputs;
mod unknown_name;

pub use catalogue::{Catalogue, Host, no_node_error};
pub use host_image::{HostImage, Place};
pub use host_layout::{HostLayout, HostLogins, HostWifi, KeyPlace, LoginUser, MountedDevice};
pub use no_image::iso_error;
pub use outputs::{BrokenOutput, Outputs};

/// The Nix function from the outputs of a flake to the names and images in them; see `hosts.nix`.
const HOSTS: &str = concat!(
    "(",
    include_str!("hosts.nix"),
    ") (",
    include_str!("values.nix"),
    ") ((",
    include_str!("layout.nix"),
    ") (",
    include_str!("logins.nix"),
    ") (",
    include_str!("wifi.nix"),
    ")) (",
    include_str!("stock_variants.nix"),
    ") (",
    include_str!("image_lists.nix"),
    ")"
);
