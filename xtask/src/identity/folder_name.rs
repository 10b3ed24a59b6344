//! The names of hosts that can be names of folders.

use crate::base::HostName;

/// Whether `host` can be the name of a folder of keys, and a name in `known_hosts`.
pub fn can_name_folder(host: &HostName) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !host.is_empty()
        && !host.starts_with(['.', '-'])
        && host.chars().all(is_allowed)
        && *host != *"known_hosts"
}
