//! The tip for a value of `--board` that names no board, or none that the command takes.

use clap::ValueEnum as _;
use clap::error::{ContextKind, ContextValue};

use crate::boot::Board;

/// Models of Pi that have 32 bits, without `pi` before them, and without what is neither a letter nor a digit.
const OF_32_BITS: &[&str] = &[
    "", "0", "0w", "0wh", "1", "1a", "1ap", "1aplus", "1b", "1bplus", "2", "2b", "a", "aplus", "b", "bplus",
    "cm", "cm1", "zero", "zerow", "zerowh",
];

/// What people call boards, spelled as those above, with the name of the board here.
const OTHER_NAMES: &[(&[&str], Board)] = &[
    (&["02", "02w", "zero2", "zero2w", "zero2wh"], Board::Pi02),
    (&["3", "3b"], Board::Pi3),
    (&["3a", "3aplus", "3bplus", "3plus"], Board::Pi3Plus),
    (&["4", "4b"], Board::Pi4),
    (&["400"], Board::Pi400),
    (&["5", "5b"], Board::Pi5),
    (&["500", "500plus"], Board::Pi500),
];

/// The `error` about the value of an option, with a tip where the option is `--board`: the parser tips a board by its
/// spelling, which is another one.
pub fn with_tip(mut error: clap::Error) -> clap::Error {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let is_board = text(ContextKind::InvalidArg).is_some_and(|option| option.starts_with("--board"));
    let value = text(ContextKind::InvalidValue).filter(|_| is_board);
    if let Some(tip) = value.and_then(|value| tip(&value)) {
        error.remove(ContextKind::SuggestedValue);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// What to do about `value`; `None` where only its spelling may help.
fn tip(value: &str) -> Option<String> {
    // A board that only `new-host` does not take.
    if let Ok(board) = Board::from_str(value, true) {
        let id = board.stand_in()?.id();
        return Some(format!("a host of {id} starts on the {board}, too: pass '--board {id}'"));
    }
    let model = model_of(value)?;
    if OF_32_BITS.contains(&model.as_str()) {
        let tip = "the first Pi, the Pi 2, the Zero and the first Compute Module have 32 bits, and are not supported";
        return Some(tip.to_owned());
    }
    let (_, board) = OTHER_NAMES.iter().find(|(names, _)| names.contains(&model.as_str()))?;
    Some(format!("the {board} is '{}'", board.id()))
}

/// The model that `value` names, as [`OF_32_BITS`] spells it; `None` for what names no Pi.
fn model_of(value: &str) -> Option<String> {
    let spelled = value.to_lowercase().replace('+', "plus");
    let spelled = spelled.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
    let starts = ["raspberrypi", "rpi", "pi", "raspberry"];
    let behind = starts.iter().find_map(|start| spelled.strip_prefix(start));
    let is_bare = spelled.starts_with(|c: char| c.is_ascii_digit())
        || spelled.starts_with("zero")
        || spelled.starts_with("cm");
    behind.map(str::to_owned).or_else(|| is_bare.then_some(spelled))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn a_board_that_is_not_taken_has_its_own_tip() {
        let has_32_bits = "have 32 bits, and are not supported";
        for (command, value, expected) in [
            ("new-host a --admin b", "pi2", has_32_bits),
            ("new-host a --admin b", "Pi-1", has_32_bits),
            ("new-host a --admin b", "zero", has_32_bits),
            ("flash a", "zero-w", has_32_bits),
            ("up a", "rpi2", has_32_bits),
            ("card inspect a", "pi", has_32_bits),
            ("flash a", "cm1", has_32_bits),
            (
                "new-host a --admin b",
                "cm3",
                "a host of pi3 starts on the Compute Module 3, too: pass '--board pi3'",
            ),
            ("new-host a --admin b", "cm3+", "pass '--board pi3'"),
            ("new-host a --admin b", "cm0", "pass '--board pi02'"),
            ("new-host a --admin b", "cm4s", "pass '--board cm4'"),
            ("new-host a --admin b", "raspberry-pi-4", "is 'pi4'"),
            ("flash a", "4b", "is 'pi4'"),
            ("flash a", "pi-zero-2-w", "is 'pi02'"),
            ("flash a", "3B+", "is 'pi3+'"),
            // Others keep what the parser says.
            ("flash a", "pi9", "a similar value exists: 'pi5'"),
            ("flash a", "octopus", "[possible values: pi3"),
        ] {
            let words = ["xtask"].into_iter().chain(command.split(' ')).chain(["--board", value]);
            let error = with_tip(Cli::try_parse_from(words).unwrap_err()).render().to_string();
            assert!(error.contains(expected), "{value}: {error}");
            let tips = error.matches("tip: ").count();
            assert_eq!(tips, usize::from(value != "octopus"), "{value}: {error}");
        }
    }
}
