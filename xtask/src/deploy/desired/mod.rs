//! The desired state: the node of the flake, combined with the command line.

mod node;
mod nodes;
mod overrides;
mod pinned_flake;
mod ssh_options;
mod sudo;
mod trust;

pub use nodes::Nodes;
pub use overrides::Overrides;
pub use trust::Trust;
