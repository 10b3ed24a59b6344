//! Lines on stderr about one of several hosts or cards, whose label stands before each.

use super::style::{Role, Stream};
use super::{fold_for_people, style};
use crate::base::{Subject, Tone, escape};

/// The escaped `text` as stderr shows it. On a terminal its lines are folded, and the label of the `subject` and the
/// labels behind it are painted.
pub fn lay_out(subject: &Subject, text: &str) -> String {
    let lines = text.split('\n').map(|line| {
        let (name, rest) = folded(subject, line.trim_start());
        let label = style::label_of(line).map(|(label, role)| (label.trim_start(), role));
        let rest = label.map_or_else(|| rest.clone(), |(label, role)| paint_start(&rest, label, role));
        Stream::Stderr.paint(Role::Label, &name) + &rest
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Like [`lay_out`], for a verdict of this `tone`.
pub fn verdict(subject: &Subject, text: &str, tone: Tone) -> String {
    let role = Role::of(tone).filter(|_| Stream::Stderr.is_terminal());
    let symbol = super::symbol(role);
    let lines = text.split('\n').enumerate().map(|(index, line)| {
        let symbol = if index == 0 { symbol.as_str() } else { "" };
        let (name, rest) = folded(subject, &format!("{symbol}{}", line.trim_start()));
        let rest = role.map_or_else(|| rest.clone(), |role| Stream::Stderr.paint(role, &rest));
        Stream::Stderr.paint(Role::Label, &name) + &rest
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The line behind the label of `subject`, folded: the name, and what follows it.
fn folded(subject: &Subject, line: &str) -> (String, String) {
    let name = format!("{}: ", escape::line(&subject.to_string()));
    let shown = fold_for_people(&format!("{name}{line}"), Stream::Stderr);
    match shown.split_at_checked(name.len()).filter(|(start, _)| *start == name) {
        Some((name, rest)) => (name.to_owned(), rest.to_owned()),
        None => (String::new(), shown),
    }
}

/// `text` with `label`, if the text begins with it, painted in `role`.
fn paint_start(text: &str, label: &str, role: Role) -> String {
    match text.strip_prefix(label) {
        Some(rest) => Stream::Stderr.paint(role, label) + rest,
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_a_host_names_it() {
        let host = Subject::Host("pi".into());
        assert_eq!(lay_out(&host, "a\n  b"), "pi: a\npi: b");
        assert_eq!(lay_out(&host, "warning: a\nhint: b"), "pi: warning: a\npi: hint: b");
        assert_eq!(verdict(&host, "pi runs it\n  well", Tone::Good), "pi: pi runs it\npi: well");
    }
}
