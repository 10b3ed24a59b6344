//! Starting the worker, elevated where the card cannot be opened otherwise, and following it.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context as _, Error, Result};
use rustix::fs::Access as Mode;
use serde_json::Value;

use super::caller::as_own;
use super::job::Work;
use super::letter::{Handed, JobRequest};
use super::needs::Access;
use super::serve::Message;
use crate::base::failure::ExitKind;
use crate::base::process::{Ended, Launcher};
use crate::base::{Context, Event};
use crate::card::ext4;

/// The programs that can make the worker root, in the order in which they are tried.
const ELEVATORS: [&str; 3] = ["sudo", "run0", "doas"];

/// Has `work` done in a process of its own and returns the answer. The image is opened by this process, and handed over.
pub fn run<W: Work>(cx: &Context, work: &W) -> Result<W::Answer> {
    let image = work.needs().image.map(|image| image.source.handed_over()).transpose()?;
    let (launcher, program, args) = command(cx, work)?;
    let handed = image.iter().map(|_| Handed::Image).collect();
    let debugfs = ext4::check_programs(&cx.launcher).ok();
    let programs = debugfs.and_then(|path| Some(path.parent()?.to_owned()));
    let letter = JobRequest { handed, job: work.clone().into(), programs };
    let input = serde_json::to_string(&letter).context("writing the job as JSON")?;
    let (mut heard, files) = (WorkerOutput::default(), image.iter().map(AsFd::as_fd).collect::<Vec<_>>());
    let ended = launcher.exchange(&program, &args, &input, &files, |line| heard.line(cx, line))?;
    let answer = heard.conclude::<W>(&program, ended)?;
    serde_json::from_value(answer).context("reading the answer of the worker")
}

/// Whether the card at `path` can be opened at all, so that nobody waits or confirms in vain.
///
/// # Errors
/// Of [`ExitKind::Permission`] where this user may not, and nothing can make the worker root.
pub fn check_access(cx: &Context, path: &Path, access: Access) -> Result<()> {
    if access.is_granted(path) {
        return Ok(());
    }
    elevator(cx, path, access).map(|_| ())
}

impl Access {
    /// The hidden command of this binary that is the worker. It does nothing but what its name says.
    pub fn command(self) -> &'static str {
        match self {
            Self::Read => "read-card",
            Self::Write => "write-card",
        }
    }

    fn is_granted(self, path: &Path) -> bool {
        let mode = match self {
            Self::Read => Mode::READ_OK,
            Self::Write => Mode::READ_OK | Mode::WRITE_OK,
        };
        rustix::fs::access(path, mode).is_ok()
    }

    /// The words for who does it, the doing, and what it was done to.
    fn words(self) -> [&'static str; 3] {
        match self {
            Self::Read => ["reader", "reading", "read"],
            Self::Write => ["writer", "writing", "written"],
        }
    }
}

/// What makes the worker root for the card at `path`. It opens no plain files: for those nobody needs to be root.
fn elevator(cx: &Context, path: &Path, access: Access) -> Result<&'static str> {
    let (shown, [.., done]) = (path.display(), access.words());
    if path.is_file() {
        let text = format!(
            "{shown} may not be {done} by this user, and root's rights are for cards alone; take a file of your own"
        );
        return Err(ExitKind::Permission.error(text));
    }
    let found = ELEVATORS.into_iter().find(|name| cx.launcher.which(name).is_some());
    found.ok_or_else(|| {
        let tried = ELEVATORS.join(", ");
        let text =
            format!("{shown} may not be {done} by this user, and there is none of {tried}; run as root");
        ExitKind::Permission.error(text)
    })
}

/// The command line of the worker for `work`, and how it is started.
fn command<W: Work>(cx: &Context, work: &W) -> Result<(Launcher, String, Vec<OsString>)> {
    let own = std::env::current_exe().context("finding this program")?;
    let (needs, name) = (work.needs(), W::ACCESS.command());
    let (path, is_root) = (&needs.disk.path, rustix::process::geteuid().is_root());
    if W::ACCESS.is_granted(path) && (needs.unmount.is_empty() || is_root) {
        let launcher = if is_root { as_own(&cx.launcher) } else { cx.launcher.clone() };
        return Ok((launcher, own.display().to_string(), vec![name.into()]));
    }
    let (elevator, [_, doing, _]) = (elevator(cx, path, W::ACCESS)?, W::ACCESS.words());
    cx.note(format!("{doing} needs root: {elevator} -- {} {name}", own.display()));
    Ok((cx.launcher.clone(), elevator.to_owned(), vec!["--".into(), own.into(), name.into()]))
}

/// What the worker has said so far.
#[derive(Default)]
struct WorkerOutput {
    /// The worker has begun to read or write the card; before that, nothing is lost.
    begun: bool,
    answer: Option<Value>,
    failed: Option<Error>,
}

impl WorkerOutput {
    fn line(&mut self, cx: &Context, line: &str) {
        match serde_json::from_str(line) {
            Ok(Message::Answer { answer }) => self.answer = Some(answer),
            Ok(Message::Begun { .. }) => self.begun = true,
            Ok(Message::Event(event)) => match event.into_error() {
                Ok(error) => self.failed = Some(error),
                Err(event) => cx.reporter.report(&event),
            },
            Err(_) => cx.reporter.report(&Event::log(line)),
        }
    }

    fn conclude<W: Work>(self, program: &str, ended: Ended) -> Result<Value> {
        let (Ended { code, stopped }, [who, _, done]) = (ended, W::ACCESS.words());
        match (self.failed, self.answer) {
            (Some(error), _) => Err(error),
            (None, Some(answer)) if code == 0 => Ok(answer),
            _ if stopped && !self.begun => Err(ExitKind::Interrupted.error("stopped; nothing was written")),
            _ if !self.begun => {
                let text = format!(
                    "{program} ended with exit code {code} before the {who} began; nothing was {done}"
                );
                Err(ExitKind::Permission.error(text))
            }
            _ => Err(ExitKind::Io.error(format!("the {who} ended with exit code {code} {}", W::CUT_SHORT))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::flash::{Comparison, Report};
    use crate::card::inspect::Inspection;

    #[test]
    fn fuzz_what_the_worker_says() {
        let lines = [
            r#"{"begun":"/dev/mmcblk0"}"#,
            r#"{"event":"phase","name":"write","total":8388608,"bytes":true}"#,
            r#"{"event":"progress","done":1048576,"total":null,"detail":"4.0 MiB/s"}"#,
            r#"{"event":"map","runs":[{"fate":"written","mib":6},{"fate":"skipped","mib":2}]}"#,
            r#"{"event":"failed","code":4,"message":"verification failed"}"#,
            r#"{"answer":{"added":false,"blank":false,"differences":[777],"equal":false,"hash":"b6e4708863cecd41d713ca7d4fd40ab461bfdceb2bb9c445de543d9536e3a390","map":[{"fate":"bad","mib":1}],"rates":{"read":371050465,"write":null},"seconds":0.5,"size":1048576,"unreadable":null}}"#,
            r#"{"answer":{"layout":{"id":1,"partitions":[]},"partitions":[],"verdict":{"boots":"no","why":"it is blank"}}}"#,
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
