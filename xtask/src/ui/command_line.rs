//! The command lines that `--verbose` and logs show.

use crate::base::shell;

/// The most characters of an argument that `--verbose` shows.
pub const SHOWN: usize = 160;
/// The most characters of an argument in a log.
pub const LOGGED: usize = 1000;

/// `argv` as one line; of arguments that are longer than `max` characters, such as functions of Nix, the rest is cut.
pub fn command_line(argv: &[String], max: usize) -> String {
    let shown = argv.iter().map(|word| match word.char_indices().nth(max) {
        Some((end, _)) => format!("{}… ({} bytes)", &word[..end], word.len()),
        None => word.clone(),
    });
    shell::quote_all(&shown.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_arguments_are_cut() {
        let argv = ["nix", "a b", &"é".repeat(200)].map(str::to_owned);
        let expected = format!("nix 'a b' '{}… (400 bytes)'", "é".repeat(SHOWN));
        assert_eq!(command_line(&argv, SHOWN), expected);
        assert!(!command_line(&argv, LOGGED).contains('…'));
    }
}
