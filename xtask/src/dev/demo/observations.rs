//! The values that the demo's host prints about itself, in lines `observed NAME KEY=VALUE ...`.

use std::collections::BTreeMap;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use crate::bail;

/// The values that the host printed during one boot, by name and key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Observations(BTreeMap<String, BTreeMap<String, String>>);

impl Observations {
    /// Reads the values in the lines of the console; all other lines are skipped.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut observations = Self::default();
        for line in lines {
            let Some(observed) = line.strip_prefix("observed ") else { continue };
            let Some((name, words)) = observed.split_once(' ') else { continue };
            let values = observations.0.entry(name.to_owned()).or_default();
            for (key, value) in words.split_whitespace().filter_map(|word| word.split_once('=')) {
                values.insert(key.to_owned(), value.to_owned());
            }
        }
        observations
    }

    /// The value of `key` in the line `name`; `?` where there is none.
    pub fn get(&self, name: &str, key: &str) -> &str {
        self.0.get(name).and_then(|values| values.get(key)).map_or("?", String::as_str)
    }

    /// The size `key` in the line `name`, in bytes; 0 where there is none. The host prints sizes in KiB, such as
    /// `4096k`.
    pub fn bytes(&self, name: &str, key: &str) -> u64 {
        let kib = self.get(name, key).strip_suffix('k').and_then(|kib| kib.parse::<u64>().ok());
        kib.unwrap_or(0) << 10
    }
}

/// Verifies what the host printed in two boots of one card of `card_size` bytes. The ssh key of the host must have
/// `fingerprint`.
///
/// # Errors
/// `Verification`, with all wrong values.
pub fn verify(first: &Observations, second: &Observations, card_size: u64, fingerprint: &str) -> Result<()> {
    let mut wrong = Vec::new();
    for (number, observations) in [(1, first), (2, second)] {
        let mut expected = expected_values(number, observations, first);
        expected.push(Expected { name: "identity", key: "fingerprint", value: fingerprint });
        for Expected { name, key, value } in expected {
            let found = observations.get(name, key);
            if found != value {
                wrong.push(format!("boot {number}: {name} {key} is {found}, not {value}"));
            }
        }
        wrong.extend(size_fault(observations, card_size).map(|text| format!("boot {number}: {text}")));
    }
    if first.bytes("partition", "before") >= first.bytes("partition", "now") {
        wrong.push("boot 1: the partition has not grown".to_owned());
    }
    let old_system = first.get("generation", "system");
    let has_old_system = second.get("menu", "others").split(',').any(|system| system == old_system);
    if !has_old_system {
        wrong.push(format!("boot 2: the menu has lost the entry for {old_system}"));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    bail!(Verification, "the booted host differs from what is expected:\n  {}", wrong.join("\n  "))
}

/// An expected value of a boot.
struct Expected<'a> {
    name: &'static str,
    key: &'static str,
    value: &'a str,
}

/// The expected values of the boot `number`, which printed `current`. The second boot must keep the machine id of the
/// first boot, and start the system that the first boot installed.
fn expected_values<'a>(number: u32, current: &'a Observations, first: &'a Observations) -> Vec<Expected<'a>> {
    let is_first = number == 1;
    let system =
        if is_first { current.get("generation", "system") } else { first.get("installed", "system") };
    [
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
    .into_iter()
    .map(|(name, key, value)| Expected { name, key, value })
    .collect()
}

/// The alignment of the end of a partition, in bytes.
const ALIGNMENT: u64 = 1 << 20;

/// The block size of the file system, in bytes.
const BLOCK_SIZE: u64 = 4096;

/// Why the host does not use the whole card of `card_size` bytes: the host sees another size, the partition ends too
/// early, or the file system is smaller than the partition. `None` where the card is used whole.
fn size_fault(observations: &Observations, card_size: u64) -> Option<String> {
    let seen_size = observations.bytes("partition", "disk");
    let partition_end = observations.bytes("partition", "end");
    let partition = observations.bytes("partition", "now");
    let filesystem = observations.bytes("filesystem", "size");
    if seen_size != card_size {
        return Some(format!("the card has {seen_size} bytes, not {card_size}"));
    }
    if partition_end + ALIGNMENT <= card_size {
        return Some(format!("the partition ends at byte {partition_end} of {card_size}"));
    }
    if partition.saturating_sub(filesystem) >= BLOCK_SIZE {
        return Some(format!("the file system has {filesystem} of the {partition} bytes of its partition"));
    }
    None
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
    pub const CARD_SIZE: u64 = 256 << 20;

    /// The error where `from` is replaced by `to` in the lines of both boots; empty without an error.
    fn error_with(from: &str, to: &str) -> String {
        let [first, second] =
            [FIRST, SECOND].map(|text| Observations::parse(text.replace(from, to).lines().map(str::trim)));
        verify(&first, &second, CARD_SIZE, "SHA256:abc")
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn a_good_host_is_accepted() {
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
