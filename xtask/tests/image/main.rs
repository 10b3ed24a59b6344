//! The assembler of SD images, on this machine and without Nix: what it makes, that it makes the same bytes
//! everywhere, and that the next image differs little from the last.

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

mod assembler;
mod delta;
mod firmware;
mod killed;
mod sameness;
mod script;
#[path = "../support/mod.rs"]
mod support;
