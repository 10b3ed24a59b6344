//! Provides what suites and guests need: installed requirements, and parts of Debian's packages, fetched once. A
//! failure is only a warning, as the suites that lack a part are listed, and other commands fail with the reason.

use crate::base::{Context, failure};
use crate::commands::sudo;
use crate::dev::demo;
use crate::setup::{self, Purpose};

/// Installs the requirements of the suites.
pub fn install_requirements(cx: &mut Context) {
    let purposes = [Purpose::Build, Purpose::Deploy, Purpose::Boot, Purpose::Snapshot, Purpose::Tests];
    if let Err(error) = setup::ensure(cx, &purposes, sudo::ASK) {
        cx.warn(failure::with_hint(&error));
    }
}

/// Passes the folders with the assembler's programs to the suites, in variables of the environment.
pub fn fetch_programs(cx: &mut Context) {
    match demo::stage_programs(cx) {
        Ok(folders) => {
            for (variable, folder) in folders {
                cx.launcher = cx.launcher.clone().with_env(variable, folder);
            }
        }
        Err(error) => cx.warn(failure::with_hint(&error)),
    }
}

/// Passes the folder with the parts of a guest to the suites, in a variable of the environment.
pub fn fetch_guest(cx: &mut Context) {
    match demo::stage_guest(cx) {
        Ok(folder) => cx.launcher = cx.launcher.clone().with_env(demo::GUEST, folder),
        Err(error) => cx.warn(failure::with_hint(&error)),
    }
}

/// Provides all that guests need, as for the suite `trial`.
pub fn prepare_guests(cx: &mut Context) {
    install_requirements(cx);
    fetch_programs(cx);
    fetch_guest(cx);
}
