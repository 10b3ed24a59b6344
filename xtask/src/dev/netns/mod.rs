//! Hosts to deploy to where there is no Pi: namespaces of this machine, each with a real sshd and a Nix store of its
//! own, and a flake that describes them. The suite `deploy` uses them, and `bench deploy`.

mod files;
mod fleet;
mod machine;

pub use fleet::Fleet;
pub use machine::Machine;
