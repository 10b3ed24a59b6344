//! Whether the host would boot the new system: checked before anything is copied, by the rules that `card inspect`
//! applies to a card.

mod built;
mod check;
mod faults;
mod no_trial;

pub use check::{BootOutlook, add_boot_outlook, check_boot};
pub use faults::BootFault;
pub use no_trial::{cannot_try_hint, cannot_try_message, trial_remedy};
