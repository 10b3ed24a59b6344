//! Writing a card so that nothing is lost and nothing is left to chance.
//!
//! The command makes a [`Plan`]; [`write()`] hands it to the writer, a process of its own that is
//! elevated if need be; there [`serve`] runs the engine.

mod body;
mod buffer;
mod capacity;
mod card;
mod elevate;
mod engine;
#[cfg(test)]
mod exact;
mod fate;
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
mod writer;

pub use elevate::{COMMAND, check_access, write};
pub use looks::Mode;
pub use plan::Plan;
pub use report::{Report, Seconds};
pub use writer::serve;
