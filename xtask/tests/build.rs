//! SD images for real: the assembler run on this machine, and a whole image built by Nix under emulation.

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

#[path = "build/assembler.rs"]
mod assembler;
#[path = "build/demo.rs"]
mod demo;
#[path = "build/firmware.rs"]
mod firmware;
#[path = "build/image.rs"]
mod image;
mod support;
