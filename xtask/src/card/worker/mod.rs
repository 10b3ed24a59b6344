//! What touches a card is done by the worker: this same binary in a process of its own, elevated where the
//! user may not open the card. It is handed a [`Job`](job::Job) and answers.

mod caller;
mod claim;
mod elevate;
mod job;
mod letter;
mod needs;
mod serve;
mod table;

pub use elevate::{check_access, run};
pub use job::{Against, Capacity, Comparing, Inspecting};
pub use needs::Access;
pub use serve::serve;
