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
    /// The line itself.
    pub line: String,
    /// The address of the builder's store, as the line has it, but always with a scheme.
    pub address: String,
    pub systems: Vec<System>,
    /// The features that the builder has, and those without which it builds nothing.
    features: Vec<String>,
    mandatory_features: Vec<String>,
    /// The file of the private key for ssh.
    key: Option<String>,
    /// The public host key, in base64.
    host_key: Option<String>,
}

impl Builder {
    /// The builder of `line`: `URI SYSTEMS KEY JOBS SPEED SUPPORTED-FEATURES MANDATORY-FEATURES HOST-KEY`, with `-` for
    /// a default. The default system is `this_system`. `None` for a line without a URI.
    fn parse(line: &str, this_system: &str) -> Option<Self> {
        let words = line.split_whitespace().collect::<Vec<_>>();
        let word = |index: usize| words.get(index).filter(|word| **word != "-").map(ToString::to_string);
        let list = |text: String| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        let features = |index| word(index).map(list).unwrap_or_default();
        Some(Self {
            line: line.to_owned(),
            address: with_scheme(&word(0)?),
            systems: list(word(1).unwrap_or_else(|| this_system.to_owned())),
            features: features(5),
            mandatory_features: features(6),
            key: word(2),
            host_key: word(7),
        })
    }

    /// The address as the line has it.
    pub fn name(&self) -> &str {
        self.line.split_whitespace().next().unwrap_or_default()
    }

    /// Whether the builder builds for `system`.
    pub fn builds_for(&self, system: &str) -> bool {
        self.systems.iter().any(|listed| listed == system)
    }

    /// Whether the builder takes builds for `system` that need these `features` of a machine, and no others.
    pub fn takes(&self, system: &str, features: &BTreeSet<String>) -> bool {
        let has =
            |feature: &String| self.features.contains(feature) || self.mandatory_features.contains(feature);
        let are_mandatory_met = self.mandatory_features.iter().all(|feature| features.contains(feature));
        self.builds_for(system) && features.iter().all(has) && are_mandatory_met
    }

    /// The address of the store, with the keys of the line as options where ssh reaches the store.
    pub fn store(&self) -> String {
        if !self.address.starts_with("ssh://") && !self.address.starts_with("ssh-ng://") {
            return self.address.clone();
        }
        let mut store = self.address.clone();
        for (name, key) in [("ssh-key", &self.key), ("base64-ssh-public-host-key", &self.host_key)] {
            if let Some(key) = key {
                let separator = if store.contains('?') { '&' } else { '?' };
                let value = percent_encoding::encode(key.as_bytes(), b"/");
                store = format!("{store}{separator}{name}={value}");
            }
        }
        store
    }
}

/// The store `uri` with a scheme: a bare host name is reached by ssh.
fn with_scheme(uri: &str) -> String {
    let is_store = uri.contains("://") || uri.starts_with('/') || ["auto", "daemon", "local"].contains(&uri);
    if is_store { uri.to_owned() } else { format!("ssh://{uri}") }
}

/// The builders in `setting`; a builder without a system builds for `this_system`. `read` returns the text of a
/// machines file, which an entry `@FILE` names, or `None` where the file does not exist (the default setting names a
/// file that may be missing).
///
/// Builders are separated by newlines or `;`, and `#` begins a comment.
pub fn parse_all(setting: &str, this_system: &str, read: impl Fn(&str) -> Option<String>) -> Vec<Builder> {
    let mut builders = Vec::new();
    let mut seen = BTreeSet::new();
    let mut texts = vec![setting.to_owned()];
    while let Some(text) = texts.pop() {
        for entry in split_entries(&text) {
            match entry.strip_prefix('@').map(str::trim) {
                Some(file) if seen.len() < MAX_FILES && seen.insert(file.to_owned()) => {
                    texts.extend(read(file));
                }
                // The file was read already, or there are too many.
                Some(_) => {}
                None => builders.extend(Builder::parse(entry, this_system)),
            }
        }
        builders.truncate(MAX_BUILDERS);
    }
    builders
}

/// The entries of a setting or a machines file: builders, and machines files as `@FILE`.
fn split_entries(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines.flat_map(|line| line.split(';')).map(str::trim).filter(|entry| !entry.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builders_for_a_system_are_found_in_settings_and_files() {
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
            let builders = parse_all(setting, "x86_64-linux", file);
            let has_builder = builders.iter().any(|builder| builder.builds_for("aarch64-linux"));
            assert_eq!(has_builder, expected, "{setting}");
        }
    }

    #[test]
    fn a_builder_without_a_system_builds_for_this_one() {
        let builders = parse_all("pi - ; pi2", "aarch64-linux", |_| None);
        assert_eq!(builders.len(), 2);
        assert!(builders.iter().all(|builder| builder.builds_for("aarch64-linux")));
    }

    #[test]
    fn a_builder_takes_what_it_has_the_features_for() {
        for (line, features, expected) in [
            ("pi s", &[][..], true),
            ("pi s", &["big-parallel"], false),
            ("pi s - 4 1 kvm,big-parallel", &["big-parallel"], true),
            ("pi s - 4 1 kvm,big-parallel", &[], true),
            ("pi s - 4 1 - gpu", &[], false),
            ("pi s - 4 1 - gpu", &["gpu"], true),
            ("pi x - 4 1 kvm", &["kvm"], false),
        ] {
            let features = features.iter().map(ToString::to_string).collect();
            assert_eq!(Builder::parse(line, "x").unwrap().takes("s", &features), expected, "{line}");
        }
    }

    #[test]
    fn a_store_has_the_keys_of_its_line() {
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
        assert_eq!(parse_all(&setting, "aarch64-linux", read), []);
        assert_eq!(reads.get(), 1);
    }

    #[test]
    fn fuzz() {
        let sample = "# ssh://no aarch64-linux\nssh://a x86_64-linux ; ssh://pi x86_64-linux,aarch64-linux - 4\n@/etc/nix/machines";
        crate::base::fuzz::check_text(&[sample], |text| {
            let builders = parse_all(text, "aarch64-linux", |_| Some(text.to_owned()));
            builders.iter().map(Builder::store).collect::<Vec<_>>()
        });
    }
}
