//! The assembler of SD images, on this machine and without Nix: what it makes, that it makes the same bytes
//! everywhere, and that the next image differs little from the last.

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

#[path = "image/assembler.rs"]
mod assembler;
#[path = "image/delta.rs"]
mod delta;
#[path = "image/firmware.rs"]
mod firmware;
#[path = "image/killed.rs"]
mod killed;
#[path = "image/sameness.rs"]
mod sameness;
#[path = "image/script.rs"]
mod script;
mod support;
