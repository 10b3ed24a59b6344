//! The commands and outputs of README.md and docs/: run, and compared with what they print.

#![allow(clippy::unwrap_used, reason = "helpers of a suite panic like its tests")]

mod age;
#[path = "../image/board_layouts.rs"]
#[allow(dead_code, reason = "the suite image uses the rest")]
mod board_layouts;
#[path = "../deploy/cache_server.rs"]
#[allow(dead_code, reason = "the suite deploy uses the rest")]
mod cache_server;
#[path = "../device/card.rs"]
#[allow(dead_code, reason = "the suite device uses the rest")]
mod card;
mod card_of_pi_5;
mod ci;
mod clone;
#[path = "../image/content.rs"]
#[allow(dead_code, reason = "the suite image uses the rest")]
mod content;
mod demo;
mod deploy;
#[path = "../device/fake_flake.rs"]
#[allow(dead_code, reason = "the suite device uses the rest")]
mod fake_flake;
#[path = "../cli/fake_nix.rs"]
#[allow(dead_code, reason = "the suite cli uses the rest")]
mod fake_nix;
#[path = "../deploy/fixture.rs"]
#[allow(dead_code, reason = "the suite deploy uses the rest")]
mod fixture;
mod flash;
#[path = "../device/host_image.rs"]
#[allow(dead_code, reason = "the suite device uses the rest")]
mod host_image;
#[path = "../device/image.rs"]
#[allow(dead_code, reason = "the suite device uses the rest")]
mod image;
mod languages;
#[path = "../deploy/machine.rs"]
#[allow(dead_code, reason = "the suite deploy uses the rest")]
mod machine;
mod manual;
mod matching;
mod new_host;
#[path = "../cli/new_host_fixture.rs"]
#[allow(dead_code, reason = "the suite cli uses the rest")]
mod new_host_fixture;
#[path = "../deploy/new_pi.rs"]
mod new_pi;
mod nix;
mod page;
mod pi;
mod restore;
mod scene;
#[path = "../image/script.rs"]
#[allow(dead_code, reason = "the suite image uses the rest")]
mod script;
#[path = "../support/mod.rs"]
mod support;
mod uninstall;
mod up;
