//! Whatever a text holds, and wherever it is shown: a terminal gets characters that it draws, in lines of the tool's own.

use super::bars::{self, Running};
use super::prompt::Prompt;
use crate::base::{ChunkRun, ChunkState, Event, Table, escape};

const SAMPLES: [&str; 6] = [
    "\u{1b}[2J\u{1b}[H",
    "a\nerror: nothing was written\nType sda to go on: ",
    "\u{9b}31m\u{9d}0;title\u{9c}\u{7f}\u{8}\r\u{b}\u{c}\0\u{85}",
    "key\u{202e}gpj\u{2066}x\u{2069}\u{200f}\u{61c}\u{feff}\u{ad}\u{2028}\u{2029}\u{e0041}\u{fe0f}",
    "SanDisk\t\u{1b}]8;;http://x\u{1b}\\y",
    "{wide_msg} {prefix} 日本 é 100%",
];

/// A terminal draws all of `shown`, which has `count` lines.
#[track_caller]
fn is_drawn(shown: &str, count: usize) {
    let lines = shown.split('\n').collect::<Vec<_>>();
    assert_eq!(lines.len(), count, "{shown:?}");
    for line in lines {
        // Neither a control character nor one of those that turn, hide or end a line.
        let wrong = |c: &char| {
            u32::from(*c) < 0x20
                || matches!(c,
                    '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                    | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e0fff}')
        };
        assert_eq!(line.chars().find(wrong), None, "{shown:?}");
    }
}

/// Of several lines only the first begins at the left edge, so that none passes for one of the tool's own.
#[track_caller]
fn is_one_text(shown: &str, text: &str) {
    is_drawn(shown, text.trim_end_matches('\n').split('\n').count());
    for line in shown.split('\n').skip(1) {
        assert!(line.is_empty() || line.starts_with("  "), "{shown:?}");
    }
}

/// All events with `text` in every field; a new variant has to be added here.
#[expect(clippy::match_same_arms, reason = "the list is there to be complete")]
fn events(text: &str) -> Vec<Event> {
    let (name, text) = (|| text.to_owned(), || text.to_owned());
    let all = vec![
        Event::Note { text: text() },
        Event::Warning { text: text() },
        Event::Log { text: text() },
        Event::Phase { name: name(), total: Some(1), bytes: true },
        Event::Step { text: text() },
        Event::Progress { done: 1, total: None, detail: Some(text()) },
        Event::Done { name: name(), amount: 1, bytes: true, seconds: 1.0 },
        Event::Found { name: name(), text: text() },
        Event::PhaseEnded,
        Event::Map { runs: vec![ChunkRun { state: ChunkState::Written, mib: 1 }] },
        Event::Failed { code: 1, message: text(), hint: Some(text()) },
    ];
    for event in &all {
        match event {
            Event::Note { .. } | Event::Warning { .. } | Event::Log { .. } | Event::Phase { .. } => {}
            Event::Step { .. } | Event::Progress { .. } | Event::Done { .. } | Event::Found { .. } => {}
            Event::PhaseEnded | Event::Map { .. } | Event::Failed { .. } => {}
        }
    }
    all
}

#[test]
fn fuzz_lines_of_events() {
    crate::base::fuzz::check_text(&SAMPLES, |text| {
        // Each line of a text has the whole name in front.
        let host = text.chars().take(100).collect::<String>();
        for event in events(text) {
            let Some(shown) = bars::line_of(&event) else { continue };
            match event {
                Event::Note { .. } | Event::Warning { .. } => is_one_text(&shown, text),
                Event::Map { .. } => is_drawn(&shown, 2),
                _ => is_drawn(&shown, 1),
            }
            let of_host = bars::prefixed(&host, &shown);
            let host = escape::line(&host);
            assert!(of_host.lines().all(|line| line.starts_with(&host)), "{of_host:?}");
            is_drawn(&of_host, shown.split('\n').count());
        }
    });
}

#[test]
fn fuzz_bars() {
    crate::base::fuzz::check_text(&SAMPLES, |text| {
        let mut running = Running::new(text, Some(1), false);
        is_drawn(&running.bar.prefix(), 1);
        running.advance(1, None, Some(text));
        is_drawn(&running.bar.message(), 1);
        running.step(text);
        is_drawn(&running.bar.message(), 1);
        let board = super::multi_progress::Board::default();
        for event in events(text) {
            board.report(text, &event, None);
            for bar in board.bars() {
                is_drawn(&bar.prefix(), 1);
                is_drawn(&bar.message(), 1);
            }
        }
    });
}

#[test]
fn fuzz_json_lines() {
    crate::base::fuzz::check_text(&SAMPLES, |text| {
        for event in events(text) {
            let shown = bars::json_line(&event).unwrap();
            is_drawn(&shown, 1);
            assert_eq!(serde_json::from_str::<Event>(&shown).unwrap(), event);
        }
    });
}

#[test]
fn fuzz_table_cells() {
    crate::base::fuzz::check_text(&SAMPLES, |text| {
        let mut table = Table::new(&["A", text]);
        table.row([text, text]);
        table.row(["b", text, text]);
        is_drawn(&table.to_string(), 3);
    });
}

#[test]
fn fuzz_questions_and_errors() {
    crate::base::fuzz::check_text(&SAMPLES, |text| {
        is_drawn(&Prompt { question: text, unanswered: "" }.shown(), 1);
        let message = super::error_lines(text, None);
        is_one_text(&message, &format!("error: {text}"));
        assert!(message.starts_with("error: "));
        // No word of a message passes for a hint.
        let both = super::error_lines(text, Some(text));
        assert_eq!(both.lines().filter(|line| line.starts_with("hint: ")).count(), 1, "{both}");
    });
}
