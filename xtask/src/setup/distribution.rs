//! The distribution of this machine, as far as `setup` depends on it.

use std::fmt;
use std::path::Path;

/// The distributions that `setup` treats differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// The owner's flake configures the machine, so `setup` only gives advice.
    NixOs,
    Debian,
    Ubuntu,
    /// Any other, with the name in its os-release: `setup` only gives advice.
    Other(String),
}

impl Distribution {
    /// Reads `etc/os-release`; a machine without that file is [`Self::Other`].
    pub fn load(etc: &Path) -> Self {
        Self::parse(&std::fs::read_to_string(etc.join("os-release")).unwrap_or_default())
    }

    /// Parses the text of an os-release file: lines of `NAME=value`, with or without quotes around the value.
    pub fn parse(text: &str) -> Self {
        let value = |name: &str| {
            let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            found.unwrap_or_default().trim_matches(['"', '\''])
        };
        match (value("ID"), value("PRETTY_NAME")) {
            ("nixos", _) => Self::NixOs,
            ("debian" | "raspbian", _) => Self::Debian,
            ("ubuntu", _) => Self::Ubuntu,
            ("", "") => Self::Other("an unknown system".to_owned()),
            (id, "") => Self::Other(id.to_owned()),
            (_, name) => Self::Other(name.to_owned()),
        }
    }

    /// The suites with a recent Nix, in the order in which `setup` tries them.
    pub fn suites_with_nix(&self) -> &'static [&'static str] {
        match self {
            Self::Debian => &["trixie", "forky"],
            Self::Ubuntu => &["questing", "noble"],
            Self::NixOs | Self::Other(_) => &[],
        }
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NixOs => "NixOS",
            Self::Debian => "Debian",
            Self::Ubuntu => "Ubuntu",
            Self::Other(name) => name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_named_by_its_os_release() {
        for (text, expected) in [
            ("PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n", "Debian"),
            ("ID=ubuntu\nID_LIKE=debian\n", "Ubuntu"),
            ("NAME=NixOS\nID=nixos\n", "NixOS"),
            ("ID=fedora\nPRETTY_NAME=\"Fedora Linux 42\"\n", "Fedora Linux 42"),
            ("ID=\"linuxmint\"\nID_LIKE=\"ubuntu debian\"\n", "linuxmint"),
            ("", "an unknown system"),
        ] {
            assert_eq!(Distribution::parse(text).to_string(), expected, "{text:?}");
        }
    }

    #[test]
    fn fuzz() {
        let text = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nID_LIKE=\"ubuntu debian\"\n";
        crate::base::fuzz::check_text(&[text], |text| Distribution::parse(text).suites_with_nix().len());
    }
}
