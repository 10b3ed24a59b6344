//! The values that the demo's host prints about itself, in lines `observed NAME KEY=VALUE ...`.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use crate::bail;

/// The values of one boot, by name and key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Observations(BTreeMap<String, BTreeMap<String, String>>);

impl Observations {
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut observations = Self::default();
        for line in lines {
            let Some((name, values)) = line.strip_prefix("observed ").and_then(|it| it.split_once(' '))
            else {
                continue;
            };
            let pairs = values.split_whitespace().filter_map(|word| word.split_once('='));
            let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
            observations.0.entry(name.to_owned()).or_default().extend(pairs);
        }
        observations
    }

    /// The value of `key` in the line `name`; `?` where there is none.
    pub fn get(&self, name: &str, key: &str) -> &str {
        self.0.get(name).and_then(|values| values.get(key)).map_or("?", String::as_str)
    }

    /// The size `key` in the line `name`, in bytes; the host prints KiB.
    pub fn bytes(&self, name: &str, key: &str) -> u64 {
        let kib = self.get(name, key).strip_suffix('k').and_then(|kib| kib.parse::<u64>().ok());
        kib.unwrap_or(0) << 10
    }
}

/// Verifies two boots of one card of `disk` bytes, whose host has the ssh key with `fingerprint`.
///
/// # Errors
/// All wrong values together.
pub fn verify(first: &Observations, second: &Observations, disk: u64, fingerprint: &str) -> Result<()> {
    let boots = [(1, first), (2, second)];
    let mut wrong = Vec::new();
    for (number, observations) in boots {
        let identity = ("identity", "fingerprint", fingerprint);
        wrong.extend(expected(number, observations, first).into_iter().chain([identity]).filter_map(
            |(name, key, value)| {
                let found = observations.get(name, key);
                (found != value).then(|| format!("boot {number}: {name} {key} is {found}, not {value}"))
            },
        ));
        wrong.extend(unfilled(observations, disk).map(|text| format!("boot {number}: {text}")));
    }
    if first.bytes("partition", "before") >= first.bytes("partition", "now") {
        wrong.push("boot 1: the partition has not grown".to_owned());
    }
    let others = second.get("menu", "others");
    let old = first.get("generation", "system");
    if others.split(',').all(|system| system != old) {
        wrong.push(format!("boot 2: the menu has lost the entry for {old}"));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    bail!(Verification, "the booted host differs from what is expected:\n  {}", wrong.join("\n  "))
}

/// The expected values of a boot: name, key, value. The second boot must keep values of the first one.
fn expected<'a>(
    number: u32,
    current: &'a Observations,
    first: &'a Observations,
) -> Vec<(&'static str, &'static str, &'a str)> {
    let is_first = number == 1;
    let system =
        if is_first { current.get("generation", "system") } else { first.get("installed", "system") };
    vec![
        ("boot", "number", if is_first { "1" } else { "2" }),
        ("root", "type", "tmpfs"),
        ("root", "size", "2097152k"),
        ("nix", "type", "ext4"),
        ("nix", "label", "NIXOS_SD"),
        ("persisted", "marker", if is_first { "absent" } else { "present" }),
        ("memory", "marker", "absent"),
        ("machine-id", "id", first.get("machine-id", "id")),
        ("generation", "number", if is_first { "1" } else { "2" }),
        ("generation", "system", system),
        ("menu", "default", system),
    ]
}

/// Why a card of `disk` bytes is not filled: the partition ends too early, or the file system is smaller than the
/// partition.
fn unfilled(observations: &Observations, disk: u64) -> Option<String> {
    let [card, end, size] = ["disk", "end", "now"].map(|key| observations.bytes("partition", key));
    let filesystem = observations.bytes("filesystem", "size");
    let aligned = 1 << 20;
    if card != disk {
        return Some(format!("the card has {card} bytes, not {disk}"));
    }
    if end + aligned <= disk {
        return Some(format!("the partition ends at byte {end} of {disk}"));
    }
    (size.saturating_sub(filesystem) >= 4096)
        .then(|| format!("the file system has {filesystem} of the {size} bytes of its partition"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub const FIRST: &str = "observed boot number=1\nobserved root type=tmpfs size=2097152k\n\
        observed nix type=ext4 device=/dev/vda2 label=NIXOS_SD\n\
        observed partition before=98304k now=212992k end=262144k disk=262144k milliseconds=780\n\
        observed filesystem size=212992k\nobserved persisted marker=absent\nobserved memory marker=absent\n\
        observed machine-id id=9de0\nobserved identity fingerprint=SHA256:abc\n\
        observed generation number=1 system=/nix/store/a\n\
        observed menu default=/nix/store/a others=/nix/store/a,\ndemo: up, boot 1 of this card\n\
        observed installed generation=2 system=/nix/store/b";
    pub const SECOND: &str = "observed boot number=2\nobserved root type=tmpfs size=2097152k\n\
        observed nix type=ext4 device=/dev/vda2 label=NIXOS_SD\n\
        observed partition before=212992k now=212992k end=262144k disk=262144k milliseconds=90\n\
        observed filesystem size=212992k\nobserved persisted marker=present\nobserved memory marker=absent\n\
        observed machine-id id=9de0\nobserved identity fingerprint=SHA256:abc\n\
        observed generation number=2 system=/nix/store/b\n\
        observed menu default=/nix/store/b others=/nix/store/b,/nix/store/a,";
    pub const DISK: u64 = 256 << 20;

    /// The error where `from` is replaced by `to` in the lines of both boots; empty without an error.
    fn error_with(from: &str, to: &str) -> String {
        let [first, second] =
            [FIRST, SECOND].map(|text| Observations::parse(text.replace(from, to).lines().map(str::trim)));
        verify(&first, &second, DISK, "SHA256:abc").err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_good_host() {
        assert_eq!(error_with("", ""), "");
    }

    #[test]
    fn every_wrong_value_is_listed() {
        let intro = "the booted host differs from what is expected:\n  ";
        for (from, to, expected) in [
            (
                "size=2097152k",
                "size=1048576k",
                "boot 1: root size is 1048576k, not 2097152k\n  boot 2: root size is 1048576k, not 2097152k",
            ),
            ("marker=present", "marker=absent", "boot 2: persisted marker is absent, not present"),
            (
                "before=98304k now=212992k end=262144k",
                "before=98304k now=98304k end=147456k",
                "boot 1: the partition ends at byte 150994944 of 268435456\n  boot 1: the partition has not grown",
            ),
            (
                "filesystem size=212992k",
                "filesystem size=131072k",
                "boot 1: the file system has 134217728 of the 218103808 bytes of its partition\n  \
              boot 2: the file system has 134217728 of the 218103808 bytes of its partition",
            ),
            (
                "others=/nix/store/b,/nix/store/a,",
                "others=/nix/store/b,",
                "boot 2: the menu has lost the entry for /nix/store/a",
            ),
            (
                "number=2 system=/nix/store/b",
                "number=1 system=/nix/store/a",
                "boot 2: generation number is 1, not 2\n  boot 2: generation system is /nix/store/a, not /nix/store/b",
            ),
            (
                "observed machine-id id=9de0\nobserved identity fingerprint=SHA256:abc\nobserved generation number=2",
                "observed machine-id id=77\nobserved identity fingerprint=SHA256:abc\nobserved generation number=2",
                "boot 2: machine-id id is 77, not 9de0",
            ),
        ] {
            assert_eq!(error_with(from, to), format!("{intro}{expected}"), "{from}");
        }
        let other = error_with("SHA256:abc", "none");
        assert!(other.contains("boot 2: identity fingerprint is none, not SHA256:abc"), "{other}");
        assert!(error_with("observed root", "root").contains("boot 1: root type is ?, not tmpfs"));
    }
}
