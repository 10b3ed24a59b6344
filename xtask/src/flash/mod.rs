//! Writing a card so that nothing is lost and nothing is left to chance.
//!
//! The command makes a [`Plan`]; [`write()`] hands it to the writer, a process of its own that is
//! elevated if need be; there [`serve`] runs the engine.

mod buffer;
mod card;
mod decode;
mod elevate;
mod engine;
#[cfg(test)]
mod faults;
mod plan;
mod transfer;
mod writer;

pub use elevate::{COMMAND, check_access, write};
pub use engine::Report;
pub use plan::Plan;
pub use writer::serve;
