//! Deploys with the real deploy-rs and Nix, to hosts in namespaces with their own sshd and store.

mod boot_checks;
mod boot_scans;
mod builders;
mod copying;
mod copying_accounts;
mod evaluation;
mod fixture;
mod goals;
mod host_keys;
mod hostile;
mod interrupts;
mod link_cuts;
mod machine;
mod made_nodes;
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
mod users;
mod verdicts;
