//! `bench hosts`: the listing of hosts against a bare evaluation of their names.

use std::ffi::OsString;
use std::num::NonZero;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::image_there::image_that_is_there;
use super::in_turn::times_in_turn;
use super::preflight::require_nix;
use super::samples::median;
use super::stats::Row;
use super::workdir::{TemporaryFolder, Workdir};
use crate::base::process::Launcher;
use crate::base::{Context, FlakeRef};

/// A flake with 60 hosts, none of which evaluates.
const FLAKE: &str = r#"{
  outputs = { self }: {
    nixosConfigurations = builtins.listToAttrs (
      builtins.genList (number: { name = "host${toString number}"; value = throw "evaluated"; }) 60
    );
  };
}
"#;

/// The limit of the time of the listing, as a multiple of the time of the bare evaluation.
const MAX_TIME_RATIO: f64 = 1.5;

/// The state folder of the tool.
#[derive(Clone, Copy, Debug, PartialEq)]
enum StateFolder {
    /// There is no evaluation cache: no command has evaluated anything before.
    New,
    /// There is an evaluation cache, and a listing adds the names of hosts to it.
    WithEvalCache,
}

/// The cases, with their names.
const CASES: &[(StateFolder, &str)] =
    &[(StateFolder::New, "60 hosts"), (StateFolder::WithEvalCache, "60 hosts, remembered")];

/// Lists the hosts in each of the `rounds` by the tool and by Nix alone. The last row is that of an image.
///
/// # Errors
/// `Refused` without Nix, `Other` for a listing that fails, and Ctrl-C.
pub fn listings(cx: &Context, rounds: NonZero<u32>) -> Result<Vec<Row>> {
    require_nix(cx, "the listing of hosts")?;
    let workdir = Workdir::take(cx)?;
    let folder = TemporaryFolder::new(workdir.join("listing"))?;
    let flake = folder.path().join("flake");
    std::fs::create_dir(&flake).and_then(|()| std::fs::write(flake.join("flake.nix"), FLAKE))?;
    let flake = FlakeRef::with_all_files(&flake);
    let mut rows = Vec::new();
    for &(state, case) in CASES {
        let launcher = with_state(&cx.launcher, folder.path(), state)?;
        let commands = [tool_command(&flake)?, nix_command(&flake)];
        let [tool, nix] = times_in_turn(&launcher, &commands, rounds, "listing hosts")?;
        rows.push(row(case, tool, nix));
    }
    rows.push(image_that_is_there(cx, folder.path(), rounds)?);
    Ok(rows)
}

/// The launcher with a state folder below `folder`.
fn with_state(launcher: &Launcher, folder: &Path, state: StateFolder) -> Result<Launcher> {
    let dir = folder.join(format!("{state:?}"));
    if state == StateFolder::WithEvalCache {
        crate::base::state::create_private_folder(&dir.join("evaluations"))?;
    }
    Ok(launcher.clone().with_env("XTASK_STATE", dir))
}

/// The command that lists the hosts by the tool.
fn tool_command(flake: &FlakeRef) -> Result<Vec<OsString>> {
    let own = std::env::current_exe().context("finding the tool itself")?;
    Ok(vec![own.into(), "--flake".into(), flake.as_str().into(), "hosts".into()])
}

/// The command that evaluates the names of the hosts by Nix alone.
fn nix_command(flake: &FlakeRef) -> Vec<OsString> {
    let configurations = format!("{flake}#nixosConfigurations");
    let features = ["--extra-experimental-features", "nix-command flakes"];
    let args = ["eval", "--json", &configurations, "--apply", "builtins.attrNames"];
    std::iter::once("nix").chain(features).chain(args).map(OsString::from).collect()
}

/// The row of a case, with the medians of the times of the tool and of Nix, in seconds.
fn row(case: &'static str, tool: Vec<f64>, nix: Vec<f64>) -> Row {
    Row::of_times(case, "nix eval", median(tool), median(nix), Some(MAX_TIME_RATIO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::bench::stats::table;

    #[test]
    fn each_case_has_a_row_with_its_medians() {
        let rows = [
            row("60 hosts", vec![0.040, 0.042, 0.9], vec![0.030, 0.028, 0.032]),
            row("60 hosts, remembered", vec![0.06], vec![0.03]),
        ];
        let expected = "\
CASE                  MEASURED  AGAINST   TOOL     PEER     RATIO  AT MOST  KEPT
60 hosts              time      nix eval  0.042 s  0.030 s  1.40   1.50     yes
60 hosts, remembered  time      nix eval  0.060 s  0.030 s  2.00   1.50     no";
        assert_eq!(table(&rows).to_string(), expected);
    }
}
