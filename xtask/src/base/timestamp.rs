//! A time in UTC, in the format of RFC 3339.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A time such as `2026-11-25T12:00:00Z`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("format" = "date-time"))]
pub struct Timestamp(String);

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

impl Timestamp {
    /// The time by the clock of this machine.
    pub fn now() -> Self {
        Self::at(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
    }

    /// The time after `wait` by the clock of this machine.
    pub fn in_future(wait: Duration) -> Self {
        Self::at((SystemTime::now() + wait).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
    }

    /// The time `seconds` after the beginning of 1970.
    pub fn at(seconds: u64) -> Self {
        let (year, month, day) = year_month_day(seconds / SECONDS_PER_DAY);
        let hour = seconds % SECONDS_PER_DAY / 3600;
        let minute = seconds / 60 % 60;
        let second = seconds % 60;
        Self(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
    }

    /// The text: `2026-11-25T12:00:00Z`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a time that was read from a file has the form of those that [`Self::at`] makes. Only such times are in
    /// the order of their texts.
    pub fn is_valid(&self) -> bool {
        const FORM: &[u8] = b"0000-00-00T00:00:00Z";
        let fits =
            |(byte, form): (u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == *form };
        self.0.len() == FORM.len() && self.0.bytes().zip(FORM).all(fits)
    }

    /// The day: `2026-11-25`.
    pub fn day(&self) -> String {
        self.0.get(..10).unwrap_or(&self.0).to_owned()
    }

    /// The time in a form for file names: `2026-11-25T120000Z`.
    pub fn for_file_name(&self) -> String {
        self.0.replace(':', "")
    }
}

impl fmt::Display for Timestamp {
    /// The time to the minute: `2026-11-25 12:00 UTC`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.get(..10), self.0.get(11..16)) {
            (Some(day), Some(minute)) => write!(f, "{day} {minute} UTC"),
            _ => f.write_str(&self.0),
        }
    }
}

/// The year, the month and the day of the date `days` days after 1 January 1970.
fn year_month_day(mut days: u64) -> (u64, usize, u64) {
    let mut year = 1970;
    while days >= days_in_year(year) {
        days -= days_in_year(year);
        year += 1;
    }
    let february = if is_leap_year(year) { 29 } else { 28 };
    let month_lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= month_lengths[month] {
        days -= month_lengths[month];
        month += 1;
    }
    (year, month + 1, days + 1)
}

/// The number of days in `year`.
fn days_in_year(year: u64) -> u64 {
    if is_leap_year(year) { 366 } else { 365 }
}

fn is_leap_year(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_date() {
        // The expected texts are the output of `date --utc --date=@SECONDS`.
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (1_795_608_000, "2026-11-25T12:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(Timestamp::at(seconds).0, expected);
        }
    }

    #[test]
    fn people_see_the_time_to_the_minute_and_file_names_have_no_colons() {
        let noon = Timestamp::at(1_795_608_000);
        assert_eq!(
            (noon.to_string().as_str(), noon.for_file_name().as_str()),
            ("2026-11-25 12:00 UTC", "2026-11-25T120000Z")
        );
    }

    #[test]
    fn only_times_of_one_form_can_be_compared() {
        for (text, expected) in [
            ("2026-11-25T12:00:00Z", true),
            ("2026-11-25T12:00:00.5Z", false),
            ("2026-11-25T12:00:00+01:00", false),
            ("2026-11-25 12:00:00Z", false),
            ("", false),
        ] {
            assert_eq!(Timestamp(text.into()).is_valid(), expected, "{text}");
        }
        assert!(Timestamp::now().is_valid());
    }

    #[test]
    fn now_is_after_2023() {
        assert!(Timestamp::now() > Timestamp::at(1_704_067_200));
    }
}
