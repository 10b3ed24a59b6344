//! Pairs the events that begin something with those that end it, for programs: each phase, child and task that begins
//! ends once, whatever becomes of the run.

use std::time::Instant;

use crate::base::{Event, Subject};

/// An event and the host or the card that it is about.
type Subjected = (Option<Subject>, Event);

/// What has begun and has not ended, in order.
pub struct OpenEvents(Vec<Open>);

/// Something that has begun: for a host or a card, or for the command.
struct Open {
    subject: Option<Subject>,
    what: What,
    begin: Instant,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    Phase(String),
    Task(u64),
    Child(u64),
}

impl OpenEvents {
    /// Nothing has begun.
    pub const NONE: Self = Self(Vec::new());

    /// The events to print for `event` of `subject`, with the ends that it implies. An end of what has not begun is
    /// left out.
    pub fn pair(&mut self, subject: Option<&Subject>, event: &Event) -> Vec<Subjected> {
        let same = || (subject.cloned(), event.clone());
        let begun = match event {
            Event::Phase { name, .. } => What::Phase(name.clone()),
            Event::TaskStarted { task, .. } => What::Task(*task),
            Event::ChildStarted { child, .. } => What::Child(*child),
            Event::Done { name, .. } | Event::Found { name, .. } => {
                let (mut events, end) = self.close_phase(subject, name);
                events.push(same());
                events.extend(end);
                return events;
            }
            Event::PhaseEnded { name: None } => return self.close_phases(subject),
            Event::PhaseEnded { name: Some(name) } => {
                let (mut events, end) = self.close_phase(subject, name);
                events.extend(end);
                return events;
            }
            Event::TaskEnded { task } => {
                return self.close(subject, &What::Task(*task)).map(|_| same()).into_iter().collect();
            }
            Event::ChildEnded { child, .. } => {
                return self.close(subject, &What::Child(*child)).map(|_| same()).into_iter().collect();
            }
            _ => return vec![same()],
        };
        self.0.push(Open { subject: subject.cloned(), what: begun, begin: Instant::now() });
        vec![same()]
    }

    /// The ends of all that has begun: first of what began last.
    pub fn end(self) -> Vec<Subjected> {
        self.0.into_iter().rev().map(Open::into_end).collect()
    }

    /// Takes the last `what` of `subject`.
    fn close(&mut self, subject: Option<&Subject>, what: &What) -> Option<Open> {
        let is_it = |open: &Open| open.subject.as_ref() == subject && open.what == *what;
        let at = self.0.iter().rposition(is_it)?;
        Some(self.0.remove(at))
    }

    /// The ends of the tasks of the phase `name` of `subject`, and that of the phase; none where it does not run.
    fn close_phase(&mut self, subject: Option<&Subject>, name: &str) -> (Vec<Subjected>, Option<Subjected>) {
        let is_it =
            |open: &Open| open.subject.as_ref() == subject && open.what == What::Phase(name.to_owned());
        let Some(at) = self.0.iter().rposition(is_it) else { return (Vec::new(), None) };
        let is_task =
            |open: &mut Open| open.subject.as_ref() == subject && matches!(open.what, What::Task(_));
        let tasks = self.0.extract_if(at.., is_task).map(Open::into_end).collect();
        (tasks, Some(self.0.remove(at).into_end()))
    }

    /// The ends of all phases of `subject`, and of their tasks.
    fn close_phases(&mut self, subject: Option<&Subject>) -> Vec<Subjected> {
        let is_phase =
            |open: &mut Open| open.subject.as_ref() == subject && !matches!(open.what, What::Child(_));
        let mut ended = self.0.extract_if(.., is_phase).collect::<Vec<_>>();
        ended.reverse();
        ended.into_iter().map(Open::into_end).collect()
    }
}

impl Open {
    /// The event of its end.
    fn into_end(self) -> Subjected {
        let event = match self.what {
            What::Phase(name) => Event::PhaseEnded { name: Some(name) },
            What::Task(task) => Event::TaskEnded { task },
            What::Child(child) => {
                let seconds = self.begin.elapsed().as_secs_f64();
                Event::ChildEnded { child, exit_code: None, seconds }
            }
        };
        (self.subject, event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An event in words: `phase NAME`, `done NAME`.
    fn event(words: &str) -> Event {
        let (kind, name) = words.split_once(' ').unwrap_or((words, ""));
        let name = name.to_owned();
        let number = name.parse().unwrap_or_default();
        match kind {
            "phase" => Event::Phase { name, total: None, is_in_bytes: false },
            "done" => Event::Done { name, amount: 1, is_in_bytes: false, seconds: 1.0 },
            "found" => Event::Found { name, text: String::new() },
            "end" => Event::PhaseEnded { name: Some(name).filter(|name| !name.is_empty()) },
            "task" => Event::TaskStarted { task: number, text: String::new(), is_emulated: false },
            "task_end" => Event::TaskEnded { task: number },
            "child" => Event::ChildStarted { child: number, argv: Vec::new() },
            "child_end" => Event::ChildEnded { child: number, exit_code: Some(0), seconds: 1.0 },
            _ => Event::note(words),
        }
    }

    fn words(event: &Event) -> String {
        match event {
            Event::Phase { name, .. } => format!("phase {name}"),
            Event::Done { name, .. } => format!("done {name}"),
            Event::Found { name, .. } => format!("found {name}"),
            Event::PhaseEnded { name } => format!("end {}", name.as_deref().unwrap_or_default()),
            Event::TaskStarted { task, .. } => format!("task {task}"),
            Event::TaskEnded { task } => format!("task_end {task}"),
            Event::ChildStarted { child, .. } => format!("child {child}"),
            Event::ChildEnded { child, exit_code: Some(_), .. } => format!("child_end {child}"),
            Event::ChildEnded { child, .. } => format!("child_gone {child}"),
            Event::Note { text } => text.clone(),
            other => format!("{other:?}"),
        }
    }

    /// What is printed for the `events` of a run, each `[HOST:] WORDS`, which then ends.
    fn printed(events: &[&str]) -> Vec<String> {
        let mut open = OpenEvents::NONE;
        let mut all = Vec::new();
        for text in events {
            let (host, text) = text.split_once(": ").map_or((None, *text), |(host, rest)| (Some(host), rest));
            let subject = host.map(|host| Subject::Host(host.into()));
            all.extend(open.pair(subject.as_ref(), &event(text)));
        }
        all.extend(open.end());
        let with_host = |(subject, event): &Subjected| match subject {
            Some(subject) => format!("{subject}: {}", words(event)),
            None => words(event),
        };
        all.iter().map(with_host).collect()
    }

    /// Checks what is printed for the events of each case.
    fn assert_printed(cases: &[(&[&str], &[&str])]) {
        for (events, expected) in cases {
            assert_eq!(printed(events), *expected, "{events:?}");
        }
    }

    #[test]
    fn each_phase_has_one_end() {
        assert_printed(&[
            (&["phase a", "end a"], &["phase a", "end a"]),
            // A result ends its phase; a result without a phase ends none.
            (&["phase a", "done a"], &["phase a", "done a", "end a"]),
            (&["phase a", "found a", "end a"], &["phase a", "found a", "end a"]),
            (&["phase a", "found total", "end a"], &["phase a", "found total", "end a"]),
            (&["end a", "task_end 1", "child_end 1", "end", "x"], &["x"]),
            // A task ends with its phase.
            (
                &["phase a", "task 1", "task 2", "task_end 2", "done a"],
                &["phase a", "task 1", "task 2", "task_end 2", "task_end 1", "done a", "end a"],
            ),
            // Phases within phases, also of the same name.
            (
                &["phase a", "phase a", "done a", "phase b", "end b", "end a"],
                &["phase a", "phase a", "done a", "end a", "phase b", "end b", "end a"],
            ),
        ]);
    }

    #[test]
    fn hosts_side_by_side_and_a_run_that_ends_midway_are_paired() {
        assert_printed(&[
            // Hosts side by side, one of which ends whatever ran.
            (
                &["p: phase a", "q: phase a", "p: phase b", "phase a", "p: end", "q: done a"],
                &[
                    "p: phase a",
                    "q: phase a",
                    "p: phase b",
                    "phase a",
                    "p: end b",
                    "p: end a",
                    "q: done a",
                    "q: end a",
                    "end a",
                ],
            ),
            // A run that ends midway.
            (
                &["phase a", "child 7", "task 7", "child 8", "child_end 7"],
                &[
                    "phase a",
                    "child 7",
                    "task 7",
                    "child 8",
                    "child_end 7",
                    "child_gone 8",
                    "task_end 7",
                    "end a",
                ],
            ),
        ]);
    }
}
