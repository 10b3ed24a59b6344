//! Folding long lines at the width of the terminal, which would cut words in two.

use unicode_width::UnicodeWidthStr;

use super::charset::Charset;
use super::shorten;
use super::style::Stream;
use super::words::{Word, words};

/// The widest label in columns, with the gap after it: that of a phase, such as `     write  `.
const MAX_LABEL: usize = 12;
/// The labels of results that fill their column up to one blank. A sentence may begin with a word as long.
const FULL_LABELS: &[&str] = &["unmount", "warning"];
/// What begins a line of another program, and each of the lines that such a line is folded to.
const OUTPUT: &str = "  | ";
/// The least width that is folded to, in columns: less leaves no room for words.
const MIN_WIDTH: usize = 30;

/// Folds `text` at the width of the terminal that `stream` goes to. Returns the text unchanged elsewhere: in a pipe or
/// a file a result stays one line.
pub fn fold_for(stream: Stream, text: &str) -> String {
    stream.width().map_or_else(|| text.to_owned(), |width| fold(text, width, Charset::of_locale().ellipsis()))
}

/// Folds each line of `text` at blanks to at most `width` columns, see [`fold_line`]. In a line that is wider the store
/// paths are shortened first, with `ellipsis` in place of what is missing. A command in backquotes stays whole if it
/// fits into a line, and a path in it always does, so that a user can copy it. A hash that does not fit into a line
/// gets lines of its own, in parts of the same length; another path is broken behind a slash. A number and its unit are
/// on one line.
fn fold(text: &str, width: usize, ellipsis: &str) -> String {
    let width = width.max(MIN_WIDTH);
    let lines = text.split('\n').map(|line| {
        let is_short = line.width() <= width;
        if is_short { line.to_owned() } else { fold_line(&shorten::store_paths(line, ellipsis), width) }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Folds one line to `width` columns. The lines after the first are indented to stand beside its label, or by two
/// columns without one.
fn fold_line(line: &str, width: usize) -> String {
    if line.width() <= width {
        return line.to_owned();
    }
    let (label, rest) = line.split_at(label_len(line));
    let indent = if label.is_empty() { 2 } else { label.width() };
    let margin = if label == OUTPUT { OUTPUT.to_owned() } else { " ".repeat(indent) };
    let mut folded = vec![label.to_owned()];
    let mut column = label.width();
    let mut gap = "";
    let mut is_after_part = false;
    for Word { text, is_part } in words(rest, width.saturating_sub(indent)) {
        let is_first = gap.is_empty();
        // A part of a broken word has a line of its own.
        let fits = column + gap.len() + text.width() <= width && !is_after_part && !is_part;
        match folded.last_mut() {
            Some(last) if is_first || fits => {
                last.push_str(gap);
                last.push_str(text);
                column += gap.len() + text.width();
            }
            _ => {
                folded.push(format!("{margin}{text}"));
                column = indent + text.width();
            }
        }
        is_after_part = is_part;
        gap = " ";
    }
    folded.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
}

/// The length of the label of `line`, with the blanks around it, in bytes: `     write  ` or `card    `; 0 without one.
fn label_len(line: &str) -> usize {
    if line.starts_with(OUTPUT) {
        return OUTPUT.len();
    }
    let indent = blanks_len(line);
    let word_len = line[indent..].find(' ').unwrap_or(0);
    let gap = blanks_len(&line[indent + word_len..]);
    let end = indent + word_len + gap;
    match (gap, indent) {
        // Two blanks or more follow a label.
        (2.., _) if end <= MAX_LABEL => end,
        (1, 0) if FULL_LABELS.contains(&&line[..word_len]) => end,
        // The line continues another.
        (_, 2..=MAX_LABEL) => indent,
        _ => 0,
    }
}

/// The number of blanks at the start of `text`.
fn blanks_len(text: &str) -> usize {
    text.len() - text.trim_start_matches(' ').len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_folded_beside_their_labels() {
        for (line, width, folded) in [
            ("a short line", 30, "a short line"),
            (
                "warning: the card is slow, and so is the reader",
                30,
                "warning: the card is slow, and\n  so is the reader",
            ),
            (
                "     total  200 MiB of 200 MiB written in 13.9 s",
                40,
                "     total  200 MiB of 200 MiB written\n            in 13.9 s",
            ),
            (
                "card    /dev/loop0 (loop over /a/card, 64.0 MiB)",
                40,
                "card    /dev/loop0 (loop over /a/card,\n        64.0 MiB)",
            ),
            ("unmount /media/me/MY CARD (/dev/sdb1)", 30, "unmount /media/me/MY CARD\n        (/dev/sdb1)"),
            (
                "            ! 1 MiB failed of the whole card",
                40,
                "            ! 1 MiB failed of the whole\n            card",
            ),
            ("  | a line of another program, folded", 30, "  | a line of another program,\n  | folded"),
            (
                "hint: run `umount /mnt/a/b/c/d`, then retry it",
                30,
                "hint: run\n  `umount /mnt/a/b/c/d`, then\n  retry it",
            ),
            ("hint: run the command `umount /mnt/a`", 30, "hint: run the command\n  `umount /mnt/a`"),
            (
                "hint: a long first line of words, an unclosed `x",
                34,
                "hint: a long first line of words,\n  an unclosed `x",
            ),
            (
                "hint: the rest of this is an unclosed `x y",
                40,
                "hint: the rest of this is an unclosed `x\n  y",
            ),
        ] {
            assert_eq!(fold(line, width, "…"), folded, "{width}");
        }
    }

    #[test]
    fn a_number_and_its_unit_are_on_one_line() {
        for (line, width, folded) in [
            (
                "card    /dev/loop0 (loop over /a/card, 64.0 MiB)",
                44,
                "card    /dev/loop0 (loop over /a/card,\n        64.0 MiB)",
            ),
            ("the lines were written (in 13.9 s), all", 33, "the lines were written (in\n  13.9 s), all"),
            ("the lines were written (1 KiB/s), all", 28, "the lines were written\n  (1 KiB/s), all"),
            ("the lines of the file are 13 short", 30, "the lines of the file are 13\n  short"),
        ] {
            assert_eq!(fold(line, width, "…"), folded, "{width}");
        }
    }

    #[test]
    fn a_path_in_a_command_stays_whole_and_others_and_hashes_do_not() {
        let path = "/home/me/a-folder-of-images/a-folder-within/image.img.zst";
        assert_eq!(
            fold(&format!("image   {path} y"), 40, "…"),
            "image   /home/me/a-folder-of-images/\n        a-folder-within/image.img.zst y"
        );
        let command = format!("hint: run `umount {path}` now");
        assert_eq!(fold(&command, 40, "…"), format!("hint: run `umount\n  {path}`\n  now"));
        let hash = "f".repeat(64);
        let folded = format!("        {}\n        {}", &hash[..32], &hash[32..]);
        assert_eq!(fold(&format!("        {hash}"), 40, "…"), folded);
        let [first, second] = [&hash[..32], &hash[32..]];
        for (line, width, expected) in [
            (
                format!("card holds the image, SHA-256 {hash}"),
                60,
                format!("card holds the image, SHA-256\n  {first}\n  {second}"),
            ),
            (
                format!("        SHA-256 of {hash}"),
                60,
                format!("        SHA-256 of\n        {first}\n        {second}"),
            ),
            (format!("        SHA-256 of {hash}"), 80, format!("        SHA-256 of\n        {hash}")),
            (
                format!("a sha256:{hash}, which is not the one that is known here"),
                50,
                format!("a\n  sha256:{first}\n  {second}, which is not\n  the one that is known here"),
            ),
        ] {
            assert_eq!(fold(&line, width, "…"), expected);
        }
        let quarters = [16, 32, 48, 64].map(|end| format!("  {}", &hash[end - 16..end])).join("\n");
        assert_eq!(fold(&format!("a {hash}"), 30, "…"), format!("a\n{quarters}"));
        let longer = fold(&format!("a {hash}{hash}"), 60, "…");
        assert_eq!(longer, format!("a{}", format!("\n  {first}").repeat(4)));
    }

    #[test]
    fn an_unclosed_backtick_is_part_of_a_word_and_a_sentence_has_no_label() {
        assert_eq!(fold("an unclosed ` is a word like any other of this line", 30, "…").lines().count(), 2);
        assert_eq!(fold("deploys accept the key of a host", 30, "…"), "deploys accept the key of a\n  host");
    }

    #[test]
    fn fuzz() {
        let samples =
            ["card    /dev/sdb (USB, 1 GiB)", "hint: run `a b  c` now", "日本 é   x", "``` a ` b", "  a  b"];
        crate::base::fuzz::check_text(&samples, |text| {
            for width in [0, 30, 60, 80] {
                let folded = fold(text, width, "…");
                let dense = |text: &str| text.replace("\n  | ", "\n").split_whitespace().collect::<String>();
                assert_eq!(dense(&folded), dense(text));
                let paths = text.split(' ').filter(|word| word.contains('/') && text.contains('`'));
                let widest_path =
                    paths.map(UnicodeWidthStr::width).max().map_or(0, |width| MAX_LABEL + width);
                let limit = width.max(MIN_WIDTH).max(widest_path);
                assert!(folded.split('\n').all(|line| line.trim_end().width() <= limit), "{folded:?}");
            }
        });
    }
}
