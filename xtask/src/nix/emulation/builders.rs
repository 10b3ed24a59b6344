//! Remote builders: the `builders` setting and the machines files that it names.

use std::collections::BTreeSet;

use crate::base::percent_encoding;
use crate::nix::System;

/// The most machines files that are read; usually there is one.
const MAX_FILES: usize = 16;
/// The most builders that are kept.
const MAX_BUILDERS: usize = 256;

/// A machine that builds for this one: a line of a machines file (Nix manual, "Remote Builds").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Builder {
    /// The store of the builder, with its scheme, as the line has it.
    pub address: String,
    systems: Vec<System>,
    /// The file of the private key for ssh.
    key: Option<String>,
    /// The public host key, in base64.
    host_key: Option<String>,
}

impl Builder {
    /// The builder of `line`: `URI SYSTEMS KEY JOBS SPEED FEATURES FEATURES HOST-KEY`, with `-` for a default. The
    /// default system is `this_system`.
    fn parse(line: &str, this_system: &str) -> Option<Self> {
        let mut words = line.split_whitespace().map(|word| (word != "-").then(|| word.to_owned()));
        let address = with_scheme(&words.next()??);
        let systems = words.next().flatten().unwrap_or_else(|| this_system.to_owned());
        let key = words.next().flatten();
        let host_key = words.nth(4).flatten();
        Some(Self { address, systems: systems.split(',').map(str::to_owned).collect(), key, host_key })
    }

    pub fn builds_for(&self, system: &str) -> bool {
        self.systems.iter().any(|one| one == system)
    }

    /// The address of the store with all options of the line.
    pub fn store(&self) -> String {
        if !self.address.starts_with("ssh://") && !self.address.starts_with("ssh-ng://") {
            return self.address.clone();
        }
        let key = self.key.iter().map(|key| ("ssh-key", key));
        let options = key.chain(self.host_key.iter().map(|key| ("base64-ssh-public-host-key", key)));
        let options = options
            .map(|(name, value)| format!("{name}={}", percent_encoding::encode(value.as_bytes(), b"/")));
        let options = options.collect::<Vec<_>>().join("&");
        let sign = if self.address.contains('?') { "&" } else { "?" };
        if options.is_empty() { self.address.clone() } else { format!("{}{sign}{options}", self.address) }
    }
}

/// A bare host name is reached by ssh.
fn with_scheme(uri: &str) -> String {
    let is_store = uri.contains("://") || uri.starts_with('/') || ["auto", "daemon", "local"].contains(&uri);
    if is_store { uri.to_owned() } else { format!("ssh://{uri}") }
}

/// The builders in `setting`; those without a system build for `this_system`. `read` returns the text of an `@FILE`, or
/// `None` where it does not exist (the default setting names a file that may be missing).
///
/// Builders are separated by newlines or `;`, and `#` begins a comment.
pub fn all(setting: &str, this_system: &str, read: impl Fn(&str) -> Option<String>) -> Vec<Builder> {
    let mut builders = Vec::new();
    let mut seen = BTreeSet::new();
    let mut texts = vec![setting.to_owned()];
    while let Some(text) = texts.pop() {
        for entry in entries(&text) {
            match entry.strip_prefix('@').map(str::trim) {
                Some(file) if seen.len() < MAX_FILES && seen.insert(file.to_owned()) => {
                    texts.extend(read(file));
                }
                Some(_) => {}
                None => builders.extend(Builder::parse(entry, this_system)),
            }
        }
        builders.truncate(MAX_BUILDERS);
    }
    builders
}

fn entries(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines.flat_map(|line| line.split(';')).map(str::trim).filter(|entry| !entry.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines() {
        let file = |name: &str| match name {
            "/etc/nix/machines" => {
                Some("# ssh://no aarch64-linux\nssh://pi x86_64-linux,aarch64-linux - 4".to_owned())
            }
            "/outer" => Some("@/etc/nix/machines".to_owned()),
            _ => None,
        };
        for (setting, expected) in [
            ("", false),
            ("@/etc/nix/machines", true),
            ("@/outer", true),
            ("@/absent", false),
            ("ssh://pi aarch64-linux", true),
            ("ssh://a x86_64-linux ; ssh://b aarch64-linux - 8", true),
            ("ssh://pi -", false),
            ("ssh://aarch64-linux", false),
        ] {
            let builders = all(setting, "x86_64-linux", file);
            assert_eq!(builders.iter().any(|it| it.builds_for("aarch64-linux")), expected, "{setting}");
        }
        assert!(all("pi - ; pi2", "aarch64-linux", file).iter().all(|it| it.builds_for("aarch64-linux")));
    }

    #[test]
    fn stores_with_the_options_of_their_lines() {
        for (line, expected) in [
            ("pi aarch64-linux", "ssh://pi"),
            ("root@pi aarch64-linux - 1 1 - - -", "ssh://root@pi"),
            ("ssh-ng://pi?compress=true s /k/my:key", "ssh-ng://pi?compress=true&ssh-key=/k/my%3Akey"),
            (
                "ssh://pi s /k 4 1 kvm - a+b/c==",
                "ssh://pi?ssh-key=/k&base64-ssh-public-host-key=a%2Bb/c%3D%3D",
            ),
            ("/mnt/store s /k", "/mnt/store"),
            ("local s", "local"),
        ] {
            assert_eq!(Builder::parse(line, "x").unwrap().store(), expected, "{line}");
        }
    }

    #[test]
    fn a_file_that_is_named_often_is_read_once() {
        let setting = "@/etc/nix/machines\n".repeat(1000);
        let reads = std::cell::Cell::new(0);
        let read = |file: &str| {
            reads.set(reads.get() + 1);
            Some(format!("@{file}"))
        };
        assert_eq!(all(&setting, "aarch64-linux", read), []);
        assert_eq!(reads.get(), 1);
    }

    #[test]
    fn fuzz() {
        let sample = "# ssh://no aarch64-linux\nssh://a x86_64-linux ; ssh://pi x86_64-linux,aarch64-linux - 4\n@/etc/nix/machines";
        crate::base::fuzz::check_text(&[sample], |text| {
            let builders = all(text, "aarch64-linux", |_| Some(text.to_owned()));
            builders.iter().map(Builder::store).collect::<Vec<_>>()
        });
    }
}
