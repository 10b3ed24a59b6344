//! The running tasks of a phase, such as builds: a line for each, below the bar of the phase, in a limited number of
//! lines.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::message;
use crate::base::Event;

/// The line of a task: how long it runs, and its text.
const TEMPLATE: &str = "           {elapsed:>4} {wide_msg}";
/// The columns before the text of a task.
const COLUMNS_BEFORE: usize = 16;
/// The line below, for the tasks without a line.
const REST_TEMPLATE: &str = "                {wide_msg}";
/// The most lines of tasks.
const MAX_LINES: usize = 8;
/// The lines of the terminal that stay free for others.
const FREE_LINES: u16 = 6;
/// The most tasks that are known.
const MAX_TASKS: usize = 4096;

/// The board of one phase.
#[derive(Default)]
pub struct TaskBoard {
    tasks: Vec<Task>,
    /// The line that counts the tasks without a line.
    rest: Option<ProgressBar>,
}

struct Task {
    number: u64,
    /// What the task does.
    text: String,
    /// The last line of its output; empty before the first.
    last_line: String,
    since: Instant,
    line: Option<ProgressBar>,
}

impl Task {
    /// The text of its line.
    fn message(&self) -> String {
        let Self { text, last_line, .. } = self;
        let text = if last_line.is_empty() { text.clone() } else { format!("{text}: {last_line}") };
        message::fit(&text, COLUMNS_BEFORE)
    }
}

impl TaskBoard {
    /// Shows an event of a task in the lines of `display`.
    pub fn report(&mut self, display: &MultiProgress, event: &Event) {
        match event {
            Event::TaskStarted { task, text, is_emulated } if self.tasks.len() < MAX_TASKS => {
                let mark = if *is_emulated { " (emulated)" } else { "" };
                let text = format!("{text}{mark}");
                let since = Instant::now();
                self.tasks.push(Task { number: *task, text, last_line: String::new(), since, line: None });
            }
            Event::TaskEnded { task } => {
                let ended = self.tasks.iter().position(|known| known.number == *task);
                ended.map(|at| self.tasks.remove(at)).iter().for_each(Task::clear);
            }
            Event::Output { task: Some(task), text, .. } => {
                if let Some(known) = self.tasks.iter_mut().find(|known| known.number == *task) {
                    known.last_line.clone_from(text);
                    known.line.iter().for_each(|line| line.set_message(known.message()));
                }
                return;
            }
            _ => return,
        }
        self.fill_lines(display, max_lines());
    }

    /// Gives lines to the first tasks without one, `max_lines` in total, and counts the rest.
    fn fill_lines(&mut self, display: &MultiProgress, max_lines: usize) {
        let mut used = self.tasks.iter().filter(|task| task.line.is_some()).count();
        for task in self.tasks.iter_mut().filter(|task| task.line.is_none()) {
            if used >= max_lines {
                break;
            }
            let line = ProgressBar::no_length().with_elapsed(task.since.elapsed());
            let line = add_line(display, self.rest.as_ref(), line, TEMPLATE);
            line.set_message(task.message());
            line.enable_steady_tick(Duration::from_millis(500));
            task.line = Some(line);
            used += 1;
        }
        match self.tasks.len() - used {
            0 => self.rest.take().iter().for_each(ProgressBar::finish_and_clear),
            count => {
                let add = || add_line(display, None, ProgressBar::no_length(), REST_TEMPLATE);
                self.rest.get_or_insert_with(add).set_message(format!("and {count} more"));
            }
        }
    }

    /// Clears all lines: the phase has ended.
    pub fn clear(&mut self) {
        self.tasks.drain(..).for_each(|task| task.clear());
        self.rest.take().iter().for_each(ProgressBar::finish_and_clear);
    }
}

impl Task {
    fn clear(&self) {
        self.line.iter().for_each(ProgressBar::finish_and_clear);
    }
}

/// Adds `line` to `display`, above `below` or else at the end.
fn add_line(
    display: &MultiProgress,
    below: Option<&ProgressBar>,
    line: ProgressBar,
    template: &str,
) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let line = match below {
        Some(below) => display.insert_before(below, line),
        None => display.add(line),
    };
    line.set_style(style);
    line
}

/// How many lines of tasks the terminal has room for.
fn max_lines() -> usize {
    let rows = rustix::termios::tcgetwinsize(std::io::stderr()).map_or(0, |size| size.ws_row);
    // A terminal that does not know its height has at least the usual one.
    let rows = if rows == 0 { 24 } else { rows };
    usize::from(rows.saturating_sub(FREE_LINES)).clamp(1, MAX_LINES)
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressDrawTarget;

    use super::*;

    fn start(task: u64) -> Event {
        Event::TaskStarted { task, text: format!("building {task}"), is_emulated: task == 0 }
    }

    /// The messages of the lines of `board`.
    fn messages(board: &TaskBoard) -> Vec<String> {
        let lines = board.tasks.iter().filter_map(|task| task.line.as_ref()).chain(&board.rest);
        lines.map(ProgressBar::message).collect()
    }

    #[test]
    fn the_board_of_the_documents_is_what_is_drawn() {
        let display = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let mut board = TaskBoard::default();
        let kernel =
            Event::TaskStarted { task: 1, text: "building linux-6.12".to_owned(), is_emulated: true };
        let libc = Event::TaskStarted { task: 2, text: "fetching glibc-2.42".to_owned(), is_emulated: false };
        let text = "  CC      kernel/fork.o".to_owned();
        for event in [kernel, libc, Event::Output { task: Some(1), source: None, text }] {
            board.report(&display, &event);
        }
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/output.md");
        let page = std::fs::read_to_string(page).unwrap();
        let (_, block) = page.split_once("     build ⠹ ").expect("a board");
        let lines = block.lines().skip(1).take_while(|line| *line != "```");
        let after_time = |line: &str| line.trim_start().split_once(' ').unwrap().1.to_owned();
        assert_eq!(lines.map(after_time).collect::<Vec<_>>(), messages(&board));
        assert!(page.contains(&format!("At most {MAX_LINES} have a line")));
    }

    #[test]
    fn the_lines_are_limited_and_move_up() {
        let display = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let mut board = TaskBoard::default();
        (0..20).for_each(|task| board.report(&display, &start(task)));
        let shown = messages(&board);
        assert!(shown.len() <= MAX_LINES + 1, "{shown:?}");
        assert_eq!(shown[0], "building 0 (emulated)");
        assert_eq!(shown.last().unwrap(), &format!("and {} more", 20 - (shown.len() - 1)));
        let text = "\u{1b}[2Jchecking\t1".to_owned();
        board.report(&display, &Event::Output { task: Some(1), source: None, text });
        board.report(&display, &Event::TaskEnded { task: 0 });
        assert_eq!(messages(&board)[0], "building 1: \\u{1b}[2Jchecking    1");
        (1..19).for_each(|task| board.report(&display, &Event::TaskEnded { task }));
        assert_eq!(messages(&board), ["building 19"]);
        board.clear();
        assert!(messages(&board).is_empty());
    }
}
