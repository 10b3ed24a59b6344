//! Writing a card so that nothing is lost and nothing is left to chance.
//!
//! The command makes a [`Plan`]; the worker, a process of its own that is elevated if need be, runs the
//! engine: [`write_image`].

mod addition;
mod body;
mod buffer;
mod capacity;
mod card;
mod compare;
mod comparison;
mod engine;
#[cfg(test)]
mod exact;
#[cfg(test)]
mod faults;
mod looks;
mod medium;
#[cfg(test)]
mod memory;
mod pipeline;
mod plan;
mod pulse;
mod report;
mod task;

pub use addition::{Added, Addition, Change};
pub use capacity::check_alone as check_capacity;
pub use card::FileCard;
pub use compare::{compare, compare_hash};
pub use comparison::Comparison;
pub use engine::write_image;
pub use looks::Mode;
pub use plan::{Carried, Plan};
pub use pulse::Rates;
pub use report::{Report, Seconds};
pub use task::Content;
