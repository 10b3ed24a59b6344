//! SD images for real: the assembler run on this machine, and a whole image built by Nix under emulation.

#[path = "build/assembler.rs"]
mod assembler;
#[path = "build/image.rs"]
mod image;
