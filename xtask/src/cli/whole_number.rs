//! Whole numbers on the command line, whose errors say which are meant.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The largest number of an open file, which a shell writes as in `3<file`.
pub const MAX_DESCRIPTOR: u32 = i32::MAX.cast_unsigned();

/// A parser of the whole numbers in `range`.
pub fn whole_number<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: FromStr + PartialOrd + Display + Clone,
{
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_numbers_of_the_range_are_accepted() {
        let parse = whole_number(1..=40_u32);
        for (text, expected) in [("1", 1), ("007", 7), ("40", 40)] {
            assert_eq!(parse(text), Ok(expected));
        }
        for text in ["", "0", "41", "-1", "1.5", "x", " 1", "99999999999999999999999"] {
            assert_eq!(parse(text), Err("must be a whole number from 1 to 40".to_owned()), "{text}");
        }
    }
}
