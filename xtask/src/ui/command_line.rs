//! The command lines that `--verbose` shows.

use crate::base::shell;

/// The most characters that are shown of an argument.
const MAX_ARGUMENT: usize = 160;

/// `argv` as one line; long arguments, such as functions of Nix, are cut.
pub fn command_line(argv: &[String]) -> String {
    let shown = argv.iter().map(|word| match word.char_indices().nth(MAX_ARGUMENT) {
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
        let expected = format!("nix 'a b' '{}… (400 bytes)'", "é".repeat(MAX_ARGUMENT));
        assert_eq!(command_line(&argv), expected);
    }
}
