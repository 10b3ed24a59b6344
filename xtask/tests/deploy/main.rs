//! Real deploys: deploy-rs and Nix on this machine, and hosts with their own sshd and store.

mod cuts;
mod evaluated;
mod goals;
mod hostile;
mod line;
mod machine;
mod many;
mod proof;
mod scene;
mod status;
mod stopped;
#[path = "../support/mod.rs"]
mod support;
mod users;
