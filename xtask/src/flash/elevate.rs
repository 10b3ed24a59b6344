//! Starting the writer, elevated where the card cannot be written otherwise, and following it.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::fs::Access;

use super::plan::Plan;
use super::report::Report;
use super::writer::Message;
use crate::context::Context;
use crate::failure::Kind;
use crate::process::Ended;
use crate::ui::Event;

/// The hidden command of this binary that is the writer.
pub const COMMAND: &str = "write-card";

/// The programs that can make the writer root, in the order in which they are tried.
const ELEVATORS: [&str; 3] = ["sudo", "run0", "doas"];

/// Carries out `plan` in a process of its own and returns what was read back.
pub fn write(cx: &Context, plan: &Plan) -> Result<Report> {
    let (program, args) = writer(cx, plan)?;
    let input = serde_json::to_string(plan).context("writing the plan as JSON")?;
    let mut heard = Heard::default();
    let ended = cx.launcher.converse(&program, &args, &format!("{input}\n"), |line| heard.line(cx, line))?;
    heard.conclude(&program, ended)
}

/// Whether the card at `path` can be written at all, so that nobody waits or confirms in vain.
///
/// # Errors
/// Of [`Kind::Permission`] where this user may not, and nothing can make the writer root.
pub fn check_access(cx: &Context, path: &Path) -> Result<()> {
    if writable(path) {
        return Ok(());
    }
    elevator(cx, path).map(|_| ())
}

fn writable(path: &Path) -> bool {
    rustix::fs::access(path, Access::READ_OK | Access::WRITE_OK).is_ok()
}

/// What makes the writer root for the card at `path`.
fn elevator(cx: &Context, path: &Path) -> Result<&'static str> {
    let found = ELEVATORS.into_iter().find(|name| cx.launcher.which(name).is_some());
    found.ok_or_else(|| {
        let (path, tried) = (path.display(), ELEVATORS.join(", "));
        let text =
            format!("{path} may not be written by this user, and there is none of {tried}; run as root");
        Kind::Permission.error(text)
    })
}

/// The command line of the writer for `plan`.
fn writer(cx: &Context, plan: &Plan) -> Result<(String, Vec<OsString>)> {
    let own = std::env::current_exe().context("finding this program")?;
    // Whoever may write the card may still not unmount it.
    let may_unmount = plan.unmount.is_empty() || rustix::process::geteuid().is_root();
    if may_unmount && writable(&plan.disk.path) {
        return Ok((own.display().to_string(), vec![COMMAND.into()]));
    }
    let elevator = elevator(cx, &plan.disk.path)?;
    cx.note(format!("writing needs root: {elevator} -- {} {COMMAND}", own.display()));
    Ok((elevator.to_owned(), vec!["--".into(), own.into(), COMMAND.into()]))
}

/// What the writer has said so far.
#[derive(Default)]
struct Heard {
    anything: bool,
    report: Option<Report>,
    failed: Option<(u8, String)>,
}

impl Heard {
    fn line(&mut self, cx: &Context, line: &str) {
        self.anything = true;
        match serde_json::from_str(line) {
            Ok(Message::Report { report }) => self.report = Some(report),
            Ok(Message::Event(Event::Failed { code, message })) => self.failed = Some((code, message)),
            Ok(Message::Event(event)) => cx.reporter.report(&event),
            Err(_) => cx.reporter.report(&Event::log(line)),
        }
    }

    fn conclude(self, program: &str, ended: Ended) -> Result<Report> {
        let Ended { code, stopped } = ended;
        match (self.failed, self.report) {
            (Some((code, message)), _) => Err(Kind::of_code(code).error(message)),
            (None, Some(report)) if code == 0 => Ok(report),
            _ if stopped && !self.anything => Err(Kind::Interrupted.error("stopped; nothing was written")),
            _ if !self.anything => {
                let text = format!(
                    "{program} ended with exit code {code} before the writer began; nothing was written"
                );
                Err(Kind::Permission.error(text))
            }
            _ => {
                let text = format!(
                    "the writer ended with exit code {code} before the card was complete; run the same command again"
                );
                Err(Kind::Io.error(text))
            }
        }
    }
}
