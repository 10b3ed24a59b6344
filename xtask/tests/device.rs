//! The real binary on real block devices: loop devices, and the disk of the machine itself.

mod support;

#[path = "device/refusals.rs"]
mod refusals;
