//! The assembler of SD images without Nix: the content, the same bytes everywhere, and small differences
//! between successive images.

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

mod assembler;
mod board_faults;
mod board_layouts;
mod content;
mod delta;
mod firmware;
mod killed;
mod levels;
mod names;
mod sameness;
mod script;
#[path = "../support/mod.rs"]
mod support;
