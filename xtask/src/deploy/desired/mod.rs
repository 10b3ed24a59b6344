//! The desired state: the node of the flake, combined with the command line.

mod login_names;
mod node;
mod nodes;
mod nodes_at_once;
mod overrides;
mod pinned_flake;
mod progress;
mod settings;
mod ssh_options;
mod sudo;
mod trust;

pub use nodes::{Nodes, NodesQuery};
pub use nodes_at_once::FoundNodes;
pub use overrides::{Overrides, Purpose};
pub use settings::NodeSettings;
pub use trust::{Trust, foreign_writer_reason};
