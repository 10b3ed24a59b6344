//! What a flake offers: hosts with an SD image (`packages.<system>.<host>-sdImage`) or a deploy node.

mod catalogue;
mod inventory;
mod suggest;

pub use catalogue::{Catalogue, Host, no_node};
