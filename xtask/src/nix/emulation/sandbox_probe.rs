//! Probes whether an emulator runs programs in the sandbox of Nix, where it may lack its own file or what it loads.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use super::binfmt::BinfmtEntry;
use super::kernel_support::{HiddenEmulator, KernelSupport};
use super::probe::EXIT_CODE;
use crate::base::process::{Launcher, OwnRootRun, ShownPath};
use crate::nix::{Config, FEATURES};

/// Runs `program`, which `entry` emulates, in an empty root. Where it fails there, also in a root with the paths that
/// the sandbox shows to builds.
pub fn run(
    launcher: &Launcher,
    config: &Config,
    program: &[u8],
    entry: &BinfmtEntry,
) -> Result<KernelSupport> {
    let here = Launcher::new("/");
    let path = entry.interpreter.display().to_string();
    let hidden = || {
        let name = entry.name.clone();
        KernelSupport::Hidden(HiddenEmulator { entry: name, path: path.clone(), fixed: entry.fixed })
    };
    Ok(match here.run_in_own_root(program, &[])? {
        OwnRootRun::Exited(EXIT_CODE) => KernelSupport::Emulates,
        // The kernel opens the file by its path, which is missing in the sandbox: that is certain also without a test.
        OwnRootRun::NoRoot(_) if !entry.fixed && config.hides(&path) => hidden(),
        OwnRootRun::NoRoot(why) => KernelSupport::EmulatesOutside(why),
        OwnRootRun::Exited(_) if config.sandbox_paths.is_empty() => hidden(),
        OwnRootRun::Exited(_) => match here.run_in_own_root(program, &shown_paths(launcher, config))? {
            OwnRootRun::Exited(EXIT_CODE) => KernelSupport::Emulates,
            OwnRootRun::Exited(_) => hidden(),
            OwnRootRun::NoRoot(why) => KernelSupport::EmulatesOutside(why),
        },
    })
}

/// The paths that the sandbox shows to every build: those of the settings, and the store paths that these need.
fn shown_paths(launcher: &Launcher, config: &Config) -> Vec<ShownPath> {
    let mut shown = config.sandbox_paths.clone();
    let roots = shown.iter().filter_map(|path| store_path(&path.source)).collect::<BTreeSet<_>>();
    if !roots.is_empty() {
        let args = FEATURES.iter().copied().chain(["path-info", "--recursive"]);
        let args = args.chain(roots.iter().map(String::as_str)).collect::<Vec<_>>();
        // Without an answer, the paths of the settings are shown alone.
        let closure = launcher.read("nix", &args).unwrap_or_default();
        shown.extend(closure.lines().map(|path| ShownPath { inside: path.into(), source: path.into() }));
    }
    shown
}

/// The store path that contains `path`.
fn store_path(path: &Path) -> Option<String> {
    let name = path.strip_prefix("/nix/store").ok()?.components().next()?;
    Some(format!("/nix/store/{}", name.as_os_str().to_str()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_path_of_a_file_is_found() {
        for (path, expected) in [
            ("/nix/store/abc-busybox/bin/sh", Some("/nix/store/abc-busybox")),
            ("/nix/store/abc-busybox", Some("/nix/store/abc-busybox")),
            ("/nix/store", None),
            ("/bin/sh", None),
        ] {
            assert_eq!(store_path(Path::new(path)).as_deref(), expected);
        }
    }

    #[test]
    fn without_a_root_only_what_is_certain_is_a_verdict() {
        let config = Config { sandbox: true, ..Config::default() };
        for (flags, is_hidden) in [("P", true), ("POF", false)] {
            let text = format!("enabled\ninterpreter /q\nflags: {flags}\noffset 0\nmagic 7f\n");
            let entry = BinfmtEntry::parse("q", &text).unwrap();
            // Only the tool makes a root, and a test is not the tool.
            let found = run(&Launcher::new("/"), &config, b"\x7f", &entry).unwrap();
            assert_eq!(matches!(found, KernelSupport::Hidden(_)), is_hidden, "{found:?}");
            assert_eq!(matches!(found, KernelSupport::EmulatesOutside(_)), !is_hidden, "{found:?}");
        }
    }
}
