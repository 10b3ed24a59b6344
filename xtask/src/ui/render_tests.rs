//! Property tests of all output: whatever a text holds, the terminal gets only characters that it draws, and no line
//! that looks like a line of the tool.

use super::bars;
use super::json;
use super::phase_bar::PhaseBar;
use super::prompt::Prompt;
use super::subject_lines;
use crate::base::failure::{ExitKind, Reason};
use crate::base::{ChunkRun, ChunkState, ErrorReport, Event, Subject, Table, Tone, escape};

const SAMPLES: &[&str] = &[
    "\u{1b}[2J\u{1b}[H",
    "a\nerror: nothing was written\nType sda to go on: ",
    "\u{9b}31m\u{9d}0;title\u{9c}\u{7f}\u{8}\r\u{b}\u{c}\0\u{85}",
    "key\u{202e}gpj\u{2066}x\u{2069}\u{200f}\u{61c}\u{feff}\u{ad}\u{2028}\u{2029}\u{e0041}\u{fe0f}",
    "SanDisk\t\u{1b}]8;;http://x\u{1b}\\y",
    "{wide_msg} {prefix} 日本 é 100%",
];

/// Asserts that `shown` has `count` lines, and that a terminal draws each of its characters.
#[track_caller]
fn assert_drawn(shown: &str, count: usize) {
    let lines = shown.split('\n').collect::<Vec<_>>();
    assert_eq!(lines.len(), count, "{shown:?}");
    for line in lines {
        // No control character, and no character that reverses, hides or ends a line.
        let is_wrong = |c: &char| {
            u32::from(*c) < 0x20
                || matches!(c,
                    '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                    | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e0fff}')
        };
        assert_eq!(line.chars().find(is_wrong), None, "{shown:?}");
    }
}

/// Asserts that `shown` has as many lines as `text`, and that only the first begins at the left edge, so that no other
/// looks like a line of the tool.
#[track_caller]
fn assert_one_text(shown: &str, text: &str) {
    assert_drawn(shown, text.trim_end_matches('\n').split('\n').count());
    for line in shown.split('\n').skip(1) {
        assert!(line.is_empty() || line.starts_with("  "), "{shown:?}");
    }
}

/// One event of each kind, with `text` in all its fields of text. A new kind of event makes the `match` fail to compile
/// until the kind is added here.
#[expect(clippy::match_same_arms, reason = "the list is there to be complete")]
fn events(text: &str) -> Vec<Event> {
    let text = || text.to_owned();
    let all = vec![
        Event::Note { text: text() },
        Event::Verdict { text: text(), tone: Tone::Attention },
        Event::Warning { text: text(), hint: None },
        Event::Warning { text: text(), hint: Some(text()) },
        Event::Log { text: text() },
        Event::TaskStarted { task: 1, text: text(), is_emulated: true },
        Event::Output { task: None, source: None, text: text() },
        Event::Output { task: Some(1), source: Some(text()), text: text() },
        Event::TaskEnded { task: 1 },
        Event::Tail { lines: vec![text()] },
        Event::ChildStarted { child: 1, argv: vec![text()] },
        Event::ChildLine { child: 1, text: text() },
        Event::ChildEnded { child: 1, exit_code: None, seconds: 1.0 },
        Event::LogFile { path: text().into() },
        Event::Phase { name: text(), total: Some(1), is_in_bytes: true },
        Event::Step { text: text() },
        Event::Progress { done: 1, total: None, detail: Some(text()) },
        Event::Ahead { bytes: 1 },
        Event::Done { name: text(), amount: 1, is_in_bytes: true, seconds: 1.0 },
        Event::Found { name: text(), text: text() },
        Event::plan(text(), &[text()]),
        Event::PhaseEnded { name: None },
        Event::Map { runs: vec![ChunkRun { state: ChunkState::Written, mib: 1 }] },
        Event::Failed(ErrorReport::of(&ExitKind::Other.error_with(
            text(),
            Some(text()),
            vec![reason(&text())],
        ))),
    ];
    for event in &all {
        match event {
            Event::Note { .. } | Event::Warning { .. } | Event::Log { .. } | Event::Phase { .. } => {}
            Event::Step { .. } | Event::Progress { .. } | Event::Done { .. } | Event::Found { .. } => {}
            Event::ChildStarted { .. } | Event::ChildLine { .. } | Event::ChildEnded { .. } => {}
            Event::LogFile { .. } | Event::Tail { .. } | Event::Output { .. } => {}
            Event::TaskStarted { .. } | Event::TaskEnded { .. } => {}
            Event::PhaseEnded { .. } | Event::Map { .. } | Event::Plan { .. } => {}
            Event::Failed(_) | Event::Ahead { .. } | Event::Verdict { .. } => {}
        }
    }
    all
}

#[test]
fn fuzz_lines_of_events() {
    crate::base::fuzz::check_text(SAMPLES, |text| {
        // The name of the host is repeated before each line, so a long one would make the test slow.
        let host = text.chars().take(100).collect::<String>();
        for event in events(text) {
            let Some(shown) = bars::line_of(&event) else { continue };
            match event {
                Event::Note { .. }
                | Event::Plan { .. }
                | Event::Verdict { .. }
                | Event::Warning { hint: None, .. } => {
                    assert_one_text(&shown, text);
                }
                Event::Warning { hint: Some(_), .. } => {
                    // Only one line looks like a hint.
                    let (warning, hint) = shown.rsplit_once("\nhint: ").expect("a hint");
                    assert_one_text(warning, &format!("warning: {text}"));
                    assert_one_text(hint, text);
                }
                Event::Map { .. } => assert_drawn(&shown, 2),
                _ => assert_drawn(&shown, 1),
            }
            let for_host = subject_lines::lay_out(&Subject::Host(host.as_str().into()), &shown);
            let name = escape::line(&host);
            assert!(for_host.lines().all(|line| line.starts_with(&name)), "{for_host:?}");
            assert_drawn(&for_host, shown.split('\n').count());
        }
    });
}

#[test]
fn fuzz_bars() {
    crate::base::fuzz::check_text(SAMPLES, |text| {
        let mut running = PhaseBar::new(text, Some(1), false);
        assert_drawn(&running.bar.message(), 1);
        running.show(&Event::Progress { done: 1, total: None, detail: Some(text.to_owned()) });
        assert_drawn(&running.bar.message(), 1);
        running.show(&Event::Step { text: text.to_owned() });
        assert_drawn(&running.bar.message(), 1);
        let board = super::subject_board::SubjectBoard::default();
        let card = Subject::Card { device: text.into(), host: Some(text.into()) };
        for event in events(text) {
            board.report(&Subject::Host(text.into()), &event, None);
            board.report(&card, &event, None);
            for line in board.lines.lock().unwrap().values() {
                assert_drawn(&line.bar.prefix(), 1);
                assert_drawn(&line.bar.message(), 1);
            }
        }
    });
}

#[test]
fn fuzz_json_lines() {
    crate::base::fuzz::check_text(SAMPLES, |text| {
        for event in events(text) {
            let shown = json::event_json(&event).unwrap();
            assert_drawn(&shown, 1);
            assert_eq!(serde_json::from_str::<Event>(&shown).unwrap(), event);
        }
    });
}

#[test]
fn fuzz_table_cells() {
    crate::base::fuzz::check_text(SAMPLES, |text| {
        let mut table = Table::new(&["A", text]);
        table.row([text, text]);
        table.row(["b", text, text]);
        assert_drawn(&table.to_string(), 3);
    });
}

#[test]
fn fuzz_questions_and_errors() {
    crate::base::fuzz::check_text(SAMPLES, |text| {
        assert_drawn(&Prompt { notice: "", question: text, unanswered: "" }.text(), 1);
        let notice = format!("{text}.");
        let prompt = Prompt { notice: &notice, question: text, unanswered: "" }.text();
        let (shown, question) = prompt.rsplit_once('\n').unwrap();
        assert_drawn(question, 1);
        assert_one_text(shown, &notice);
        let message = super::error_lines(text, None, &[]);
        assert_one_text(&message, &format!("error: {text}"));
        assert!(message.starts_with("error: "));
        // No line of a message looks like a hint.
        let both = super::error_lines(text, Some(text), &[]);
        assert_eq!(both.lines().filter(|line| line.starts_with("hint: ")).count(), 1, "{both}");
        // No line of a reason looks like another reason, or like its hint.
        let listed = super::error_lines("two", None, &[reason(text), reason("b")]);
        let begins = |start| listed.lines().filter(|line| line.starts_with(start)).count();
        assert_eq!((begins("  - "), begins("    hint: ")), (2, 2), "{listed}");
        assert_drawn(&listed, listed.lines().count());
    });
}

fn reason(text: &str) -> Reason {
    Reason { kind: None, message: text.to_owned(), hint: Some(text.to_owned()) }
}

#[test]
fn reasons_and_their_hints_are_told_apart() {
    let reasons = [reason("a"), Reason { hint: None, ..reason("b") }];
    let lines = super::error_lines("refused for 2 reasons", None, &reasons);
    assert_eq!(lines, "error: refused for 2 reasons:\n  - a\n    hint: a\n  - b");
    let reasons = [Reason { hint: None, ..reason("no build\n  log:\n  | - x\n\nhint: y") }, reason("b")];
    let lines = super::error_lines("refused for 2 reasons", None, &reasons);
    let expected = "error: refused for 2 reasons:\n  - no build\n      log:\n      | - x\n\n      hint: y\n  - b\n    hint: b";
    assert_eq!(lines, expected);
}
