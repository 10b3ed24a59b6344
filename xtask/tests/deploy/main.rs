//! Deploys with the real deploy-rs and Nix, to hosts in namespaces with their own sshd and store; and the way there
//! from a card.

mod boot_checks;
mod boot_scans;
mod broken_hosts;
mod builders;
mod cache_faults;
mod cache_kinds;
mod cache_server;
mod cached_fleet;
#[path = "../device/card.rs"]
#[allow(dead_code, reason = "the suite device uses the rest")]
mod card;
mod copying;
mod copying_accounts;
mod evaluation;
mod failed_activations;
#[path = "../device/faulty.rs"]
#[allow(dead_code, reason = "the suite device uses the rest")]
mod faulty;
mod fixture;
mod fleet;
mod foreign_daemon;
#[path = "../device/fuse_card.rs"]
#[allow(dead_code, reason = "the suite device uses the rest")]
mod fuse_card;
#[path = "../device/fuse_card_fs.rs"]
mod fuse_card_fs;
mod goals;
#[path = "../device/host_image.rs"]
#[allow(dead_code, reason = "the suite device uses the rest")]
mod host_image;
mod host_keys;
mod hostile;
#[path = "../device/image.rs"]
#[allow(dead_code, reason = "the suite device uses the rest")]
mod image;
mod interrupts;
mod kept;
mod link_cuts;
mod machine;
mod made_nodes;
mod new_pi;
mod releases;
mod rollback;
mod several_hosts;
mod shapes;
mod ssh_mux;
mod status;
#[path = "../support/mod.rs"]
mod support;
mod trial_faults;
mod trials;
mod trust;
mod up;
mod users;
mod verdicts;
mod via_cache;
mod waves;
