//! The worker: the only part that runs elevated. It receives the job over the socket that is its stdin, runs it, and
//! writes JSON lines to its stdout. When its stdin ends, the process that started it has ended or asks it to stop;
//! unlike a signal, this also reaches the worker through sudo.
//!
//! Where the worker is root for a caller, it only opens and claims the card. A child with the rights of the caller does
//! all reading of images and cards.

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
use super::claim::{ClaimedCard, claim_for_caller};
use super::job::{Job, JobContext, WorkerJob};
use super::needs::{Access, Needs};
use super::request::{FileRole, Files, JobRequest, MAX_REQUEST, check_feed, check_readable};
use super::rescan::rescan_partitions;
use crate::bail;
use crate::base::failure;
use crate::base::process::{Launcher, handover};
use crate::base::{Event, Reporter, hardening, interrupt, progress_signal};
use crate::card::ext4::ProgramSource;

/// How long the worker waits for its job, which comes right after the start.
const JOB_TIMEOUT: Duration = Duration::from_secs(30);
/// The memory limit of the worker without the window of a decompressor, in bytes: a few buffers, and a job with files.
const BASE_MEMORY: u64 = 256 << 20;
/// The largest window of a decompressor, in bytes, whatever size an image claims to need.
const MAX_WINDOW: u64 = 4 << 30;

/// The line for [`Message::ProgressRequested`].
const PROGRESS_REQUESTED: &str = r#"{"progress_requested":true}"#;

/// One line of the worker's stdout.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Message {
    Answer {
        answer: Value,
    },
    /// The card at this path is claimed, and will be read or written from now on.
    Begun {
        begun: PathBuf,
    },
    /// The user asked the worker for the progress.
    ProgressRequested {
        progress_requested: bool,
    },
    Event(Event),
}

/// Runs the job that comes over stdin, if `access` allows it, and returns the exit code. Calls `write_line` with each
/// line for stdout.
pub fn serve(access: Access, write_line: impl Fn(&str) + Send + Sync + 'static) -> u8 {
    let worker = Worker { write_line: Arc::new(write_line) };
    let served = worker.serve(access);
    // While a card does not answer, the kernel delivers no signal to the thread that waits for the card, so a request
    // may have come only now.
    pass_on_request(&*worker.write_line);
    served.unwrap_or_else(|error| {
        worker.report(&Event::failed(&error));
        failure::kind(&error).code()
    })
}

struct Worker {
    write_line: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Worker {
    fn serve(&self, access: Access) -> Result<u8> {
        progress_signal::watch()?;
        std::env::set_current_dir("/").context("leaving the working directory")?;
        let stdin = std::io::stdin();
        handover::require_socket(stdin.as_fd())?;
        // The caller is found before anything that they sent is parsed.
        let caller = Caller::find(stdin.as_fd())?;
        let (line, received) = handover::receive(stdin.as_fd(), MAX_REQUEST, JOB_TIMEOUT)?;
        let request = JobRequest::parse(&line)?;
        request.check_access(access)?;
        hardening::confine(memory_limit(&request.job))?;
        let files = request.assign(received)?;
        if files.card.is_some() && rustix::process::geteuid().is_root() {
            bail!(
                Refused,
                "the job came with the files of a card, but a worker that is root opens the card itself"
            );
        }
        match caller {
            Some(caller) => self.delegate(caller, request, &files),
            None => self.dispatch(&request, files).map(|()| 0),
        }
    }

    /// Claims the card for `caller`, and runs the job in a child with their rights. Returns the exit code of the child.
    /// This process does not touch the image, which may be on a file system of the caller's that does not answer.
    fn delegate(&self, caller: Caller, mut request: JobRequest, files: &Files) -> Result<u8> {
        let locked = claim_for_caller(caller, &request.job.needs())?;
        let cancel = watch_for_stop(self.write_line.clone())?;
        let card = ClaimedCard::with_caller_view(locked)?;
        request.file_roles.extend([FileRole::Card, FileRole::View]);
        let line = serde_json::to_string(&request).context("writing the job as JSON")?;
        let all_files = files.image.iter().chain(&files.feed).chain([card.locked.file(), &card.view]);
        let descriptors = all_files.map(AsFd::as_fd).collect::<Vec<_>>();
        let needs = request.job.needs();
        let command = needs.access.command_name();
        let is_stopped = || cancel.load(Ordering::Relaxed);
        let launcher = Launcher::with_clean_env("/").with_env("LC_ALL", "C");
        let code =
            launcher.delegate("/proc/self/exe", &[command], caller.0, &line, &descriptors, is_stopped)?;
        self.rescan(&needs, &card.release(), code == 0);
        Ok(u8::try_from(code).unwrap_or(u8::MAX))
    }

    /// Runs the job in this process, with the rights of this process.
    fn dispatch(&self, request: &JobRequest, files: Files) -> Result<()> {
        let JobRequest { job, programs, .. } = request;
        if let (Some(image), Some(file)) = (job.needs().image, &files.image) {
            check_readable(file)?;
            image.source.check_unchanged(file)?;
        }
        files.feed.as_ref().map(check_feed).transpose()?;
        let cancel = &watch_for_stop(self.write_line.clone())?;
        let programs = programs.as_deref();
        match job {
            Job::Flash(plan) => self.run(&**plan, files, programs, cancel),
            Job::Compare(compare) => self.run(compare, files, programs, cancel),
            Job::Capacity(capacity) => self.run(capacity, files, programs, cancel),
            Job::Inspect(inspect) => self.run(inspect, files, programs, cancel),
        }
    }

    /// Claims the card, or takes it over out of `files`, runs `job` on it, and writes the answer. `programs` is the
    /// folder with the programs of the job; once `cancel` is set, the job ends.
    fn run<W: WorkerJob>(
        &self,
        job: &W,
        files: Files,
        programs: Option<&Path>,
        cancel: &AtomicBool,
    ) -> Result<()> {
        let needs = job.needs();
        let report_begun = || self.send(&Message::Begun { begun: needs.disk.path.clone() });
        let (card, programs) = match files.card {
            Some(card) => (ClaimedCard::adopt(&needs, card)?, ProgramSource::Trusted(programs)),
            None => (ClaimedCard::open(&needs)?, ProgramSource::OnPath),
        };
        // Only the process that claimed the card makes the kernel reread the partition table.
        let own_view = match programs {
            ProgramSource::OnPath => Some(card.view.try_clone().context("opening the card a second time")?),
            ProgramSource::Trusted(_) => None,
        };
        let image = files.image.as_ref();
        let feed = files.feed.into();
        let cx = JobContext { reporter: self, report_begun: &report_begun, cancel, image, feed, programs };
        let result = job.run(card, &cx);
        if let Some(view) = own_view {
            self.rescan(&needs, &view, result.is_ok());
        }
        let answer = serde_json::to_value(result?).context("writing the answer as JSON")?;
        self.send(&Message::Answer { answer });
        Ok(())
    }

    /// Makes the kernel reread the partition table of a card that was flashed. `view` is the card, which nobody claims
    /// any more; `is_complete` is whether the card holds the image.
    fn rescan(&self, needs: &Needs, view: &File, is_complete: bool) {
        if let (Access::Write, Some(image)) = (needs.access, needs.image) {
            rescan_partitions(view, is_complete.then_some(&image.layout), self);
        }
    }

    /// Writes `message` as one line.
    fn send(&self, message: &Message) {
        if let Ok(line) = serde_json::to_string(message) {
            (self.write_line)(&line);
        }
    }
}

/// How much memory a worker with `job` may use, in bytes: [`BASE_MEMORY`], and for an image the larger of its window
/// and the limit of windows, which counts as [`BASE_MEMORY`] at least and as [`MAX_WINDOW`] at most.
fn memory_limit(job: &Job) -> u64 {
    let Some(image) = job.needs().image else { return BASE_MEMORY };
    let source = &image.source;
    BASE_MEMORY + source.window.max(source.limits.memory).clamp(BASE_MEMORY, MAX_WINDOW)
}

impl Reporter for Worker {
    fn report(&self, event: &Event) {
        self.send(&Message::Event(event.clone()));
    }
}

/// A flag that is set when the worker must stop: at the end of stdin, or by a signal. Before this call, signals end the
/// worker at once. From now on, `write_line` passes requests for the progress on to the tool, which knows the progress.
fn watch_for_stop(write_line: Arc<dyn Fn(&str) + Send + Sync>) -> Result<Arc<AtomicBool>> {
    let signal_guard = interrupt::guard()?;
    let cancel = Arc::new(AtomicBool::new(false));
    let stdin = std::io::stdin();
    interrupt::set_flag_on_stop(&cancel)?;
    let flag = Arc::clone(&cancel);
    let mut source = File::from(stdin.as_fd().try_clone_to_owned().context("watching for the end of stdin")?);
    // The thread ends with the process.
    let watch = move || {
        while !signal_guard.is_stop_requested() && !wait_for_end(&mut source) {
            pass_on_request(&*write_line);
        }
        flag.store(true, Ordering::Relaxed);
        // Signals stay held until the process ends.
        std::mem::forget(signal_guard);
    };
    std::thread::Builder::new().spawn(watch).context("watching for the end of stdin")?;
    Ok(cancel)
}

/// Passes on a request for the progress, if there was one.
fn pass_on_request(write_line: &dyn Fn(&str)) {
    if progress_signal::take_request() {
        write_line(PROGRESS_REQUESTED);
    }
}

/// Waits up to 100 ms for the end of `source`, and returns whether it has ended. Discards the bytes that still come. A
/// `source` that cannot be read counts as ended.
fn wait_for_end(source: &mut File) -> bool {
    let timeout = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    match poll(&mut [PollFd::new(source, PollFlags::IN)], Some(&timeout)) {
        Ok(0) | Err(Errno::INTR) => false,
        Ok(_) => source.read(&mut [0; 4096]).map_or(true, |count| count == 0),
        Err(_) => true,
    }
}
