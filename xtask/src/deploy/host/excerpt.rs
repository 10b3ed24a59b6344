//! What a host or ssh said, in as many words as a person reads.

/// How many lines are kept, the last ones.
const LINES: usize = 20;
/// How many characters of a line are kept.
const LONGEST: usize = 500;

/// The last lines of `text`, each of them cut.
pub fn tail(text: &str) -> String {
    let lines = text.trim().lines().collect::<Vec<_>>();
    let last = lines[lines.len().saturating_sub(LINES)..].iter();
    last.map(|line| brief(line)).collect::<Vec<_>>().join("\n")
}

/// The begin of `line`.
pub fn brief(line: &str) -> String {
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} [cut]", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_what_was_said() {
        assert_eq!(tail("\n one\ntwo \n"), "one\ntwo");
        let long = (0..30).map(|number| format!("{number}\n")).collect::<String>();
        assert!(tail(&long).starts_with("10\n") && tail(&long).ends_with("\n29"));
        let endless = tail(&"é".repeat(1 << 20));
        assert_eq!(endless, format!("{} [cut]", "é".repeat(LONGEST)));
    }
}
