//! How many of several hosts a wave of a deploy reaches.

use std::fmt;
use std::str::FromStr;

/// How many hosts are deployed once a wave has ended, those of earlier waves included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Hosts(usize),
    Percent(usize),
}

impl Reach {
    /// Whether this is at most `other`, however many hosts there are. Of the numbers and percentages only 1, which is
    /// the least, and 100%, which is all, compare with each other.
    fn is_at_most(self, other: Self) -> bool {
        match (self, other) {
            (Self::Hosts(1), _) | (_, Self::Percent(100)) => true,
            (Self::Hosts(own), Self::Hosts(other)) | (Self::Percent(own), Self::Percent(other)) => {
                own <= other
            }
            _ => false,
        }
    }

    /// Whether this reaches no host beyond those of `other`, which is another reach, however many hosts there are.
    pub fn is_below(self, other: Self) -> bool {
        self != other && self.is_at_most(other)
    }

    /// How many of `total` hosts this is: at least one.
    pub fn of(self, total: usize) -> usize {
        match self {
            Self::Hosts(hosts) => hosts,
            Self::Percent(percent) => (total * percent).div_ceil(100),
        }
        .clamp(1, total.max(1))
    }
}

impl FromStr for Reach {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digits, is_percent) = text.strip_suffix('%').map_or((text, false), |digits| (digits, true));
        match digits.parse() {
            Ok(1..=100) if is_percent => Ok(Self::Percent(digits.parse().unwrap_or(100))),
            Ok(hosts @ 1..) if !is_percent => Ok(Self::Hosts(hosts)),
            _ => Err("a wave is a number of hosts or a percentage up to 100%, such as 1 or 10%".to_owned()),
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hosts(hosts) => write!(f, "{hosts}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wave_is_a_number_or_a_percentage() {
        for text in ["0", "0%", "101%", "-1", "x", "", "1.5%"] {
            assert!(text.parse::<Reach>().is_err(), "{text}");
        }
        for text in ["1", "200", "100%"] {
            assert_eq!(text.parse::<Reach>().unwrap().to_string(), text);
        }
    }
}
