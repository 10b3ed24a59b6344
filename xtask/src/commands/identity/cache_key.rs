//! `identity cache-key`: shows the public half of the key that signs what is deployed, and makes the key if there is
//! none.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use rustix::rand::{GetRandomFlags, getrandom};
use schemars::JsonSchema;
use serde::Serialize;

use crate::base::{Context, JsonResult, state};
use crate::cli::identity::IdentityCacheKey;
use crate::identity::{self, CacheKey};
use crate::{bail, nix, ui};

/// The JSON result of `identity cache-key`.
#[derive(Serialize, JsonSchema)]
pub struct IdentityCacheKeyResult {
    name: String,
    /// `NAME:BASE64`, which hosts trust by `nix.settings.trusted-public-keys`.
    public: String,
    /// The file of the private key.
    file: PathBuf,
    /// Whether the key was made now.
    made: bool,
}

impl JsonResult for IdentityCacheKeyResult {}

pub fn run(cx: &Context, args: &IdentityCacheKey) -> Result<()> {
    let file = CacheKey::path(&cx.state);
    let found = CacheKey::of_project(&cx.state)?;
    let made = found.is_none();
    let key = match found {
        Some(key) => check_name(key, args)?,
        None => make(cx, args)?,
    };
    if cx.json {
        let (name, public) = (key.name().to_owned(), key.public().to_owned());
        return ui::print_json(&IdentityCacheKeyResult { name, public, file, made });
    }
    if made {
        cx.note(format!(
            "made the cache key {}: hosts trust what it signs once their configuration has its public half",
            key.name()
        ));
    }
    ui::print_verbatim(key.public())
}

/// Refuses a key of another name than the user asks for.
fn check_name(key: CacheKey, args: &IdentityCacheKey) -> Result<CacheKey> {
    match &args.name {
        Some(name) if name != key.name() => bail!(
            Refused, "the cache key of this project is called {}, not {name}", key.name();
            hint: "leave out --name"
        ),
        _ => Ok(key),
    }
}

/// Makes the key of the project.
fn make(cx: &Context, args: &IdentityCacheKey) -> Result<CacheKey> {
    nix::require_any(&cx.launcher)?;
    // Git then ignores the state folder, which may be beside the flake.
    state::create_private_folder(&cx.state)?;
    let file = CacheKey::path(&cx.state);
    identity::keep_out_of_stores(&cx.launcher, file.parent().unwrap_or(&file), &cx.flake)?;
    let name = args.name.clone().map_or_else(random_name, Ok)?;
    CacheKey::keep(&cx.state, nix::generate_key(&cx.launcher, &name)?)
}

/// A name that no other project has: Nix finds the public key of a signature by the name.
fn random_name() -> Result<String> {
    let mut bytes = [0; 4];
    getrandom(&mut bytes, GetRandomFlags::empty()).context("making a name for a key")?;
    Ok(format!("xtask-{:08x}", u32::from_ne_bytes(bytes)))
}
