//! BLAKE3 hashes as hexadecimal text in JSON, for `#[serde(with = …)]`.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

/// Serializes `hash` as hexadecimal text.
pub fn serialize<S: Serializer>(hash: &blake3::Hash, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hash.to_hex())
}

/// Deserializes a hash of hexadecimal text.
pub fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<blake3::Hash, D::Error> {
    parse(&String::deserialize(deserializer)?)
}

fn parse<E: Error>(text: &str) -> Result<blake3::Hash, E> {
    blake3::Hash::from_hex(text).map_err(E::custom)
}

/// Optional BLAKE3 hashes as hexadecimal text, for `#[serde(with = …)]`.
pub mod option {
    use super::{Deserialize, Deserializer, Serializer, parse};

    #[expect(clippy::ref_option, reason = "serde requires this signature")]
    pub fn serialize<S: Serializer>(hash: &Option<blake3::Hash>, serializer: S) -> Result<S::Ok, S::Error> {
        match hash {
            Some(hash) => serializer.serialize_some(hash.to_hex().as_str()),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Option<blake3::Hash>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| parse(&text)).transpose()
    }
}
