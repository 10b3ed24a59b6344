//! Excerpts of output from hosts and ssh, short enough for people.

/// How many lines of a text are kept; the last ones.
const MAX_LINES: usize = 20;
/// How many characters of a line are kept; the first ones.
const MAX_CHARS: usize = 500;

/// The last lines of `text`, each truncated.
pub fn tail(text: &str) -> String {
    let lines = text.trim().lines().collect::<Vec<_>>();
    let last = lines[lines.len().saturating_sub(MAX_LINES)..].iter();
    last.map(|line| truncate(line)).collect::<Vec<_>>().join("\n")
}

/// Whether [`truncate`] leaves `line` as it is.
pub fn is_short(line: &str) -> bool {
    line.chars().nth(MAX_CHARS).is_none()
}

/// The beginning of `line`, with a mark if it was cut.
pub fn truncate(line: &str) -> String {
    match line.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{} [cut]", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_output_is_cut() {
        assert_eq!(tail("\n one\ntwo \n"), "one\ntwo");
        let long = (0..30).map(|number| format!("{number}\n")).collect::<String>();
        assert!(tail(&long).starts_with("10\n") && tail(&long).ends_with("\n29"));
        let endless = tail(&"é".repeat(1 << 20));
        assert_eq!(endless, format!("{} [cut]", "é".repeat(MAX_CHARS)));
    }
}
