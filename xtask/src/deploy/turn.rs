//! One deploy to a host at a time.

use anyhow::{Context as _, Result};

use crate::lock::Lock;
use crate::ui::Reporter;
use crate::{project, state};

/// The turn of this process at a host, until it is dropped or the process ends.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "holds the lock")] Lock);

impl Turn {
    /// Takes the turn at `host`; while another deploy of this project has it, that is said and waited for.
    ///
    /// # Errors
    /// `Interrupted` where the user stops the waiting.
    pub fn take(host: &str, reporter: &dyn Reporter) -> Result<Self> {
        let folder = project::state_dir().join("locks");
        state::private_folder(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let path = folder.join(format!("deploy-{}", file_name(host)));
        Lock::take(&path, &format!("another deploy to {host}"), reporter).map(Self)
    }
}

/// A host's name as part of the name of a file, no two alike: bytes that not every name of a file may have are written
/// as in a URL.
fn file_name(host: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let encoded = host
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") });
    encoded.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_locks() {
        for (host, expected) in [
            ("stinky", "stinky"),
            ("pi.example.org", "pi.example.org"),
            ("a-b_c", "a-b_c"),
            ("a/b", "a%2Fb"),
            ("a%2Fb", "a%252Fb"),
            ("a b\0", "a%20b%00"),
            ("ö", "%C3%B6"),
        ] {
            assert_eq!(file_name(host), expected, "{host}");
        }
    }
}
