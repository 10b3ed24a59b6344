//! Children that die with this process, however it ends: the kernel kills them (`PR_SET_PDEATHSIG`).
//!
//! A process can ask for this signal only for itself, and a program such as QEMU does not. So the child begins as this
//! program, which asks for the signal, and then becomes the other program, with the same process id.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Error, Result};
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

use super::Launcher;

/// The first argument of a child that becomes another program. The number of its parent follows, then the program and
/// its arguments.
const COMMAND: &str = "die-with-parent";

/// The file of the running program, also after another one has replaced it.
pub(super) const OWN_PROGRAM: &str = "/proc/self/exe";

/// Whether [`OWN_PROGRAM`] is the tool, and not a program that only uses its code, such as a test.
static IS_TOOL: AtomicBool = AtomicBool::new(false);

/// Lets children die with this process from now on. Only the tool itself may call this, as it must heed the arguments
/// of [`become_program`].
pub fn enable() {
    IS_TOOL.store(true, Ordering::Relaxed);
}

/// Whether this process is the tool, which heeds the arguments of [`become_program`].
pub(super) fn is_tool() -> bool {
    IS_TOOL.load(Ordering::Relaxed)
}

/// Becomes the program that `args` name, the arguments of this process without its own name. Returns `None` where they
/// name none, and the error where the program cannot be started.
pub fn become_program(mut args: impl Iterator<Item = OsString>) -> Option<Error> {
    args.next().filter(|word| word == COMMAND)?;
    Some(prepare_and_exec(args).unwrap_or_else(|error| error))
}

/// Returns only with an error, whichever it is.
fn prepare_and_exec(mut args: impl Iterator<Item = OsString>) -> Result<Error> {
    let parent = args.next().and_then(|word| Pid::from_raw(word.to_str()?.parse().ok()?));
    let parent = parent.context("this command is internal")?;
    let program = args.next().context("this command is internal")?;
    set_parent_process_death_signal(Some(Signal::KILL))
        .context("asking for the signal of the parent's death")?;
    // The parent may have died before.
    anyhow::ensure!(getppid() == Some(parent), "the parent has ended");
    Ok(Error::new(exec(&program, args)).context(format!("running {}", program.display())))
}

/// Becomes `program`; returns only with an error.
#[expect(clippy::disallowed_methods, reason = "this process becomes the program: it has no child")]
pub(super) fn exec(program: &OsStr, args: impl Iterator<Item = OsString>) -> std::io::Error {
    std::process::Command::new(program).args(args).exec()
}

impl Launcher {
    /// The same as [`Self::command`], for a child without a use once this process has ended. The kernel kills it when
    /// the thread that starts it ends, so this thread must wait for it. A program that changes its user, such as sudo,
    /// loses this bond.
    pub(super) fn mortal_command<S: AsRef<OsStr>>(&self, program: &str, args: &[S]) -> duct::Expression {
        // A program that is missing has to fail here, not in the child.
        if !is_tool() || self.which(program).is_none() {
            return self.command(program, args);
        }
        let own = getpid().as_raw_nonzero().to_string();
        let words = [COMMAND.into(), own.into(), program.into()];
        let args = words.into_iter().chain(args.iter().map(|arg| arg.as_ref().to_owned()));
        self.command(OWN_PROGRAM, &args.collect::<Vec<OsString>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn become_with(words: &[&str]) -> Option<String> {
        become_program(words.iter().map(OsString::from)).map(|error| format!("{error:#}"))
    }

    #[test]
    fn only_the_internal_command_becomes_another_program() {
        assert_eq!(become_with(&[]), None);
        assert_eq!(become_with(&["boot", "die-with-parent"]), None);
        for words in [&[COMMAND][..], &[COMMAND, "x", "true"], &[COMMAND, "0", "true"], &[COMMAND, "7"]] {
            assert_eq!(become_with(words).unwrap(), "this command is internal", "{words:?}");
        }
    }
}
