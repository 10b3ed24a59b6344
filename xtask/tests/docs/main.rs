//! The commands and outputs of README.md and docs/: run, and compared with what they print.

#![allow(clippy::unwrap_used, reason = "helpers of a suite panic like its tests")]

#[path = "../deploy/cache_server.rs"]
#[allow(dead_code, reason = "the suite deploy uses the rest")]
mod cache_server;
mod card;
mod ci;
mod demo;
mod deploy;
#[path = "../deploy/fixture.rs"]
#[allow(dead_code, reason = "the suite deploy uses the rest")]
mod fixture;
mod languages;
#[path = "../deploy/machine.rs"]
#[allow(dead_code, reason = "the suite deploy uses the rest")]
mod machine;
mod matching;
mod nix;
mod page;
mod pi;
mod scene;
#[path = "../support/mod.rs"]
mod support;
mod uninstall;
