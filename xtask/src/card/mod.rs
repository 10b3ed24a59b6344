//! Cards: finding them, the images that are written to them, the writing, and the inspection of what they hold.

pub mod disk;
pub mod ext4;
pub mod feed;
pub mod flash;
pub mod image;
pub mod inspect;
pub mod saved_state;
pub mod state_image;
pub mod worker;
