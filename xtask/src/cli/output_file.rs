//! Files that a command writes, as arguments.

use std::path::PathBuf;

use clap::builder::{PathBufValueParser, TypedValueParser};

/// A parser of the path of a file to write. `-` means stdout elsewhere, which has the results of this program.
pub fn output_file() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| {
        if path.as_os_str() == "-" {
            Err("stdout cannot take it: name a file, such as ./-")
        } else {
            Ok(path)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn stdout_is_no_file() {
        let parse = |text: &str| output_file().parse_ref(&clap::Command::new("x"), None, OsStr::new(text));
        assert!(parse("-").is_err());
        for text in ["./-", "-a", "a"] {
            assert_eq!(parse(text).unwrap(), PathBuf::from(text));
        }
    }
}
