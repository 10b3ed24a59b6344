//! The worker: the only part that runs elevated. It is handed the job over the socket that is its stdin, does it, and
//! speaks JSON lines on its stdout. The end of its stdin means that whoever started it has gone or wants it to stop;
//! unlike a signal, that also reaches it through sudo.
//!
//! Where it is root for somebody else, it only opens and claims the card. All that reads an image or a card is done by
//! a child that has the rights of that user.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::caller::Caller;
use super::claim::{Claimed, claim_for};
use super::job::{Job, JobContext, Work};
use super::letter::{Files, Handed, JobRequest, LONGEST, readable};
use super::needs::{Access, Needs};
use super::table;
use crate::base::failure::{self, ExitKind};
use crate::base::process::{Launcher, handover};
use crate::base::{Event, Reporter, hardening, interrupt};
use crate::card::ext4::Programs;

/// A job comes right after the start.
const JOB_TIMEOUT: Duration = Duration::from_secs(30);
/// So much memory the worker takes for all but the window of a decompressor, in bytes: three buffers, and a job with
/// files.
const MEMORY: u64 = 256 << 20;
/// The largest window, in bytes: what an image says of its own is no reason to take more.
const WINDOW: u64 = 4 << 30;

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

/// Does the job that comes over stdin, as far as `access` goes, and returns the exit code. `say` is called with each
/// line for stdout.
pub fn serve(access: Access, say: impl Fn(&str) + Send + Sync) -> u8 {
    let lines = Lines { say };
    lines.serve(access).unwrap_or_else(|error| {
        lines.report(&Event::failed(&error));
        failure::kind(&error).code()
    })
}

struct Lines<F> {
    say: F,
}

impl<F: Fn(&str) + Send + Sync> Lines<F> {
    fn serve(&self, access: Access) -> Result<u8> {
        std::env::set_current_dir("/").context("leaving the working directory")?;
        let stdin = std::io::stdin();
        handover::check(stdin.as_fd())?;
        // Who has asked is known before anything that came is looked at.
        let caller = Caller::find(stdin.as_fd())?;
        let (line, files) = handover::receive(stdin.as_fd(), LONGEST, JOB_TIMEOUT)?;
        let letter = JobRequest::parse(&line)?;
        letter.is_for(access)?;
        let window = letter
            .job
            .needs()
            .image
            .map_or(0, |image| image.source.window.max(image.source.limits.memory).clamp(MEMORY, WINDOW));
        hardening::confine(MEMORY + window)?;
        let files = letter.sort(files)?;
        if files.card.is_some() && rustix::process::geteuid().is_root() {
            return Err(ExitKind::Refused.error("a worker that is root opens the card itself"));
        }
        match caller {
            Some(caller) => self.delegate(caller, letter, &files),
            None => self.carry_out(&letter, files).map(|()| 0),
        }
    }

    /// Claims the card for `caller`, and has a child with their rights do the rest. Its exit code is that of this process. The
    /// image is not so much as looked at here: it may be on a file system of the caller's that does not answer.
    fn delegate(&self, caller: Caller, mut letter: JobRequest, files: &Files) -> Result<u8> {
        let locked = claim_for(caller, &letter.job.needs())?;
        let cancel = watch()?;
        let card = Claimed::lent(locked)?;
        letter.handed.extend([Handed::Card, Handed::View]);
        let line = serde_json::to_string(&letter).context("writing the job as JSON")?;
        let handed = files.image.iter().chain([card.locked.file(), &card.view]).map(AsFd::as_fd);
        let (handed, needs) = (handed.collect::<Vec<_>>(), letter.job.needs());
        let (program, command) = ("/proc/self/exe", needs.access.command());
        let stop = || cancel.load(Ordering::Relaxed);
        let launcher = Launcher::clean("/").with_env("LC_ALL", "C");
        let code = launcher.delegate(program, &[command], caller.0, &line, &handed, stop)?;
        self.announce(&needs, &card.release(), code == 0);
        Ok(u8::try_from(code).unwrap_or(u8::MAX))
    }

    fn carry_out(&self, letter: &JobRequest, files: Files) -> Result<()> {
        let JobRequest { job, programs, .. } = letter;
        if let (Some(image), Some(file)) = (job.needs().image, &files.image) {
            readable(file)?;
            image.source.check(file)?;
        }
        let (cancel, programs) = (&watch()?, programs.as_deref());
        match job {
            Job::Flash(plan) => self.answer(plan, files, programs, cancel),
            Job::Compare(comparing) => self.answer(comparing, files, programs, cancel),
            Job::Capacity(capacity) => self.answer(capacity, files, programs, cancel),
            Job::Inspect(inspecting) => self.answer(inspecting, files, programs, cancel),
        }
    }

    fn answer<W: Work>(
        &self,
        work: &W,
        files: Files,
        programs: Option<&Path>,
        cancel: &AtomicBool,
    ) -> Result<()> {
        let needs = work.needs();
        let begun = || self.message(&Message::Begun { begun: needs.disk.path.clone() });
        let (card, programs) = match files.card {
            Some(card) => (Claimed::adopt(&needs, card)?, Programs::Trusted(programs)),
            None => (Claimed::open(&needs)?, Programs::Found),
        };
        // The process that has claimed the card tells the kernel.
        let view = (programs == Programs::Found).then(|| card.view.try_clone());
        let view = view.transpose().context("opening the card a second time")?;
        let image = files.image.as_ref();
        let done =
            work.carry_out(card, &JobContext { reporter: self, begun: &begun, cancel, image, programs });
        if let Some(view) = view {
            self.announce(&needs, &view, done.is_ok());
        }
        let answer = serde_json::to_value(done?).context("writing the answer as JSON")?;
        self.message(&Message::Answer { answer });
        Ok(())
    }

    /// Tells the kernel what is on a card that was flashed, `whole` or not; `view` is the card, which nobody claims any more.
    fn announce(&self, needs: &Needs, view: &File, whole: bool) {
        if let (Access::Write, Some(image)) = (needs.access, needs.image) {
            table::announce(view, whole.then_some(&image.layout), self);
        }
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

/// A flag that is set when the worker is to stop: at the end of stdin, or by a signal. Until here signals end it.
fn watch() -> Result<Arc<AtomicBool>> {
    let hold = interrupt::guard()?;
    let (cancel, stdin) = (Arc::new(AtomicBool::new(false)), std::io::stdin());
    interrupt::set_on_request(&cancel)?;
    let flag = Arc::clone(&cancel);
    let mut source = File::from(stdin.as_fd().try_clone_to_owned().context("watching for the end of stdin")?);
    // Ends with the process.
    let watch = move || {
        while !hold.requested() && goes_on(&mut source) {}
        flag.store(true, Ordering::Relaxed);
        // Signals are noted to the end.
        std::mem::forget(hold);
    };
    std::thread::Builder::new().spawn(watch).context("watching for the end of stdin")?;
    Ok(cancel)
}

/// Waits for a moment, and says whether `source` has not come to its end. What still comes is for nobody.
fn goes_on(source: &mut File) -> bool {
    let moment = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    match poll(&mut [PollFd::new(source, PollFlags::IN)], Some(&moment)) {
        Ok(0) | Err(Errno::INTR) => true,
        Ok(_) => source.read(&mut [0; 4096]).is_ok_and(|count| count > 0),
        Err(_) => false,
    }
}
