//! The writer: the only part that runs elevated. It reads the plan from its stdin, looks at the card
//! again, writes, and speaks JSON lines on its stdout. The end of its stdin means that whoever started
//! it has gone or wants it to stop; unlike a signal, that also reaches it through sudo.

use std::io::{BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::card::FileCard;
use super::engine::{Content, write_image};
use super::plan::Plan;
use super::report::Report;
use crate::disk::{Roots, open_exclusive, unmount};
use crate::failure;
use crate::ui::{Event, Reporter};

/// One line that the writer says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Message {
    Report { report: Report },
    Event(Event),
}

/// Carries out the plan that stands on stdin. `say` is called with each line for stdout.
pub fn serve(say: impl Fn(&str) + Send + Sync) -> Result<()> {
    let lines = Lines { say };
    let written = read_plan().and_then(|(plan, cancel)| carry_out(&plan, &lines, &cancel));
    match &written {
        Ok(report) => lines.message(&Message::Report { report: report.clone() }),
        Err(error) => {
            lines.report(&Event::Failed { code: failure::kind(error).code(), message: format!("{error:#}") });
        }
    }
    written.map(|_| ())
}

fn carry_out(plan: &Plan, reporter: &dyn Reporter, cancel: &AtomicBool) -> Result<Report> {
    let (roots, image) = (Roots::default(), &plan.image);
    unmount(&roots, &plan.disk, &plan.unmount)?;
    // Claims and locks the card, and refuses one that is not the card of the plan.
    let locked = open_exclusive(&roots, &plan.disk)?;
    let card = FileCard::locked(locked, plan.disk.size)?;
    let content = Content { size: image.size, hash: image.hash, open: &|| image.source.stream() };
    write_image(&card, &content, plan.mode, reporter, cancel)
}

/// The plan, and the flag that is set when the writer is to stop.
fn read_plan() -> Result<(Plan, Arc<AtomicBool>)> {
    let cancel = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&cancel)).context("preparing for signals")?;
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("reading the plan")?;
    let plan = serde_json::from_str(&line).context("reading the plan")?;
    let flag = Arc::clone(&cancel);
    // Ends with the process: there is no way to take back a read from stdin.
    std::thread::spawn(move || {
        let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
        flag.store(true, Ordering::Relaxed);
    });
    Ok((plan, cancel))
}

struct Lines<F> {
    say: F,
}

impl<F: Fn(&str)> Lines<F> {
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
