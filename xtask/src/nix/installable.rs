//! What `nix build` takes: an attribute of a flake, or a derivation.

use std::fmt::{self, Display};

use anyhow::Result;

use crate::bail;
use crate::base::{FlakeRef, percent_encoding};

/// A derivation for `nix build`, by its attribute in a flake or by its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installable {
    /// The argument for Nix.
    text: String,
    /// The name in messages.
    name: String,
}

impl Installable {
    /// The attribute of `flake` at the whole `path`, such as `packages`, `aarch64-linux`, `X`: on a machine of another
    /// system Nix does not find this attribute by the short name `X`.
    ///
    /// # Errors
    /// `Usage` for a name that no installable can have.
    pub fn attribute(flake: &FlakeRef, path: &[&str]) -> Result<Self> {
        let names = path.iter().map(|name| quote_attribute_name(name)).collect::<Result<Vec<_>>>()?;
        Ok(Self::new(format!("{flake}#{}", names.join("."))))
    }

    /// All outputs of the derivation with the store path `path`.
    pub fn derivation(path: impl Display) -> Self {
        Self::new(format!("{path}^*"))
    }

    fn new(text: String) -> Self {
        Self { name: text.clone(), text }
    }

    /// The same installable, with `name` for messages.
    #[must_use]
    pub fn with_name(self, name: String) -> Self {
        Self { name, ..self }
    }

    /// The argument for Nix.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the installable is a derivation in the store, which Nix builds without an evaluation.
    pub fn is_evaluated(&self) -> bool {
        self.text.starts_with("/nix/store/")
    }
}

impl Display for Installable {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Whether Nix reads `name` in an attribute path without quotes.
pub fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-'".contains(c))
}

/// `name` as one part of the attribute path in an installable. A name that Nix does not read as a plain name is quoted,
/// and its characters that would end the path or the installable are percent-encoded.
///
/// # Errors
/// `Usage` for a name with a quotation mark, which Nix accepts in no encoding in an installable.
fn quote_attribute_name(name: &str) -> Result<String> {
    if name.contains('"') {
        bail!(
            Usage, "nix cannot build `{name}`: no installable can name an attribute with a quotation mark";
            hint: "rename the attribute in the flake"
        );
    }
    if is_plain_name(name) {
        return Ok(name.to_owned());
    }
    Ok(format!("\"{}\"", percent_encoding::encode(name.as_bytes(), b"")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::{ExitKind, kind};

    #[test]
    fn odd_names_are_quoted() {
        let flake = FlakeRef::of_url("github:o/f");
        let installable = |name: &str| Installable::attribute(&flake, &["packages", "s.t", name]);
        for (name, expected) in [
            ("pi_1-sdImage", "pi_1-sdImage"),
            ("pi.example.org", "\"pi.example.org\""),
            ("a^b", "\"a%5Eb\""),
            ("%41", "\"%2541\""),
            ("new\nline", "\"new%0Aline\""),
            ("it is #1?", "\"it%20is%20%231%3F\""),
            ("", "\"\""),
        ] {
            let expected = format!("github:o/f#packages.\"s.t\".{expected}");
            assert_eq!(installable(name).unwrap().as_str(), expected, "{name}");
        }
    }

    #[test]
    fn a_name_with_a_quotation_mark_is_refused() {
        let error = Installable::attribute(&FlakeRef::of_url("github:o/f"), &["a\"b"]).unwrap_err();
        assert_eq!(kind(&error), ExitKind::Usage);
    }

    #[test]
    fn a_derivation_is_evaluated_already() {
        let derivation = Installable::derivation("/nix/store/a-x.drv");
        assert_eq!(derivation.as_str(), "/nix/store/a-x.drv^*");
        assert!(derivation.is_evaluated());
    }
}
