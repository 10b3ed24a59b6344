//! Starting the worker, elevated where the user may not open the card, and reading its output.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context as _, Error, Result};
use rustix::fs::Access as Mode;
use serde_json::Value;

use super::caller::launcher_for_root;
use super::job::WorkerJob;
use super::needs::Access;
use super::request::{FileRole, JobRequest};
use super::serve::Message;
use crate::base::process::{ExchangeEnd, Launcher};
use crate::base::{Context, Event};
use crate::card::ext4;
use crate::{bail, failure};

/// The programs that can elevate the worker, in the order in which they are tried.
const ELEVATORS: &[&str] = &["sudo", "run0", "doas"];

/// Runs `job` in a worker and returns the answer. This process opens the image and passes the open file to the worker.
pub fn run<W: WorkerJob>(cx: &Context, job: &W) -> Result<W::Answer> {
    run_fed(cx, job, None, &mut || {})
}

/// As [`run`], with a `feed` of the image, see [`feed`](crate::card::feed). Calls `on_begun` once the worker is going
/// to read or write the card.
pub fn run_fed<W: WorkerJob>(
    cx: &Context,
    job: &W,
    feed: Option<File>,
    on_begun: &mut dyn FnMut(),
) -> Result<W::Answer> {
    let image = job.needs().image.map(|image| image.source.file_for_worker()).transpose()?;
    let WorkerCommand { launcher, program, args } = worker_command(cx, job)?;
    let roles = image.iter().map(|_| FileRole::Image);
    let file_roles = roles.chain(feed.iter().map(|_| FileRole::Feed)).collect();
    let debugfs = ext4::find_programs(&cx.launcher).ok();
    let programs = debugfs.and_then(|path| Some(path.parent()?.to_owned()));
    let request = JobRequest { file_roles, job: job.clone().into(), programs };
    let input = serde_json::to_string(&request).context("writing the job as JSON")?;
    let files = image.iter().chain(&feed).map(AsFd::as_fd).collect::<Vec<_>>();
    let mut output = WorkerOutput::new(on_begun);
    let report_error_line = |line: &str| cx.reporter.report(&Event::log(line));
    // With `--json` each line of stderr is an event; without it, sudo may ask there.
    let on_error_line: Option<&(dyn Fn(&str) + Sync)> = if cx.json { Some(&report_error_line) } else { None };
    let on_line = |line: &str| output.read_line(cx, line);
    let ended = launcher.exchange(&program, &args, &input, &files, on_line, on_error_line)?;
    // Nobody feeds a worker that has ended.
    drop(files);
    drop(feed);
    let answer = output.into_answer::<W>(&program, ended)?;
    serde_json::from_value(answer).context("reading the answer of the worker")
}

/// Checks whether a worker could open the card at `path`, so that nobody waits or confirms in vain.
///
/// # Errors
/// Of [`ExitKind::Permission`](crate::base::failure::ExitKind::Permission) where this user may not, and `path` is a
/// plain file, or no program can elevate the worker.
pub fn check_access(cx: &Context, path: &Path, access: Access) -> Result<()> {
    if access.is_granted(path) {
        return Ok(());
    }
    find_elevator(cx, path, access)?;
    Ok(())
}

impl Access {
    /// The command line of this binary that starts the worker. The one for reading never writes.
    pub fn command_name(self) -> &'static str {
        match self {
            Self::Read => "read-card",
            Self::Write => "write-card",
        }
    }

    /// Whether this user may open `path` for this access.
    fn is_granted(self, path: &Path) -> bool {
        let mode = match self {
            Self::Read => Mode::READ_OK,
            Self::Write => Mode::READ_OK | Mode::WRITE_OK,
        };
        rustix::fs::access(path, mode).is_ok()
    }

    /// The verb for this access, as in "this user may not write the card".
    fn verb(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    /// The gerund for this access, as in "writing needs root".
    fn gerund(self) -> &'static str {
        match self {
            Self::Read => "reading",
            Self::Write => "writing",
        }
    }

    /// The participle for this access, as in "nothing was written".
    fn participle(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "written",
        }
    }
}

/// The program that elevates the worker for the card at `path`. An elevated worker opens no plain files: nobody needs
/// to be root for those.
fn find_elevator(cx: &Context, path: &Path, access: Access) -> Result<&'static str> {
    let shown = path.display();
    let verb = access.verb();
    if path.is_file() {
        bail!(
            Permission, "this user may not {verb} {shown}, and an elevated worker opens only cards";
            hint: "use a file of your own"
        );
    }
    let found = ELEVATORS.iter().copied().find(|name| cx.launcher.which(name).is_some());
    found.ok_or_else(|| {
        failure!(
            Permission, "this user may not {verb} {shown}, and none of {} is on PATH", ELEVATORS.join(", ");
            hint: "run the command as root"
        )
    })
}

/// How the worker is started.
struct WorkerCommand {
    launcher: Launcher,
    program: String,
    args: Vec<OsString>,
}

/// The command that starts the worker for `job`.
fn worker_command<W: WorkerJob>(cx: &Context, job: &W) -> Result<WorkerCommand> {
    let this_program = std::env::current_exe().context("finding this program")?;
    let needs = job.needs();
    let name = W::ACCESS.command_name();
    let path = &needs.disk.path;
    let is_root = rustix::process::geteuid().is_root();
    if W::ACCESS.is_granted(path) && (needs.unmount.is_empty() || is_root) {
        let launcher = if is_root { launcher_for_root(&cx.launcher) } else { cx.launcher.clone() };
        let program = this_program.display().to_string();
        return Ok(WorkerCommand { launcher, program, args: vec![name.into()] });
    }
    let elevator = find_elevator(cx, path, W::ACCESS)?;
    cx.note(format!("{} needs root: {elevator} -- {} {name}", W::ACCESS.gerund(), this_program.display()));
    let args = vec!["--".into(), this_program.into(), name.into()];
    Ok(WorkerCommand { launcher: cx.launcher.clone(), program: elevator.to_owned(), args })
}

/// What the worker has written to its stdout so far.
struct WorkerOutput<'a> {
    /// Called when the worker begins.
    on_begun: &'a mut dyn FnMut(),
    /// Whether the worker has begun to read or write the card; before that, the card is unchanged.
    begun: bool,
    answer: Option<Value>,
    error: Option<Error>,
}

impl<'a> WorkerOutput<'a> {
    fn new(on_begun: &'a mut dyn FnMut()) -> Self {
        Self { on_begun, begun: false, answer: None, error: None }
    }

    /// Reads one line: keeps the answer or the error, and reports events. Other lines are logged.
    fn read_line(&mut self, cx: &Context, line: &str) {
        match serde_json::from_str(line) {
            Ok(Message::Answer { answer }) => self.answer = Some(answer),
            Ok(Message::Begun { .. }) => {
                self.begun = true;
                (self.on_begun)();
            }
            Ok(Message::ProgressRequested { .. }) => cx.reporter.report_progress(),
            Ok(Message::Event(event)) => match event.into_error() {
                Ok(error) => self.error = Some(error),
                Err(event) => cx.reporter.report(&event),
            },
            Err(_) => cx.reporter.report(&Event::log(line)),
        }
    }

    /// The answer of the worker, after `program`, which was started for it, has `ended`.
    fn into_answer<W: WorkerJob>(self, program: &str, ended: ExchangeEnd) -> Result<Value> {
        let ExchangeEnd { code, stopped } = ended;
        match (self.error, self.answer) {
            (Some(error), _) => Err(error),
            (None, Some(answer)) if code == 0 => Ok(answer),
            _ if stopped && !self.begun => {
                bail!(Interrupted, "stopped; no card was {}", W::ACCESS.participle())
            }
            _ if !self.begun => bail!(
                Permission, "{program} ended with exit code {code} before the worker began; nothing was {}",
                W::ACCESS.participle();
                hint: "allow {program} to run the worker, or run the command as root"
            ),
            _ => bail!(
                Io, "the worker ended with exit code {code} {}", W::UNFINISHED;
                hint: "{}", W::UNFINISHED_HINT
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::flash::{Comparison, Report};
    use crate::card::inspect::Inspection;

    #[test]
    fn fuzz_the_output_of_the_worker() {
        let lines = [
            r#"{"begun":"/dev/mmcblk0"}"#,
            r#"{"progress_requested":true}"#,
            r#"{"event":"phase","name":"write","total":8388608,"unit":"bytes"}"#,
            r#"{"event":"progress","done":1048576,"total":null,"detail":"4.0 MiB/s"}"#,
            r#"{"event":"map","runs":[{"state":"written","mib":6},{"state":"skipped","mib":2}]}"#,
            r#"{"event":"failed","code":4,"kind":"verification","message":"verification failed","hint":null,"reasons":[]}"#,
            r#"{"answer":{"with_payload":false,"blank":false,"differences":[777],"equal":false,"hash":"b6e4708863cecd41d713ca7d4fd40ab461bfdceb2bb9c445de543d9536e3a390","map":[{"state":"bad","mib":1}],"bytes_per_second":{"read":371050465,"write":null},"seconds":0.5,"bytes":1048576,"unreadable":null}}"#,
            r#"{"answer":{"layout":{"id":1,"partitions":[]},"partitions":[],"verdict":{"boots":"no","message":"the card is blank","hint":null}}}"#,
        ];
        for line in lines {
            assert!(serde_json::from_str::<Message>(line).is_ok(), "{line}");
        }
        crate::base::fuzz::check_text(&lines, |line| {
            if let Ok(Message::Answer { answer }) = serde_json::from_str(line) {
                drop(serde_json::from_value::<Comparison>(answer.clone()));
                drop(serde_json::from_value::<Report>(answer.clone()));
                drop(serde_json::from_value::<Inspection>(answer));
            }
        });
    }
}
