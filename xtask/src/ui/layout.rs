//! The layout of a progress bar: it stays on one line of the terminal, however narrow.

use super::style::Stream;

/// The unit of the progress of a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// Bytes of a known total.
    Bytes,
    /// Bytes of an unknown total.
    BytesOfUnknownTotal,
    Steps,
}

/// The width of a terminal that does not report its width, in columns.
const DEFAULT_WIDTH: u16 = 80;

/// The width of the terminal behind stderr, in columns; [`DEFAULT_WIDTH`] where there is none, or it reports none.
pub fn width() -> u16 {
    Stream::Stderr.width().and_then(|width| width.try_into().ok()).unwrap_or(DEFAULT_WIDTH)
}

/// The width of the column of phase names.
const NAME_WIDTH: usize = 10;

/// The prefix and the template of an `indicatif` bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub prefix: String,
    pub template: String,
}

impl Layout {
    /// The layout for the phase `name` on a terminal of `width` columns. On a narrower terminal first the bar is
    /// shorter, then parts are missing; the most informative parts stay longest.
    pub fn new(name: &str, amount: Amount, width: u16) -> Self {
        let width = usize::from(width);
        // The columns of the line, without those that a long name takes beyond its column.
        let room = width.saturating_sub(name.chars().count().saturating_sub(NAME_WIDTH));
        // Each limit leaves room for the longest values in practice: `no_bar_is_longer_than_its_line` has them.
        let rest = match (amount, room) {
            (Amount::Bytes, 70..) => {
                let bar = (room - 60).min(30);
                &format!(
                    "{{bar:{bar}}} {{bytes}}/{{total_bytes}} {{binary_bytes_per_sec}} {{eta}} left {{wide_msg}}"
                )
            }
            (Amount::Bytes, 59..) => "{bytes}/{total_bytes} {binary_bytes_per_sec} {eta} left {wide_msg}",
            (Amount::Bytes, 46..) => "{bytes}/{total_bytes} {eta} left {wide_msg}",
            (Amount::BytesOfUnknownTotal, 40..) => "{spinner} {bytes} {binary_bytes_per_sec} {wide_msg}",
            (Amount::Steps, 30..) => "{spinner} {count}{elapsed} {wide_msg}",
            (Amount::Bytes, _) => return Self::with_cut_name(name, width, "{percent}% {eta} left"),
            (Amount::BytesOfUnknownTotal, _) => return Self::with_cut_name(name, width, "{spinner} {bytes}"),
            (Amount::Steps, _) => return Self::with_cut_name(name, width, "{spinner} {elapsed}"),
        };
        Self { prefix: name.to_owned(), template: format!("{{prefix:>{NAME_WIDTH}}} {rest}") }
    }

    /// The layout for a narrow terminal: `rest`, which has at most 14 columns, and as much of the name as fits beside
    /// it.
    fn with_cut_name(name: &str, width: usize, rest: &str) -> Self {
        let prefix = name.chars().take(width.saturating_sub(15)).collect();
        Self { prefix, template: format!("{{prefix}} {rest}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The length of the line of `layout` with the longest values in practice.
    fn max_line_len(layout: &Layout) -> usize {
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
        if let Some((before, rest)) = line.split_once("{bar:") {
            let (columns, after) = rest.split_once('}').unwrap();
            let bar = "#".repeat(columns.parse().unwrap());
            line = format!("{before}{bar}{after}");
        }
        line.chars().count()
    }

    #[test]
    fn no_bar_is_longer_than_its_line() {
        for amount in [Amount::Bytes, Amount::BytesOfUnknownTotal, Amount::Steps] {
            for name in ["check", "download 14 packages of bookworm for arm64"] {
                for width in 20..200 {
                    let layout = Layout::new(name, amount, width);
                    assert!(max_line_len(&layout) <= usize::from(width), "{width}: {layout:?}");
                }
            }
        }
    }

    #[test]
    fn narrower_terminals_have_fewer_parts() {
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
