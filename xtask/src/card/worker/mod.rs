//! The worker: this same binary in a process of its own, the only one that writes cards, or reads more of them than
//! their tables and labels. It is elevated where the user may not open the card. It receives a [`Job`](job::Job) and
//! sends back the answer.

mod caller;
mod claim;
mod elevate;
mod job;
mod needs;
mod request;
mod rescan;
mod serve;

pub use elevate::{check_access, run, run_fed};
pub use job::{Against, CapacityJob, CompareJob, InspectJob};
pub use needs::Access;
pub use serve::serve;
