//! The worker: the only part that runs elevated. It reads the job from its stdin, does it, and speaks JSON
//! lines on its stdout. The end of its stdin means that whoever started it has gone or wants it to stop;
//! unlike a signal, that also reaches it through sudo.

use std::io::{BufRead, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::job::{Access, Hands, Job, Work};
use crate::failure::{self, Kind};
use crate::ui::{Event, Reporter};

/// One line that the worker says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Message {
    Answer {
        answer: Value,
    },
    /// The card of this path is claimed, and from here on it is read or written.
    Begun {
        begun: PathBuf,
    },
    Event(Event),
}

/// Does the job that stands on stdin, as far as `access` goes. `say` is called with each line for stdout.
pub fn serve(access: Access, say: impl Fn(&str) + Send + Sync) -> Result<()> {
    let lines = Lines { say };
    let done = read_job().and_then(|(job, cancel)| lines.carry_out(&job, access, &cancel));
    match done {
        Ok(answer) => {
            lines.message(&Message::Answer { answer });
            Ok(())
        }
        Err(error) => {
            lines
                .report(&Event::Failed { code: failure::kind(&error).code(), message: format!("{error:#}") });
            Err(error)
        }
    }
}

/// The job, and the flag that is set when the worker is to stop.
fn read_job() -> Result<(Job, Arc<AtomicBool>)> {
    let cancel = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&cancel)).context("preparing for signals")?;
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("reading the job")?;
    let job = serde_json::from_str(&line).context("reading the job")?;
    let flag = Arc::clone(&cancel);
    // Ends with the process: there is no way to take back a read from stdin.
    std::thread::spawn(move || {
        let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
        flag.store(true, Ordering::Relaxed);
    });
    Ok((job, cancel))
}

struct Lines<F> {
    say: F,
}

impl<F: Fn(&str) + Send + Sync> Lines<F> {
    fn carry_out(&self, job: &Job, access: Access, cancel: &AtomicBool) -> Result<Value> {
        match job {
            Job::Flash(plan) => self.answer(plan, access, cancel),
            Job::Compare(comparing) => self.answer(comparing, access, cancel),
            Job::Capacity(capacity) => self.answer(capacity, access, cancel),
            Job::Inspect(inspecting) => self.answer(inspecting, access, cancel),
        }
    }

    fn answer<W: Work>(&self, work: &W, access: Access, cancel: &AtomicBool) -> Result<Value> {
        if W::ACCESS == Access::Write && access == Access::Read {
            return Err(Kind::Usage.error("this worker only reads"));
        }
        let begun = || self.message(&Message::Begun { begun: work.disk().path.clone() });
        let answer = work.carry_out(&Hands { reporter: self, begun: &begun, cancel })?;
        serde_json::to_value(answer).context("writing the answer as JSON")
    }

    fn message(&self, message: &Message) {
        if let Ok(line) = serde_json::to_string(message) {
            (self.say)(&line);
        }
    }
}

impl<F: Fn(&str) + Send + Sync> Reporter for Lines<F> {
    fn report(&self, event: &Event) {
        self.message(&Message::Event(event.clone()));
    }
}
