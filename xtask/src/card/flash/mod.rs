//! Writing a card so that nothing is lost and nothing is left to chance.
//!
//! The command makes a [`Plan`]; the worker, a process of its own that is elevated if need be, runs the
//! engine: [`write_image`].

mod body;
mod buffer;
mod capacity;
mod card;
mod card_io;
mod compare;
mod comparison;
mod delta;
mod engine;
#[cfg(test)]
mod engine_fault_tests;
#[cfg(test)]
mod engine_tests;
#[cfg(test)]
mod fake_card;
mod io_monitor;
mod payload;
mod pipeline;
mod plan;
mod report;
mod task;

pub use capacity::check_alone as check_capacity;
pub use card::FileCard;
pub use compare::{compare, compare_hash};
pub use comparison::Comparison;
pub use delta::Mode;
pub use engine::write_image;
pub use io_monitor::Rates;
pub use payload::{Added, Change, PayloadWriter};
pub use plan::{PayloadPlan, Plan};
pub use report::{Report, Seconds};
pub use task::Content;
