//! The real binary on real block devices: loop devices over plain files and over a card that fails on
//! demand, and the disk of the machine itself.

#[path = "device/bad_images.rs"]
mod bad_images;
#[path = "device/card.rs"]
mod card;
#[path = "device/card_check.rs"]
mod card_check;
#[path = "device/card_reading.rs"]
mod card_reading;
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
#[path = "device/good_images.rs"]
mod good_images;
#[path = "device/growth.rs"]
mod growth;
#[path = "device/host_image.rs"]
mod host_image;
#[path = "device/identity.rs"]
mod identity;
#[path = "device/identity_faults.rs"]
mod identity_faults;
#[path = "device/identity_refusals.rs"]
mod identity_refusals;
#[path = "device/image.rs"]
mod image;
#[path = "device/interrupt.rs"]
mod interrupt;
#[path = "device/killed.rs"]
mod killed;
#[path = "device/medium.rs"]
mod medium;
#[path = "device/privileges.rs"]
mod privileges;
#[path = "device/reflash.rs"]
mod reflash;
#[path = "device/refusals.rs"]
mod refusals;
#[path = "device/rights.rs"]
mod rights;
#[path = "device/served.rs"]
mod served;
#[path = "device/stacked.rs"]
mod stacked;
#[path = "device/stalls.rs"]
mod stalls;
mod support;
#[path = "device/unfit.rs"]
mod unfit;
#[path = "device/unmounting.rs"]
mod unmounting;
#[path = "device/user.rs"]
mod user;
#[path = "device/waiting.rs"]
mod waiting;
