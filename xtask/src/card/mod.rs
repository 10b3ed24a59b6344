//! What is on a card, what goes onto it, and the writer that puts it there.

pub mod disk;
pub mod ext4;
pub mod flash;
pub mod image;
pub mod inspect;
pub mod worker;
