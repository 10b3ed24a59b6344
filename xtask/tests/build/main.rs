//! SD images for real: a whole image built by Nix under emulation.

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

mod demo;
#[path = "../support/mod.rs"]
mod support;
