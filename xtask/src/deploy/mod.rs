//! Deploying: deploy-rs does the work, and what the host runs afterwards is read back from it.
//!
//! The order is: the node of the flake, the turn at the host, its state, the build, the plan with what changes,
//! the copy, a folder on the host for deploy-rs, deploy-rs itself, the state of the host on a fresh connection once
//! it has finished, and the verdict. **Invariant**: success is only ever concluded from states that were read on
//! the host.

mod activation;
mod apply;
mod closure;
mod desired;
mod gather;
mod host;
mod host_conflicts;
mod host_lock;
mod multi_host;
mod options;
mod outcome;
mod plan;
mod status;
mod target;
mod timings;
mod verdict;

pub use activation::require;
pub use apply::act;
pub use desired::Overrides;
pub use gather::{build, compare, find, gather, take_turn};
pub use multi_host::{Ending, Member, deployable, each_once, table, together, worst};
pub use options::{Afterwards, DeployOptions, Goal};
pub use outcome::Outcome;
pub use plan::Plan;
pub use status::{History, Status, status_table, statuses, unseen};
pub use timings::Timings;
