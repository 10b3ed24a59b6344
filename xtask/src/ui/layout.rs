//! How a progress bar is laid out, so that it stays on one line of the terminal, however narrow.

/// What a phase counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// Bytes, and it is known how many there are.
    Bytes,
    /// Bytes up to an end that nobody knows.
    EndlessBytes,
    Steps,
}

/// Where the width of the terminal cannot be told, in columns.
const USUAL: u16 = 80;

/// The width of the terminal behind stderr, in columns.
pub fn width() -> u16 {
    let size = rustix::termios::tcgetwinsize(std::io::stderr());
    size.map(|size| size.ws_col).ok().filter(|columns| *columns > 0).unwrap_or(USUAL)
}

/// The columns that names of phases are lined up in.
const NAME: usize = 10;

/// A line of `indicatif`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub prefix: String,
    pub template: String,
}

impl Layout {
    /// The line of the phase `name` on a terminal of `width` columns. First the bar is shortened, then
    /// parts are left out, the most telling ones last.
    pub fn new(name: &str, amount: Amount, width: u16) -> Self {
        let width = usize::from(width);
        // A long name leaves less for the rest.
        let room = width.saturating_sub(name.chars().count().saturating_sub(NAME));
        let rest = match (amount, room) {
            (Amount::Bytes, 70..) => {
                let bar = (room - 60).min(30);
                &format!(
                    "{{bar:{bar}}} {{bytes}}/{{total_bytes}} {{binary_bytes_per_sec}} {{eta}} left {{wide_msg}}"
                )
            }
            (Amount::Bytes, 59..) => "{bytes}/{total_bytes} {binary_bytes_per_sec} {eta} left {wide_msg}",
            (Amount::Bytes, 46..) => "{bytes}/{total_bytes} {eta} left {wide_msg}",
            (Amount::EndlessBytes, 40..) => "{spinner} {bytes} {binary_bytes_per_sec} {wide_msg}",
            (Amount::Steps, 30..) => "{spinner} {count}{elapsed} {wide_msg}",
            (Amount::Bytes, _) => return Self::narrow(name, width, "{percent}% {eta} left"),
            (Amount::EndlessBytes, _) => return Self::narrow(name, width, "{spinner} {bytes}"),
            (Amount::Steps, _) => return Self::narrow(name, width, "{spinner} {elapsed}"),
        };
        Self { prefix: name.to_owned(), template: format!("{{prefix:>{NAME}}} {rest}") }
    }

    /// The name as far as there is room beside `rest`, which has 14 columns at most.
    fn narrow(name: &str, width: usize, rest: &str) -> Self {
        let prefix = name.chars().take(width.saturating_sub(15)).collect();
        Self { prefix, template: format!("{{prefix}} {rest}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The length of the line with the longest words that there are in practice.
    fn longest(layout: &Layout) -> usize {
        let mut line = layout.template.clone();
        for (key, words) in [
            ("{prefix:>10}", format!("{:>10}", layout.prefix).as_str()),
            ("{prefix}", &layout.prefix),
            ("{spinner}", "x"),
            ("{bytes}", "1023.99 MiB"),
            ("{total_bytes}", "1023.99 GiB"),
            ("{binary_bytes_per_sec}", "1023.99 MiB/s"),
            ("{eta}", "59m"),
            ("{percent}", "100"),
            ("{count}", "1000/1000 "),
            ("{elapsed}", "59m"),
            ("{wide_msg}", ""),
        ] {
            line = line.replace(key, words);
        }
        let bar = line.split_once("{bar:").map(|(_, rest)| rest.split_once('}').unwrap().0.to_owned());
        let drawn = bar.map_or(0, |columns| columns.parse::<usize>().unwrap() - columns.len() - 6);
        line.chars().count() + drawn
    }

    #[test]
    fn no_bar_is_longer_than_its_line() {
        for amount in [Amount::Bytes, Amount::EndlessBytes, Amount::Steps] {
            for name in ["check", "download 14 packages of bookworm for arm64"] {
                for width in 20..200 {
                    let layout = Layout::new(name, amount, width);
                    assert!(longest(&layout) <= usize::from(width), "{width}: {layout:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_left_out_first() {
        for (name, width, expected) in [
            ("check", 200, "{prefix:>10} {bar:30} {bytes}/"),
            ("check", 80, "{prefix:>10} {bar:20} {bytes}/"),
            ("a name of 20 letters", 80, "{prefix:>10} {bar:10} {bytes}/"),
            ("check", 60, "{prefix:>10} {bytes}/{total_bytes} {binary_bytes_per_sec} "),
            ("check", 50, "{prefix:>10} {bytes}/{total_bytes} {eta} left"),
            ("check", 30, "{prefix} {percent}% {eta} left"),
        ] {
            let layout = Layout::new(name, Amount::Bytes, width);
            assert!(layout.template.starts_with(expected), "{width}: {layout:?}");
        }
        assert_eq!(Layout::new("a name of 20 letters", Amount::Steps, 25).prefix, "a name of ");
    }
}
