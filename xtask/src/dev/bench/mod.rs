//! Measuring `flash` against the programs that people use instead, on a device that is as slow as a card; the
//! assembling of an image with programs of this machine against emulated ones; and `deploy` against deploy-rs alone.
//!
//! It measures and proves nothing by its speed: the numbers are for people, and only ratios within one run
//! count. What it does insist on is that the card holds the image after each run of the tool, and that
//! each host runs what it should.

mod assembly;
mod cases;
mod closure;
mod content;
mod contest;
mod crew;
mod deploys;
mod emulation;
mod figures;
mod image;
mod memory;
mod needs;
mod peers;
mod place;
mod plan;
mod runs;
mod sd;
mod shelf;
mod throttle;

pub use cases::{names, select};
pub use closure::Closure;
pub use deploys::deploys;
pub use emulation::{Comparison, compare};
pub use figures::{rows, table};
pub use needs::require;
pub use plan::Plan;
pub use runs::Measurements;
