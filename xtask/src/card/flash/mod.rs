//! Writing an image to a card, so that the card afterwards holds the image or refuses to boot.
//!
//! The command makes a [`Plan`]; the worker, a process of its own that is elevated if need be, runs the
//! engine: [`write_image`].

mod body;
mod buffer;
mod capacity;
mod card;
mod card_io;
mod compare;
#[cfg(test)]
mod compare_tests;
mod comparison;
mod delta;
mod engine;
#[cfg(test)]
mod engine_fault_tests;
#[cfg(test)]
mod engine_tests;
#[cfg(test)]
mod fake_card;
mod flash_job;
mod io_monitor;
mod payload;
mod pipeline;
mod plan;
mod plans;
mod report;
mod written_payload;

pub use capacity::check_alone as check_capacity;
pub use card::FileCard;
pub use compare::{compare, compare_hash};
pub use comparison::Comparison;
pub use delta::Mode;
pub use engine::write_image;
pub use flash_job::ImageContent;
pub use io_monitor::Rates;
pub use payload::{Change, PayloadWriter};
pub use plan::{FILE_SHA256, PayloadPlan, Plan};
pub use plans::CardPlans;
pub use report::{Report, Seconds};
pub use written_payload::WrittenPayload;
