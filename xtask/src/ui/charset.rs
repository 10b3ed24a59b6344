//! The characters that the terminal draws, by the locale.

use std::env;
use std::ffi::OsString;
use std::sync::LazyLock;

use indicatif::ProgressStyle;

/// The characters of bars, spinners and chunk maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    Ascii,
    Unicode,
}

impl Charset {
    /// The characters of the locale of this process.
    pub fn of_locale() -> Self {
        static CHARSET: LazyLock<Charset> = LazyLock::new(|| Charset::of(|name| env::var_os(name)));
        *CHARSET
    }

    /// `text` of the tool in these characters.
    pub fn spell(self, text: String) -> String {
        match self {
            Self::Unicode => text,
            Self::Ascii => text.replace('…', self.ellipsis()),
        }
    }

    /// What stands for the missing part of a text.
    pub fn ellipsis(self) -> &'static str {
        match self {
            Self::Unicode => "…",
            Self::Ascii => "...",
        }
    }

    /// `style` with these characters for its bar and its spinner.
    pub fn apply_to(self, style: ProgressStyle) -> ProgressStyle {
        match self {
            Self::Unicode => style,
            Self::Ascii => style.progress_chars("#>.").tick_chars("|/-\\ "),
        }
    }

    /// The characters of the locale in an environment, of which `variable` returns the value of a variable. The first
    /// of three variables that is set and not empty names the locale (locale(7)); without any, the locale is `C`.
    fn of(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let mut values = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(variable);
        let locale = values.find(|value| !value.is_empty()).unwrap_or_default();
        let locale = locale.to_string_lossy().to_ascii_lowercase();
        // LANGUAGE_TERRITORY.CODESET@MODIFIER
        let codeset = locale.split_once('.').map_or("", |(_, rest)| rest);
        let codeset = codeset.split('@').next().unwrap_or_default();
        if matches!(codeset, "utf-8" | "utf8") { Self::Unicode } else { Self::Ascii }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locale_without_unicode_gets_dots() {
        let text = || "https://h/… cut…".to_owned();
        assert_eq!(Charset::Ascii.spell(text()), "https://h/... cut...");
        assert_eq!(Charset::Unicode.spell(text()), text());
    }

    #[test]
    fn the_codeset_of_the_locale_decides() {
        for (variables, expected) in [
            (&[][..], Charset::Ascii),
            (&[("LANG", "C.UTF-8")], Charset::Unicode),
            (&[("LANG", "de_DE.utf8")], Charset::Unicode),
            (&[("LANG", "de_DE.UTF-8@euro")], Charset::Unicode),
            (&[("LANG", "de_DE.UTF-8"), ("LC_ALL", "C")], Charset::Ascii),
            (&[("LANG", "de_DE.UTF-8"), ("LC_CTYPE", "POSIX")], Charset::Ascii),
            (&[("LANG", "C"), ("LC_CTYPE", "C.UTF-8"), ("LC_ALL", "")], Charset::Unicode),
            (&[("LANG", "de_DE.ISO-8859-15")], Charset::Ascii),
            (&[("LANG", "de_DE")], Charset::Ascii),
        ] {
            let variable = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
            };
            assert_eq!(Charset::of(variable), expected, "{variables:?}");
        }
    }
}
