//! A real SD image, built by Nix under emulation.

#![allow(clippy::unwrap_used, reason = "helpers of a suite panic like its tests")]

mod demo;
mod slow_builds;
#[path = "../support/mod.rs"]
mod support;
