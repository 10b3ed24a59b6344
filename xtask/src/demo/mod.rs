//! The demo: a real `AArch64` image made of Debian's packages, and the virtual card it is written to.

mod fetch;
mod parts;
mod stage;

pub use stage::stage;
