//! What keeps several hosts from being deployed to by one command. It is found before anything is built.

use anyhow::Result;

use super::gather::Found;
use crate::failure::{Kind, kind};

/// Looks at the hosts that were found. A host that is broken in the flake is its own affair; one that the flake does not
/// have is a slip of the user, who may have meant any.
///
/// # Errors
/// Of `Usage` for a host that the flake does not have.
pub fn check(found: &[Result<Found>]) -> Result<()> {
    let errors = found.iter().filter_map(|found| found.as_ref().err());
    let unknown = errors.filter(|error| kind(error) == Kind::Usage).map(|error| format!("{error:#}"));
    let unknown = unknown.collect::<Vec<_>>();
    if !unknown.is_empty() {
        return Err(Kind::Usage.error(format!("{}; nothing was deployed", unknown.join("\n  "))));
    }
    Ok(())
}
