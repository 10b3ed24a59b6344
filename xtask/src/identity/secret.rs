//! Secret bytes, redacted in `Debug` and serialized as base64.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The content of a private key, or of another file of the payload.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'a> Deserialize<'a> for Secret {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        // The error of the decoder would contain a byte of the secret.
        let bytes = STANDARD.decode(String::deserialize(deserializer)?);
        bytes.map(Self).map_err(|_| D::Error::custom("a secret is not base64"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_serialized_but_not_shown() {
        let secret = Secret::new(b"\0key\xff".to_vec());
        assert_eq!(format!("{secret:?}"), "Secret(5 bytes)");
        let text = serde_json::to_string(&secret).unwrap();
        assert_eq!(serde_json::from_str::<Secret>(&text).unwrap(), secret);
        let error = serde_json::from_str::<Secret>("\"a*b\"").unwrap_err().to_string();
        assert!(error.starts_with("a secret is not base64"), "{error}");
    }
}
