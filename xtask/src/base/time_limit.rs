//! Time limits, as users write them.

use std::fmt;
use std::time::Duration;

/// The longest limit, in seconds: a week.
const MAX_SECONDS: u64 = 7 * 24 * 3600;

/// A time limit of at least a second. It displays as `90 s`, `10 min` or `2 h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimit(Duration);

impl TimeLimit {
    pub const fn from_minutes(minutes: u64) -> Self {
        Self(Duration::from_secs(minutes * 60))
    }

    pub const fn from_seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Parses `90s`, `10m`, `2h`, or a bare number of minutes.
    ///
    /// # Errors
    /// What the text must be, for 0, for more than a week and for another text.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
        let unit = match text[digits.len()..].trim_start() {
            "s" | "sec" => 1,
            "" | "m" | "min" => 60,
            "h" => 3600,
            _ => return Err("must be a time such as 90s, 10m or 2h"),
        };
        let number = digits.parse::<u64>().map_err(|_| "must be a time such as 90s, 10m or 2h")?;
        match number.checked_mul(unit) {
            Some(0) => Err("must be more than 0"),
            Some(seconds) if seconds <= MAX_SECONDS => Ok(Self(Duration::from_secs(seconds))),
            _ => Err("must be at most a week"),
        }
    }

    pub fn duration(self) -> Duration {
        self.0
    }
}

impl fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            _ if seconds.is_multiple_of(3600) => write!(f, "{} h", seconds / 3600),
            _ if seconds.is_multiple_of(60) => write!(f, "{} min", seconds / 60),
            _ => write!(f, "{seconds} s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_shown_as_they_are_written() {
        for (text, shown) in [
            ("90s", "90 s"),
            ("120s", "2 min"),
            ("10", "10 min"),
            ("10m", "10 min"),
            ("90 min", "90 min"),
            ("2h", "2 h"),
        ] {
            let limit = TimeLimit::parse(text).unwrap();
            assert_eq!(limit.to_string(), shown, "{text}");
            assert_eq!(TimeLimit::parse(shown).unwrap(), limit, "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_limits() {
        for (text, reason) in [
            ("", "such as"),
            ("m", "such as"),
            ("-1", "such as"),
            ("1.5h", "such as"),
            ("10 days", "such as"),
            ("10ü", "such as"),
            ("0", "more than 0"),
            ("0s", "more than 0"),
            ("169h", "a week"),
            ("18446744073709551615h", "a week"),
        ] {
            assert!(TimeLimit::parse(text).unwrap_err().contains(reason), "{text}");
        }
    }

    #[test]
    fn fuzz() {
        crate::base::fuzz::check_text(&["90s", "10 min", "2h"], |text| TimeLimit::parse(text).is_ok());
    }
}
