//! The line of a running phase: it stays on one line of the terminal, however narrow.

use unicode_width::UnicodeWidthStr;

use super::charset::Charset;
use super::shorten;
use super::style::{Role, Stream};
use crate::base::Bytes;

/// The unit of the progress of a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    Bytes,
    Steps,
}

/// The width of a terminal that does not report its width, in columns.
const DEFAULT_WIDTH: usize = 80;

/// The width of the terminal behind stderr, in columns; [`DEFAULT_WIDTH`] where there is none, or it reports none.
pub fn width() -> usize {
    Stream::Stderr.width().unwrap_or(DEFAULT_WIDTH)
}

/// The width of the column of phase names.
const NAME_WIDTH: usize = 10;
/// The columns that stay free behind a line: room for the `^C` that a terminal prints.
const FREE_COLUMNS: usize = 2;
/// The least and the most columns of a bar.
const MIN_BAR: usize = 9;
const MAX_BAR: usize = 30;
/// The least room that a message is worth.
const MIN_MESSAGE: usize = 12;

/// How far a phase is, as its line shows it.
#[derive(Clone, Copy, Debug)]
pub struct BarLine<'a> {
    pub name: &'a str,
    pub amount: Amount,
    pub done: u64,
    /// The total of the phase; `None` or 0 while unknown.
    pub total: Option<u64>,
    /// How long the phase runs, in seconds.
    pub seconds: f64,
    /// The bytes in a second.
    pub rate: f64,
    /// The bytes that later phases will move; `None` while unknown.
    pub ahead: Option<u64>,
    /// The current step, or what a child prints.
    pub message: &'a str,
}

impl BarLine<'_> {
    /// The line for a terminal of `width` columns, of which some stay free. On a narrower terminal first the bar is
    /// shorter, then parts are missing; the most informative parts stay longest. A message that is too long loses its
    /// middle: what is running is told at its end.
    pub fn text(&self, width: usize, charset: Charset) -> String {
        let width = width.saturating_sub(FREE_COLUMNS);
        // The columns of the line, without those that a long name takes beyond its column.
        let room = width.saturating_sub(self.name.width().saturating_sub(NAME_WIDTH));
        // Each limit leaves room for the longest values in practice: `no_line_is_wider_than_the_terminal` has them.
        let parts = match (self.amount, self.known_total(), room) {
            (Amount::Bytes, Some(total), _) if room >= self.columns_beside_bar() + MIN_BAR => {
                let bar = self.bar(total, (room - self.columns_beside_bar()).min(MAX_BAR), charset);
                format!("{bar} {} {} {}", self.bytes(total), self.rate_text(), self.time_left(total))
            }
            (Amount::Bytes, Some(total), _) if room >= self.columns_beside_bar() - 1 => {
                format!("{} {} {}", self.bytes(total), self.rate_text(), self.time_left(total))
            }
            (Amount::Bytes, Some(total), 44..) => format!("{} {}", self.bytes(total), self.time_left(total)),
            (Amount::Bytes, None, 38..) => {
                format!("{} {} {}", self.spinner(charset), Bytes(self.done), self.rate_text())
            }
            (Amount::Steps, _, 28..) => {
                format!("{} {}{}", self.spinner(charset), self.count(), duration(self.seconds))
            }
            _ => return self.narrow_text(width, charset),
        };
        let line = format!("{:>NAME_WIDTH$} {parts}", self.name);
        self.with_details(line, width, charset)
    }

    /// The columns of the line beside a bar of bytes, with room for the longest values in practice.
    fn columns_beside_bar(&self) -> usize {
        match self.ahead {
            None => 58,
            Some(0) => 65,
            Some(_) => 69,
        }
    }

    /// `done/total` of bytes.
    fn bytes(&self, total: u64) -> String {
        format!("{}/{}", Bytes(self.done), Bytes(total))
    }

    /// `line` with the total time left and the message, as far as they fit into `width` columns.
    fn with_details(&self, mut line: String, width: usize, charset: Charset) -> String {
        if let Some(total) = self.total_time_left().filter(|text| line.width() + text.width() <= width) {
            line += &total;
        }
        let room = width.saturating_sub(line.width() + 1);
        if !self.message.is_empty() && room >= MIN_MESSAGE {
            let message = shorten::store_paths(self.message, charset.ellipsis());
            line.push(' ');
            line += &shorten::middle(&message, room, charset.ellipsis());
        }
        line
    }

    /// The line of a narrow terminal: how far the phase is in at most 14 columns, and as much of the name as fits
    /// beside it.
    fn narrow_text(&self, width: usize, charset: Charset) -> String {
        let rest = match (self.amount, self.known_total()) {
            (Amount::Bytes, Some(total)) => {
                format!("{}% {}", u128::from(self.done) * 100 / u128::from(total), self.time_left(total))
            }
            (Amount::Bytes, None) => format!("{} {}", self.spinner(charset), Bytes(self.done)),
            (Amount::Steps, _) => format!("{} {}", self.spinner(charset), duration(self.seconds)),
        };
        let name = shorten::end(self.name, width.saturating_sub(15), charset.ellipsis());
        shorten::end(&format!("{name} {rest}"), width, charset.ellipsis())
    }

    fn known_total(&self) -> Option<u64> {
        self.total.filter(|total| *total > 0)
    }

    /// The bar of `width` columns.
    fn bar(&self, total: u64, width: usize, charset: Charset) -> String {
        let (full, empty) = if charset == Charset::Unicode { ("█", "░") } else { ("#", ".") };
        let done = u128::from(self.done.min(total)) * width as u128 / u128::from(total);
        let done = usize::try_from(done).unwrap_or(width);
        full.repeat(done) + &empty.repeat(width - done)
    }

    fn spinner(&self, charset: Charset) -> char {
        let frames = if charset == Charset::Unicode { "⠁⠂⠄⡀⢀⠠⠐⠈" } else { "|/-\\" };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "one of a few frames")]
        let at = (self.seconds * 8.0) as usize % frames.chars().count();
        frames.chars().nth(at).unwrap_or(' ')
    }

    /// `done/total ` of steps, or nothing while the total is unknown.
    fn count(&self) -> String {
        self.known_total().map(|total| format!("{}/{total} ", self.done)).unwrap_or_default()
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate for people")]
    fn rate_text(&self) -> String {
        format!("{}/s", Bytes(self.rate as u64))
    }

    /// How long the phase still takes.
    fn time_left(&self, total: u64) -> String {
        self.seconds_for(total.saturating_sub(self.done))
            .map_or_else(|| "- left".to_owned(), |seconds| format!("{} left", duration(seconds)))
    }

    /// What follows the time left of this phase: how long this phase and all later ones still take, at the rate of this
    /// one.
    fn total_time_left(&self) -> Option<String> {
        let left = self.known_total()?.saturating_sub(self.done);
        let ahead = self.ahead?;
        let seconds = self.seconds_for(left + ahead)?;
        Some(if ahead == 0 { " in all".to_owned() } else { format!(", {} in all", duration(seconds)) })
    }

    /// The seconds that `bytes` take; `None` while the rate is unknown.
    #[expect(clippy::cast_precision_loss, reason = "a duration for people")]
    fn seconds_for(&self, bytes: u64) -> Option<f64> {
        (self.rate > 0.0).then(|| bytes as f64 / self.rate)
    }
}

/// `seconds` in at most four columns.
pub fn duration(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a duration for people")]
    let seconds = seconds.max(0.0).ceil() as u64;
    match seconds {
        0..100 => format!("{seconds}s"),
        100..5400 => format!("{}m", seconds.div_ceil(60)),
        5400..172_800 => format!("{}h", seconds.div_ceil(3600)),
        _ => format!("{}d", (seconds / 86_400).min(999)),
    }
}

/// `line` with the name of its phase painted for stderr.
pub fn painted(line: &str, name: &str) -> String {
    match line.split_once(name).filter(|(before, _)| !name.is_empty() && before.trim().is_empty()) {
        Some((before, rest)) => format!("{before}{}{rest}", Stream::Stderr.paint(Role::Label, name)),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A phase with the longest values in practice.
    fn line<'a>(name: &'a str, amount: Amount, total: Option<u64>, message: &'a str) -> BarLine<'a> {
        let rate = (1023.9 * f64::from(1 << 20)).floor();
        let ahead = Some(1023 << 30);
        let done = if amount == Amount::Bytes { 1023 << 20 } else { 1000 };
        BarLine { name, amount, done, total, seconds: 5999.0, rate, ahead, message }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let message = "building /nix/store/bx096z1d0123456789abcdfghijklmnp-a: compiling 日本/src/main.rs";
        for (amount, total) in [
            (Amount::Bytes, Some(1023 << 30)),
            (Amount::Bytes, None),
            (Amount::Steps, Some(1000)),
            (Amount::Steps, None),
        ] {
            for name in ["check", "download 14 packages of bookworm for arm64"] {
                for width in 20..200 {
                    for charset in [Charset::Ascii, Charset::Unicode] {
                        let text = line(name, amount, total, message).text(width, charset);
                        assert!(text.width() + FREE_COLUMNS <= width, "{width}: {text}");
                    }
                }
            }
        }
    }

    #[test]
    fn narrower_terminals_have_fewer_parts() {
        let check = |message| BarLine {
            done: 30 << 20,
            rate: f64::from(10 << 20),
            ahead: Some(100 << 20),
            ..line("check", Amount::Bytes, Some(120 << 20), message)
        };
        for (width, message, expected) in [
            (
                120,
                "",
                "     check ███████░░░░░░░░░░░░░░░░░░░░░░░ 30.0 MiB/120.0 MiB 10.0 MiB/s 9s left, 19s in all",
            ),
            (80, "", "     check ██░░░░░░░ 30.0 MiB/120.0 MiB 10.0 MiB/s 9s left, 19s in all"),
            (70, "", "     check 30.0 MiB/120.0 MiB 10.0 MiB/s 9s left, 19s in all"),
            (60, "", "     check 30.0 MiB/120.0 MiB 9s left, 19s in all"),
            (51, "", "     check 30.0 MiB/120.0 MiB 9s left, 19s in all"),
            (30, "", "check 25% 9s left"),
            (60, "a/long/path/of/a/file", "     check 30.0 MiB/120.0 MiB 9s left, 19s in all"),
        ] {
            assert_eq!(check(message).text(width, Charset::Unicode), expected, "{width}");
        }
        for (ahead, expected) in [(Some(0), "9s left in all"), (None, "9s left")] {
            let text = BarLine { ahead, ..check("") }.text(80, Charset::Unicode);
            assert!(text.ends_with(&format!("░ 30.0 MiB/120.0 MiB 10.0 MiB/s {expected}")), "{text}");
        }
        let building =
            BarLine { seconds: 3.0, ..line("build", Amount::Steps, None, "a/long/path/of/a/file.rs") };
        assert_eq!(building.text(36, Charset::Ascii), "     build | 3s a/long/.../file.rs");
        let long = line("a name of 20 letters", Amount::Steps, None, "");
        assert_eq!(long.text(27, Charset::Unicode), "a name of… ⠁ 2h");
    }

    #[test]
    fn durations_are_short() {
        for (seconds, text) in [
            (0.0, "0s"),
            (0.2, "1s"),
            (99.0, "99s"),
            (99.5, "2m"),
            (5399.0, "90m"),
            (7200.0, "2h"),
            (1e12, "999d"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}
