//! How text looks: its roles, their colours and their symbols. Domains know nothing of this: text is painted when it is
//! printed, after it was escaped and folded.
//!
//! Colours follow `NO_COLOR`, `CLICOLOR`, `CLICOLOR_FORCE` and `TERM`, as the crate `anstream` reads them; pipes and
//! files get none. JSON is never painted. Symbols appear on terminals alone, in the characters of the locale.

use std::io::{IsTerminal, stderr, stdout};
use std::sync::LazyLock;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use clap::builder::Styles;
use rustix::termios::tcgetwinsize;

use super::charset::Charset;
use crate::base::Tone;

/// What a text is to the user. Text without a role has the colour of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A verdict: verified, current, accepted.
    Good,
    /// A refusal, a failure, or a verdict that the user must not miss.
    Bad,
    /// A warning, or a verdict that asks for an action.
    Attention,
    /// The label of a remedy.
    Hint,
    /// Data that will be lost.
    Loss,
    /// What names the text behind it.
    Label,
    /// Output of other programs, and details.
    Dim,
}

impl Role {
    fn style(self) -> Style {
        let colour = |colour: AnsiColor| colour.on_default();
        match self {
            Self::Good => colour(AnsiColor::Green).bold(),
            Self::Bad | Self::Loss => colour(AnsiColor::Red).bold(),
            Self::Attention => colour(AnsiColor::Yellow).bold(),
            Self::Hint => colour(AnsiColor::Cyan).bold(),
            Self::Label => Style::new().bold(),
            Self::Dim => Style::new().dimmed(),
        }
    }

    /// The symbol of a verdict, one column wide; `None` for a role that is no verdict.
    pub fn symbol(self, charset: Charset) -> Option<char> {
        let (unicode, ascii) = match self {
            Self::Good => ('✓', '+'),
            Self::Bad => ('✗', 'x'),
            Self::Attention => ('!', '!'),
            Self::Hint | Self::Loss | Self::Label | Self::Dim => return None,
        };
        Some(if charset == Charset::Unicode { unicode } else { ascii })
    }

    /// The role of what has this `tone`; `None` where it looks like any other text.
    pub fn of(tone: Tone) -> Option<Self> {
        match tone {
            Tone::Plain => None,
            Tone::Good => Some(Self::Good),
            Tone::Bad => Some(Self::Bad),
            Tone::Attention => Some(Self::Attention),
            Tone::Minor => Some(Self::Dim),
        }
    }
}

/// Where text is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    /// Whether text for this stream is painted.
    pub fn has_colours(self) -> bool {
        static STDOUT: LazyLock<bool> = LazyLock::new(|| AutoStream::choice(&stdout()) != ColorChoice::Never);
        static STDERR: LazyLock<bool> = LazyLock::new(|| AutoStream::choice(&stderr()) != ColorChoice::Never);
        match self {
            Self::Stdout => *STDOUT,
            Self::Stderr => *STDERR,
        }
    }

    /// Whether people read this stream on a terminal that can do more than print lines.
    pub fn is_terminal(self) -> bool {
        let is_terminal = match self {
            Self::Stdout => stdout().is_terminal(),
            Self::Stderr => stderr().is_terminal(),
        };
        is_terminal && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
    }

    /// The width that the terminal reports, in columns; `None` for a pipe, a file or a dumb terminal, and where the
    /// terminal does not know.
    pub fn width(self) -> Option<usize> {
        let size = match self {
            Self::Stdout => tcgetwinsize(stdout()),
            Self::Stderr => tcgetwinsize(stderr()),
        };
        let columns = size.map(|size| usize::from(size.ws_col)).ok().filter(|columns| *columns > 0);
        columns.filter(|_| self.is_terminal())
    }

    /// `text` in `role`, line by line: the blanks at the edges of a line are not painted.
    pub fn paint(self, role: Role, text: &str) -> String {
        if self.has_colours() { paint(role, text) } else { text.to_owned() }
    }

    /// `text` with the labels at the beginning of its lines painted, and its lines about losses. Foreign text begins no
    /// line at the left edge (`base::escape`), so it cannot look like a label.
    pub fn paint_labels(self, text: &str) -> String {
        if self.has_colours() { paint_labels(text) } else { text.to_owned() }
    }
}

/// The styles of the help and of the errors of the command line.
pub fn help_styles() -> Styles {
    Styles::plain()
        .header(Role::Label.style())
        .usage(Role::Label.style())
        .literal(Role::Label.style())
        .error(Role::Bad.style())
        .invalid(Role::Attention.style())
        .valid(Role::Hint.style())
}

/// The labels that begin a line, with their roles.
const LABELS: &[(&str, Role)] = &[
    ("error:", Role::Bad),
    ("warning:", Role::Attention),
    ("hint:", Role::Hint),
    ("next:", Role::Hint),
    ("Usage:", Role::Label),
    // Of one of several reasons.
    ("    hint:", Role::Hint),
    ("  - ", Role::Bad),
];

/// What begins the line of a plan that names what will be lost. Its other lines are indented.
const LOSS: &str = "lost    ";

fn paint(role: Role, text: &str) -> String {
    let style = role.style();
    let lines = text.split('\n').map(|line| {
        let shown = line.trim();
        let Some(start) = line.find(shown).filter(|_| !shown.is_empty()) else { return line.to_owned() };
        let (before, after) = (&line[..start], &line[start + shown.len()..]);
        format!("{before}{style}{shown}{style:#}{after}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The label that `line` begins with, and its role.
pub fn label_of(line: &str) -> Option<(&'static str, Role)> {
    LABELS.iter().find(|(label, _)| line.starts_with(label)).copied()
}

fn paint_labels(text: &str) -> String {
    let mut is_loss = false;
    let lines = text.split('\n').map(|line| {
        is_loss = line.starts_with(LOSS) || (is_loss && line.starts_with("  "));
        if is_loss {
            return paint(Role::Loss, line);
        }
        label_of(line)
            .map_or_else(|| line.to_owned(), |(label, role)| paint(role, label) + &line[label.len()..])
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_losses_are_painted_and_foreign_text_is_not() {
        let [bad, hint] = [Role::Bad, Role::Hint].map(Role::style);
        for (text, painted) in [
            ("error: no", format!("{bad}error:{bad:#} no")),
            ("a\nhint: b\n    hint: c", format!("a\n{hint}hint:{hint:#} b\n    {hint}hint:{hint:#} c")),
            (
                "lost    all\n        of it\ncard",
                format!("{bad}lost    all{bad:#}\n        {bad}of it{bad:#}\ncard"),
            ),
            ("note: x\n  error: y\nlost", "note: x\n  error: y\nlost".to_owned()),
        ] {
            assert_eq!(paint_labels(text), painted);
        }
    }

    #[test]
    fn painting_keeps_the_text_and_ends_in_each_line() {
        for text in ["a", " a  b \n\n  c", "", "日本"] {
            let painted = paint(Role::Dim, text);
            assert_eq!(anstream::adapter::strip_str(&painted).to_string(), text);
            let starts = painted.lines().filter(|line| line.contains("\u{1b}[2m")).count();
            assert_eq!(starts, text.lines().filter(|line| !line.trim().is_empty()).count());
            assert_eq!(painted.matches("\u{1b}[0m").count(), starts);
        }
    }
}
