//! Hosts to deploy to without a Pi: namespaces of this machine, each with a real sshd and its own Nix store, and a
//! flake that describes them. The suite `deploy` and `bench deploy` use them.

mod files;
mod hosts_flake;
mod namespace_host;

pub use hosts_flake::{Connection, HostsFlake, Profile};
pub use namespace_host::NamespaceHost;
