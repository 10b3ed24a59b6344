//! `bench hosts`: the listing of hosts against a bare evaluation of their names.

use std::ffi::OsString;
use std::num::NonZero;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::samples::median;
use super::stats::{Quantity, Row};
use super::workdir::{TemporaryFolder, Workdir};
use crate::bail;
use crate::base::process::Launcher;
use crate::base::{Context, FlakeRef, interrupt};
use crate::dev::suites::Requirement;

/// Sixty hosts, none of which evaluates.
const FLAKE: &str = r#"{
  outputs = { self }: {
    nixosConfigurations = builtins.listToAttrs (
      builtins.genList (number: { name = "host${toString number}"; value = throw "evaluated"; }) 60
    );
  };
}
"#;

/// What the listing takes at most, by the bare evaluation.
const AT_MOST: f64 = 1.5;

/// The state folder of the tool.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// No command has run before.
    New,
    /// Evaluations are remembered, and names among them.
    Remembered,
}

const CASES: [(State, &str); 2] = [(State::New, "60 hosts"), (State::Remembered, "60 hosts, remembered")];

/// Lists the hosts in each of the `rounds` by the tool and by Nix alone.
///
/// # Errors
/// `Refused` without Nix; a listing that fails; and Ctrl-C.
pub fn listings(cx: &Context, rounds: NonZero<u32>) -> Result<Vec<Row>> {
    if let Some(missing) = Requirement::Nix.missing(cx) {
        bail!(Refused, "measuring the listing of hosts {missing}"; hint: "run `cargo xtask setup`");
    }
    let signals = interrupt::guard()?;
    let workdir = Workdir::take(cx)?;
    let folder = TemporaryFolder::new(workdir.join("listing"))?;
    let flake = folder.path().join("flake");
    std::fs::create_dir(&flake).and_then(|()| std::fs::write(flake.join("flake.nix"), FLAKE))?;
    let flake = FlakeRef::with_all_files(&flake);
    let mut rows = Vec::new();
    for (state, case) in CASES {
        let launcher = with_state(&cx.launcher, folder.path(), state)?;
        let commands = [by_tool(&flake)?, by_nix(&flake)];
        let mut times = [Vec::new(), Vec::new()];
        // The first round fills caches.
        for round in 0..=rounds.get() {
            signals.check()?;
            for (command, times) in commands.iter().zip(&mut times) {
                let seconds = run(&launcher, command)?;
                times.extend((round > 0).then_some(seconds));
            }
        }
        rows.push(row(case, times));
    }
    Ok(rows)
}

/// The launcher with a state folder below `folder`.
fn with_state(launcher: &Launcher, folder: &Path, state: State) -> Result<Launcher> {
    let dir = folder.join(format!("{state:?}"));
    if state == State::Remembered {
        let evaluations = dir.join("evaluations");
        crate::base::state::create_private_folder(&evaluations)?;
    }
    Ok(launcher.clone().with_env("XTASK_STATE", dir))
}

fn by_tool(flake: &FlakeRef) -> Result<Vec<OsString>> {
    let own = std::env::current_exe().context("finding the tool itself")?;
    Ok(vec![own.into(), "--flake".into(), flake.as_str().into(), "hosts".into()])
}

fn by_nix(flake: &FlakeRef) -> Vec<OsString> {
    let configurations = format!("{flake}#nixosConfigurations");
    let features = ["--extra-experimental-features", "nix-command flakes"];
    let words = ["eval", "--json", &configurations, "--apply", "builtins.attrNames"];
    std::iter::once("nix").chain(features).chain(words).map(OsString::from).collect()
}

/// Runs `command` and returns its time in seconds.
fn run(launcher: &Launcher, command: &[OsString]) -> Result<f64> {
    let measured = launcher.measure(&[command.to_vec()])?;
    if measured.code == 0 {
        return Ok(measured.cost.seconds);
    }
    bail!(Other, "listing hosts failed with exit code {}: {}", measured.code, measured.stderr.trim())
}

/// The row of a case, with the medians of the times of the tool and of Nix.
fn row(case: &'static str, [tool, nix]: [Vec<f64>; 2]) -> Row {
    let tool = median(tool);
    let peer = median(nix);
    let ratio = tool.zip(peer).map(|(tool, peer)| tool / peer);
    let kept = ratio.map(|ratio| ratio <= AT_MOST);
    Row {
        case,
        quantity: Quantity::Time,
        against: "nix eval",
        tool,
        peer,
        ratio,
        at_most: Some(AT_MOST),
        kept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::bench::stats::table;

    #[test]
    fn medians_of_the_listing() {
        let rows = [
            row("60 hosts", [vec![0.040, 0.042, 0.9], vec![0.030, 0.028, 0.032]]),
            row("60 hosts, remembered", [vec![0.06], vec![0.03]]),
        ];
        let expected = "\
CASE                  MEASURED  AGAINST   TOOL     PEER     RATIO  AT MOST  KEPT
60 hosts              time      nix eval  0.042 s  0.030 s  1.40   1.50     yes
60 hosts, remembered  time      nix eval  0.060 s  0.030 s  2.00   1.50     no";
        assert_eq!(table(&rows).to_string(), expected);
    }
}
