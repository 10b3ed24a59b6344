//! Provides what suites and guests need: installed requirements, and parts of Debian's packages, fetched once. A
//! failure is only a warning, as the suites that lack a part are listed, and other commands fail with the reason. A
//! stop by the user ends the command.

use anyhow::Result;

use crate::base::Context;
use crate::base::failure::{ExitKind, kind};
use crate::commands::sudo;
use crate::dev::demo;
use crate::setup::{self, Purpose};

/// Installs the requirements of the suites.
///
/// # Errors
/// `Interrupted` where the user stops it, as with each function here.
pub fn install_requirements(cx: &mut Context) -> Result<()> {
    let purposes = [Purpose::Build, Purpose::Deploy, Purpose::Boot, Purpose::Snapshot, Purpose::Tests];
    let ensured = setup::ensure(cx, &purposes, sudo::ASK);
    or_warn(cx, ensured).map(drop)
}

/// Passes the folders with the assembler's programs to the suites, in variables of the environment.
pub fn fetch_programs(cx: &mut Context) -> Result<()> {
    let staged = demo::stage_programs(cx);
    for (variable, folder) in or_warn(cx, staged)?.into_iter().flatten() {
        cx.launcher = cx.launcher.clone().with_env(variable, folder);
    }
    Ok(())
}

/// Passes the folder with the parts of a guest to the suites, in a variable of the environment.
pub fn fetch_guest(cx: &mut Context) -> Result<()> {
    let staged = demo::stage_guest(cx);
    if let Some(folder) = or_warn(cx, staged)? {
        cx.launcher = cx.launcher.clone().with_env(demo::GUEST, folder);
    }
    Ok(())
}

/// Provides all that guests need, as for the suite `trial`.
pub fn prepare_guests(cx: &mut Context) -> Result<()> {
    install_requirements(cx)?;
    fetch_programs(cx)?;
    fetch_guest(cx)
}

/// The value of `result`, or a warning with its error.
fn or_warn<T>(cx: &Context, result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if kind(&error) == ExitKind::Interrupted => Err(error),
        Err(error) => {
            cx.warn_of(&error);
            Ok(None)
        }
    }
}
