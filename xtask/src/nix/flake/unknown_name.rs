//! The error for a name that a flake does not have.

use crate::base::is_disk_name;
use crate::failure;

/// The error `message` for an unknown `name`; the hint is that `name` is the name of a disk, if it is one, else the
/// `nearest` known name, if any, or how to name a host of another flake, if `name` may be one.
pub(super) fn unknown_name_error(message: &str, name: &str, nearest: Option<&str>) -> anyhow::Error {
    match nearest {
        _ if is_disk_name(name) => failure!(
            Usage(UnknownHost), "{message}";
            hint: "if you mean the card /dev/{name}, name it like that; `cargo xtask devices` lists the cards"
        ),
        Some(nearest) => failure!(Usage(UnknownHost), "{message}"; hint: "did you mean '{nearest}'?"),
        None if name.starts_with('.') || name.contains(['/', ':']) => {
            failure!(Usage(UnknownHost), "{message}"; hint: "name a host of another flake as FLAKE#HOST")
        }
        None => failure!(Usage(UnknownHost), "{message}"),
    }
}

/// The first `MAX_NAMES` of `names` in one line, and the number of the others.
pub(super) fn join_names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const MAX_NAMES: usize = 40;
    let names = names.collect::<Vec<_>>();
    let more = names.len().saturating_sub(MAX_NAMES);
    let shown = names.iter().take(MAX_NAMES).copied().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}
