//! What is meant: the node of the flake, joined with the command line.

mod node;
mod overrides;
mod target;

pub use node::Nodes;
pub use overrides::Overrides;
pub use target::{Connection, Target};
