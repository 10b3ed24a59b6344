//! Trials: a new system is booted once, and becomes the default of the boot menu only once it has proved itself.

mod words;

pub use words::{cell, remarks};
