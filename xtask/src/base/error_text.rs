//! The texts of errors as people read them.

/// What the standard library writes behind the words of an error of the operating system, before the number.
const NUMBER_OF_OS: &str = " (os error ";

/// The text of `error` with its contexts, without the numbers of the operating system.
pub fn text(error: &anyhow::Error) -> String {
    without_numbers(&format!("{error:#}"))
}

/// `text` without the numbers that the standard library adds to the words of the operating system, as in
/// `No space left on device (os error 28)`.
pub fn without_numbers(text: &str) -> String {
    let mut parts = text.split(NUMBER_OF_OS);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        let is_number = rest.len() < part.len();
        match rest.strip_prefix(')').filter(|_| is_number) {
            Some(rest) => shown.push_str(rest),
            None => shown.extend([NUMBER_OF_OS, part]),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::{copy, with_hint};

    #[test]
    fn numbers_of_the_operating_system_are_not_shown() {
        for (text, expected) in [
            ("a: No space left on device (os error 28)", "a: No space left on device"),
            ("a: b (os error 2), after 3 retries", "a: b, after 3 retries"),
            ("a (os error 5); b (os error 13): c", "a; b: c"),
            ("a (os error ) b", "a (os error ) b"),
            ("a (os error 5", "a (os error 5"),
            ("a (os error x1)", "a (os error x1)"),
            ("", ""),
        ] {
            assert_eq!(without_numbers(text), expected);
        }
        let error = anyhow::Error::from(std::io::Error::from_raw_os_error(28)).context("writing the log x");
        assert_eq!(text(&error), "writing the log x: No space left on device");
        assert_eq!(with_hint(&copy(&error)), "writing the log x: No space left on device");
    }
}
