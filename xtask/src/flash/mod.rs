//! Writing a card so that nothing is lost and nothing is left to chance.

mod buffer;
mod card;
mod decode;
mod engine;
#[cfg(test)]
mod faults;
mod transfer;

pub use card::{Card, FileCard};
pub use engine::{Report, write_image};
