//! What `nix build` takes: an attribute of a flake, or a derivation.

use std::fmt::{self, Display};

use anyhow::Result;

use super::store_path::StorePath;
use crate::bail;
use crate::base::{FlakeRef, percent_encoding};

/// What stands behind a derivation for all its outputs.
const ALL_OUTPUTS: &str = "^*";

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
        Self::new(format!("{path}{ALL_OUTPUTS}"))
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

    /// Whether the installable is a derivation in the store, in the form of [`Self::derivation`]: Nix builds it without
    /// an evaluation. Any other text may name a flake, whose folder may be in the store too.
    pub fn is_evaluated(&self) -> bool {
        let path = self.text.strip_suffix(ALL_OUTPUTS);
        path.is_some_and(|path| StorePath::of_derivation(path).is_some())
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
    fn only_a_derivation_is_evaluated_already() {
        let path = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-x";
        let derivation = Installable::derivation(format!("{path}.drv"));
        assert_eq!(derivation.as_str(), format!("{path}.drv^*"));
        assert!(derivation.with_name("F#x".into()).is_evaluated());
        for text in [
            format!("{path}#y"),
            format!("{path}#y.drv^*"),
            format!("{path}.drv#y^*"),
            format!("{path}/flake.drv^*"),
            format!("{path}?dir=y#z"),
            format!("{path}?dir=y.drv#z^*"),
            format!("path:{path}.drv^*"),
            format!("path:{path}#y"),
            format!("{path}^out"),
            format!("{path}^*"),
            path.to_owned(),
            "/nix/store/../../home/flake.drv^*".to_owned(),
            "/nix/store/x.drv^*".to_owned(),
            "github:o/f#x.drv^*".to_owned(),
        ] {
            assert!(!Installable::new(text.clone()).is_evaluated(), "{text}");
        }
    }

    /// A flake names the derivation of its image itself, and can name another flake there.
    #[test]
    fn a_text_that_is_no_derivation_is_not_evaluated_already() {
        for text in ["/nix/store/0123456789abcdfghijklmnpqrsvwxyz-x#y", "github:o/f#x", ""] {
            assert!(!Installable::derivation(text).is_evaluated(), "{text}");
        }
    }
}
