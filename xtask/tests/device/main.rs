//! The real binary on real block devices: loop devices over plain files, loop devices over a card that fails on
//! demand, and the disks of this machine.

mod bad_images;
mod card;
mod card_check;
mod card_reading;
mod confirmed;
mod damage;
mod elevation;
mod fake_flake;
mod faults;
mod faulty;
mod flash;
mod fuse_card;
mod fuse_card_fs;
mod good_images;
mod growth;
mod host_image;
mod host_keys;
mod identity;
mod identity_faults;
mod identity_refusals;
mod image;
mod in_use;
mod interrupt;
mod killed;
mod login_keys;
mod payload;
mod picking;
mod privileges;
mod progress;
mod protected;
mod reflash;
mod refusals;
mod restore;
mod restore_ends;
mod restore_faults;
mod rights;
mod stacked;
mod stalls;
#[path = "../support/mod.rs"]
mod support;
mod unfit;
mod unmounting;
mod user;
mod waiting;
