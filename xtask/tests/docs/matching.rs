//! Compares what a page shows with what a command printed: the words, not the numbers, hashes and widths of a run.

/// Asserts that `shown` are the words of `printed`. `…` in `shown` stands for anything.
#[track_caller]
pub fn assert_shown(shown: &str, printed: &str, place: &str) {
    let [expected, actual] = [shown, printed].map(words);
    assert!(
        matches(&expected, &actual),
        "{place} shows\n{shown}\nbut this was printed:\n{printed}\n{}",
        first_difference(&expected, &actual)
    );
}

/// Where the words begin to differ.
fn first_difference(expected: &[String], actual: &[String]) -> String {
    let mut count = expected.len();
    while count > 0 && !has_prefix(&expected[..count], actual) {
        count -= 1;
    }
    let end = expected.len().min(count + 4);
    format!("nothing printed matches: {}", expected[count.saturating_sub(4)..end].join(" "))
}

/// Whether `expected` matches a beginning of `actual`.
fn has_prefix(expected: &[String], actual: &[String]) -> bool {
    let open_ended = [expected, &["…".to_owned()]].concat();
    matches(&open_ended, actual)
}

/// Whether the words of `actual` are those of `expected`, in which a word `…` stands for any number of words.
fn matches(expected: &[String], actual: &[String]) -> bool {
    // `reached[i]`: the words so far match the first `i` words of `actual`.
    let mut reached = vec![false; actual.len() + 1];
    reached[0] = true;
    for word in expected {
        let mut next = vec![false; actual.len() + 1];
        for index in 0..=actual.len() {
            next[index] = match word.as_str() {
                "…" => reached[index] || (index > 0 && next[index - 1]),
                word => index > 0 && reached[index - 1] && matches_word(word, &actual[index - 1]),
            };
        }
        reached = next;
    }
    reached[actual.len()]
}

/// Whether `actual` is `expected`, in which `…` stands for any characters.
fn matches_word(expected: &str, actual: &str) -> bool {
    let mut parts = expected.split('…');
    let Some(mut rest) = parts.next().and_then(|start| actual.strip_prefix(start)) else { return false };
    let mut parts = parts.collect::<Vec<_>>();
    let Some(end) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(end)
}

/// The words of `text`, with what differs from run to run replaced.
fn words(text: &str) -> Vec<String> {
    let text = without_other_cards(&without_speed(text));
    text.split_whitespace().map(|word| without_numbers(&without_hashes(word))).collect()
}

/// `text` without how much faster a flash was than a full write: on a busy machine it is not.
fn without_speed(text: &str) -> String {
    let end = " times as fast as a full write";
    let start = |line: &str| line.find(end).and_then(|end| line[..end].rfind(", "));
    text.lines().map(|line| start(line).map_or(line, |at| &line[..at])).collect::<Vec<_>>().join("\n")
}

/// `text` without the warning of other cards in this machine that have the same labels.
fn without_other_cards(text: &str) -> String {
    let is_of_others = |line: &&str| line.starts_with("warning: ") && line.contains(" has the label ");
    text.lines().filter(|line| !is_of_others(line)).collect::<Vec<_>>().join("\n")
}

/// `word` with hashes, keys and bars replaced.
fn without_hashes(word: &str) -> String {
    if word.starts_with('[') && word.chars().all(|c| "[]█▓▒░·".contains(c)) {
        return "[]".to_owned();
    }
    if let Some(rest) = word.strip_prefix("/nix/store/").and_then(|rest| rest.split_once('-')) {
        let hash = if rest.0.contains('…') { "…" } else { "0" };
        return format!("/nix/store/{hash}-{}", rest.1);
    }
    for prefix in ["SHA256:", "age1", "AAAA"] {
        if let Some(rest) = word.strip_prefix(prefix) {
            let tail = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "+/=…".contains(c));
            return format!("{prefix}{tail}");
        }
    }
    let digits = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    if digits.len() >= 32 && digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return format!("hash{}", &word[digits.len()..]);
    }
    word.to_owned()
}

/// `word` with each number replaced by 0, and each unit of bytes by B.
fn without_numbers(word: &str) -> String {
    let mut text = String::new();
    let mut is_in_number = false;
    for c in word.chars() {
        if c.is_ascii_digit() && !is_in_number {
            text.push('0');
        } else if !(c.is_ascii_digit() || is_in_number && c == '.') {
            text.push(c);
        }
        is_in_number = c.is_ascii_digit() || is_in_number && c == '.';
    }
    ["KiB", "MiB", "GiB"].iter().fold(text, |text, unit| text.replace(unit, "B"))
}

#[test]
fn numbers_hashes_and_widths_do_not_count_and_words_do() {
    let printed = "     write  144.0 MiB in 0.7 s\nruns /nix/store/gqzj8ajqagzr9lisrcfyk9bi6w1kgs1g-nixos-2,\n  SHA256:S0Yt/+x (new)";
    for shown in [
        "write 1.5 GiB in 12 s\nruns /nix/store/gqzj8ajq…-nixos-2, SHA256:e2v+ZOL (new)",
        "…\nruns /nix/store/…-nixos-2, SHA256:e2v… (new)",
        "write …",
        "… write 1 MiB … (new)",
    ] {
        assert_shown(shown, printed, "a test");
    }
    assert_shown(
        "total 1 MiB in 2 s, 1.3 times as fast as a full write\nx",
        "total 2 MiB in 3 s\nx",
        "a test",
    );
    for shown in ["write 1 MiB in 1 s", "read 1.5 GiB in 12 s …", "… (old)", "… nixos-2, SHA256:x (new)"]
    {
        assert!(!matches(&words(shown), &words(printed)), "{shown}");
    }
}
