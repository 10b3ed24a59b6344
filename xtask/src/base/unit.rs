//! In what a phase counts: `bytes` or `steps`. For `#[serde(with = …)]` on a field that says whether it is bytes.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// In what a phase counts.
#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Bytes,
    Steps,
}

/// A unit as it is read: receipts of earlier versions say whether it is bytes.
#[derive(Deserialize)]
#[serde(untagged)]
enum UnitOrFlag {
    Unit(Unit),
    IsInBytes(bool),
}

pub fn serialize<S: Serializer>(is_in_bytes: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    if *is_in_bytes { Unit::Bytes } else { Unit::Steps }.serialize(serializer)
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    UnitOrFlag::deserialize(deserializer).map(|read| match read {
        UnitOrFlag::Unit(unit) => matches!(unit, Unit::Bytes),
        UnitOrFlag::IsInBytes(is_in_bytes) => is_in_bytes,
    })
}
