//! `doctor`: checks the requirements of this machine, and names the remedies.

use anyhow::Result;

use crate::bail;
use crate::base::{Context, Table, failure};
use crate::card::ext4;
use crate::nix::emulation;
use crate::{nix, ui};

/// The system of a Raspberry Pi.
const SYSTEM: &str = "aarch64-linux";

/// A checked requirement: its name, and what was found or else the remedy.
struct Finding {
    name: &'static str,
    found: Result<String, String>,
}

pub fn run(cx: &Context) -> Result<()> {
    let findings = gather(cx);
    if cx.json {
        ui::json(&findings.iter().map(Finding::json).collect::<serde_json::Value>())?;
    } else {
        ui::table(&table(&findings))?;
    }
    match findings.iter().filter(|finding| finding.found.is_err()).count() {
        0 => Ok(()),
        missing => {
            bail!(Refused, "{missing} of {} requirements are missing", findings.len())
        }
    }
}

fn gather(cx: &Context) -> Vec<Finding> {
    let version = nix::require(&cx.launcher);
    let support = match &version {
        Ok(version) => emulation::build_support(&cx.launcher, *version, SYSTEM)
            .map_err(|error| failure::with_hint(&error)),
        Err(_) => Err("unknown without nix".to_owned()),
    };
    let able = support.and_then(|it| {
        let text = it.explain_with_hint(SYSTEM);
        if it.can_build() { Ok(text) } else { Err(text) }
    });
    vec![
        Finding {
            name: "nix",
            found: version.map(|v| v.to_string()).map_err(|error| failure::with_hint(&error)),
        },
        Finding { name: SYSTEM, found: able },
        Finding { name: "debugfs", found: debugfs(cx) },
        Finding { name: "ssh-keygen", found: program(cx, "ssh-keygen", "run `cargo xtask setup`") },
        Finding { name: "ssh", found: program(cx, "ssh", "run `cargo xtask setup`") },
        Finding { name: "deploy-rs", found: program(cx, "deploy", "run `cargo xtask setup`") },
    ]
}

fn program(cx: &Context, name: &str, remedy: &str) -> Result<String, String> {
    let missing = || format!("there is no {name} on PATH; {remedy}");
    cx.launcher.which(name).map(|path| path.display().to_string()).ok_or_else(missing)
}

/// The path of debugfs, if all three programs of e2fsprogs that write the payload of a card are there. Debian keeps them off
/// the `PATH` of users.
fn debugfs(cx: &Context) -> Result<String, String> {
    let path = ext4::check_programs(&cx.launcher).map_err(|error| failure::with_hint(&error))?;
    Ok(path.display().to_string())
}

fn table(findings: &[Finding]) -> Table {
    let mut table = Table::new(&["", "NEEDED", "FOUND"]);
    for Finding { name, found } in findings {
        let (mark, text) = match found {
            Ok(text) => ("ok", text),
            Err(text) => ("MISSING", text),
        };
        table.row([mark, name, text]);
    }
    table
}

impl Finding {
    fn json(&self) -> serde_json::Value {
        let text = self.found.as_ref().unwrap_or_else(|remedy| remedy);
        serde_json::json!({ "name": self.name, "ok": self.found.is_ok(), "text": text })
    }
}
