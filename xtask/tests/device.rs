//! The real binary on real block devices: loop devices over plain files and over a card that fails on
//! demand, and the disk of the machine itself.

#[path = "device/bad_images.rs"]
mod bad_images;
#[path = "device/card.rs"]
mod card;
#[path = "device/confirmed.rs"]
mod confirmed;
#[path = "device/elevation.rs"]
mod elevation;
#[path = "device/faults.rs"]
mod faults;
#[path = "device/faulty.rs"]
mod faulty;
#[path = "device/flash.rs"]
mod flash;
#[path = "device/image.rs"]
mod image;
#[path = "device/interrupt.rs"]
mod interrupt;
#[path = "device/refusals.rs"]
mod refusals;
mod support;
#[path = "device/unmounting.rs"]
mod unmounting;
#[path = "device/waiting.rs"]
mod waiting;
