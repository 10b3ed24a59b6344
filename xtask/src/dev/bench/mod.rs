//! Benchmarks: `flash` against its alternatives on a device as slow as a card; a flash of several such cards against
//! one; the assembly of an image with native against emulated programs; the way from a small change of a host to its
//! card; `deploy` against deploy-rs alone; `hosts` against a bare evaluation of names, and `sd-image` of an image that
//! is there against `nix build`; hosts evaluated together against each on its own; and a reboot on trial against one
//! without.
//!
//! Benchmarks pass at any speed: the numbers are for people, and only ratios within one run are meaningful. They fail
//! where the card does not hold the image after a run of the tool, or a host does not run the deployed system.

mod assembly;
mod backing_store;
mod cards;
mod cases;
mod closure;
mod content;
mod deploys;
mod edit;
mod edit_phases;
mod emulation;
mod evaluations;
mod fixtures;
mod fleet;
mod hosts;
mod image;
mod image_there;
mod in_turn;
mod listing;
mod peers;
mod plan;
mod preflight;
mod runner;
mod samples;
mod stats;
mod throttle;
mod trial_cost;
mod virtual_card;
mod workdir;

pub use cards::cards;
pub use cases::{names, select};
pub use closure::Closure;
pub use deploys::deploys;
pub use edit::{EditCost, EditPlan, edit_table};
pub use emulation::{Comparison, compare};
pub use evaluations::evaluations;
pub use fleet::{FleetResult, Payload, fleet, measure_fleet};
pub use listing::listings;
pub use plan::Plan;
pub use preflight::require;
pub use samples::Measurements;
pub use stats::{Row, rows, table};
pub use trial_cost::{ROUNDS, TrialCost, trial_cost};
