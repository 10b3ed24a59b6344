//! Public keys in the wire format of ssh (RFC 4253, section 6.6): fields, of which the first is the algorithm.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest, Sha256};

/// The fingerprint `SHA256:…` of the key `blob`, as ssh shows it.
pub fn fingerprint(blob: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(blob)))
}

/// The fields of `blob` behind its first one, if that is `algorithm` and there are others; `None` for a key that was
/// cut off, and for one of another algorithm. Each field follows its length (RFC 4251, section 5).
pub fn fields<'a>(blob: &'a [u8], algorithm: &str) -> Option<Vec<&'a [u8]>> {
    let mut fields = Vec::new();
    let mut rest = blob;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (field, after) = after.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        fields.push(field);
        rest = after;
    }
    let (name, fields) = fields.split_first()?;
    (*name == algorithm.as_bytes() && !fields.is_empty()).then(|| fields.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_key_of_its_algorithm_has_fields() {
        let blob = b"\0\0\0\x01a\0\0\0\x02bc\0\0\0\0";
        assert_eq!(fields(blob, "a").unwrap(), [&b"bc"[..], b""]);
        assert_eq!(fields(blob, "b"), None);
        for end in [0, 4, 5, 8, 10] {
            assert_eq!(fields(&blob[..end], "a"), None, "{end}");
        }
    }
}
