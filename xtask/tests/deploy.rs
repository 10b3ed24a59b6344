//! Real deploys: deploy-rs and Nix on this machine, and hosts with their own sshd and store.

#[path = "deploy/cuts.rs"]
mod cuts;
#[path = "deploy/evaluated.rs"]
mod evaluated;
#[path = "deploy/goals.rs"]
mod goals;
#[path = "deploy/hostile.rs"]
mod hostile;
#[path = "deploy/line.rs"]
mod line;
#[path = "deploy/machine.rs"]
mod machine;
#[path = "deploy/many.rs"]
mod many;
#[path = "deploy/proof.rs"]
mod proof;
#[path = "deploy/scene.rs"]
mod scene;
#[path = "deploy/status.rs"]
mod status;
#[path = "deploy/stopped.rs"]
mod stopped;
mod support;
#[path = "deploy/users.rs"]
mod users;
