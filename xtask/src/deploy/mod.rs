//! Deploying: deploy-rs does the work, and what the host runs afterwards is read back from it.
//!
//! The order is: the node of the flake, the turn at the host, its state, the build, the plan with what changes,
//! the copy, a folder on the host for deploy-rs, deploy-rs itself, the state of the host on a fresh connection once
//! it has finished, and the verdict. **Invariant**: success is only ever concluded from states that were read on
//! the host.

mod act;
mod activation;
mod clash;
mod closure;
mod gather;
mod group;
mod host;
mod laps;
mod meant;
mod order;
mod outcome;
mod plan;
mod status;
mod turn;
mod verdict;

pub use act::act;
pub use activation::require;
pub use gather::{build, compare, find, gather, take_turn};
pub use group::{Member, Reached, deployable, each_once, table, together, worst};
pub use laps::Laps;
pub use meant::Overrides;
pub use order::{Afterwards, Goal, Order};
pub use outcome::Outcome;
pub use plan::Plan;
pub use status::{History, Status, status_table, statuses, unseen};
