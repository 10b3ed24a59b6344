//! Measuring `flash` against the programs that people use instead, on a device that is as slow as a card; the
//! assembling of an image with programs of this machine against emulated ones; and `deploy` against deploy-rs alone.
//!
//! It measures and proves nothing by its speed: the numbers are for people, and only ratios within one run
//! count. What it does insist on is that the card holds the image after each run of the tool, and that
//! each host runs what it should.

mod assembly;
mod backing_store;
mod cases;
mod closure;
mod content;
mod deploys;
mod emulation;
mod fixtures;
mod hosts;
mod image;
mod peers;
mod plan;
mod preflight;
mod runner;
mod samples;
mod stats;
mod throttle;
mod virtual_card;
mod workdir;

pub use cases::{names, select};
pub use closure::Closure;
pub use deploys::deploys;
pub use emulation::{Comparison, compare};
pub use plan::Plan;
pub use preflight::require;
pub use samples::Measurements;
pub use stats::{rows, table};
