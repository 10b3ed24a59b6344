//! `doctor`: checks the requirements of this machine, and names the remedies.

use std::fmt;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use crate::bail;
use crate::base::failure::{self, ExitKind, Reason};
use crate::base::process::Launcher;
use crate::base::{Cell, Context, JsonResult, Table, Tone, project, shell};
use crate::card::ext4;
use crate::commands::next_step;
use crate::nix::emulation::{self, Answer, BuildSupport, Builder};
use crate::nix::private_nix::Origin;
use crate::nix::{Implementation, Programs, Release};
use crate::{nix, ui};

/// The system of a Raspberry Pi.
const SYSTEM: &str = "aarch64-linux";

/// A checked requirement.
struct Finding {
    name: String,
    /// Whether `setup` may meet the requirement.
    is_for_setup: bool,
    /// What meets the requirement, or else what is wrong and the remedy.
    found: Result<String, Reason>,
}

pub fn run(cx: &Context) -> Result<()> {
    let nix = UsedNix::find(cx);
    let findings = gather(cx, nix.as_ref())?;
    if cx.json {
        let requirements = findings.iter().map(Requirement::from).collect();
        ui::print_json(&DoctorResult { requirements, nix })?;
    } else {
        ui::print_table(&table(&findings))?;
    }
    let missing = findings.iter().filter(|finding| finding.found.is_err()).collect::<Vec<_>>();
    if missing.is_empty() {
        next_step::overview();
        return Ok(());
    }
    let verb = if missing.len() == 1 { "is" } else { "are" };
    let text = format!("{} of {} requirements {verb} missing", missing.len(), findings.len());
    if missing.iter().any(|finding| finding.is_for_setup) {
        bail!(Refused, "{text}"; hint: "`cargo xtask setup` installs what it can; each of the others names its remedy");
    }
    bail!(Refused, "{text}")
}

fn gather(cx: &Context, nix: Option<&UsedNix>) -> Result<Vec<Finding>> {
    let version = nix::require(&cx.launcher);
    let builders = match &version {
        Ok(version) => probe_builders(cx, *version)?,
        Err(_) => Vec::new(),
    };
    let support = match &version {
        Ok(version) => build_support(cx, *version, &builders),
        Err(_) => Err(reason("unknown without nix", None)),
    };
    let found = |version: nix::Version| nix.map_or_else(|| version.to_string(), UsedNix::to_string);
    let requirements = [
        ("nix", version.map(found).map_err(|error| Reason::of_error(&error))),
        (SYSTEM, support),
        ("debugfs", find_debugfs(cx)),
        ("ssh-keygen", find_program(cx, "ssh-keygen")),
        ("ssh", find_program(cx, "ssh")),
        ("deploy-rs", find_program(cx, "deploy")),
    ];
    let programs = Programs::of(&cx.launcher);
    let is_for_setup = nix::check_settings(&cx.launcher).is_ok();
    let findings =
        requirements.into_iter().map(|(name, found)| Finding { name: name.to_owned(), is_for_setup, found });
    Ok(findings.chain(builders.into_iter().map(|entry| builder_finding(entry, &programs))).collect())
}

/// Asks the remote builders; none where Nix's settings cannot be read, which [`build_support`] reports.
///
/// # Errors
/// `Interrupted` for Ctrl-C.
fn probe_builders(cx: &Context, version: nix::Version) -> Result<Vec<(Builder, Answer)>> {
    match emulation::probe_builders(&cx.launcher, version) {
        Err(error) if failure::kind(&error) != ExitKind::Interrupted => Ok(Vec::new()),
        probed => probed,
    }
}

/// How this machine builds for [`SYSTEM`], or why it cannot. Remote builders count only if one of them can be used, if
/// only by nix-daemon.
fn build_support(
    cx: &Context,
    version: nix::Version,
    builders: &[(Builder, Answer)],
) -> Result<String, Reason> {
    let support = emulation::build_support(&cx.launcher, version, SYSTEM, &[]);
    let support = support.map_err(|error| Reason::of_error(&error))?;
    let text = support.explain();
    let mut for_system = builders.iter().filter(|(builder, _)| builder.builds_for(SYSTEM));
    let all_fail = for_system.all(|(_, answer)| matches!(answer, Answer::Fails(_)));
    match support {
        BuildSupport::Remote if all_fail => Err(reason(format!("{text}, and none can be used"), None)),
        support if support.can_build() => Ok(text),
        support => Err(reason(text, support.hint(SYSTEM, &emulation::conf_file(&cx.launcher)))),
    }
}

fn builder_finding((builder, answer): (Builder, Answer), programs: &Programs) -> Finding {
    let found = match answer {
        Answer::Builds => Ok("answers".to_owned()),
        Answer::ForDaemon => Ok("its ssh answers; only nix-daemon may log in".to_owned()),
        Answer::Fails(why) => {
            let hint = programs.spell_out(&format!(
                "start it, or correct its line in `builders` or /etc/nix/machines: `nix \
                 --extra-experimental-features nix-command store ping --store {}` must succeed",
                shell::quote(&builder.store())
            ));
            Err(reason(why, Some(hint)))
        }
    };
    Finding { name: builder.address, is_for_setup: false, found }
}

/// The path of the program `name` that `setup` installs.
fn find_program(cx: &Context, name: &str) -> Result<String, Reason> {
    let missing =
        || reason(format!("there is no {name} on PATH"), Some("run `cargo xtask setup`".to_owned()));
    cx.launcher.which(name).map(|path| path.display().to_string()).ok_or_else(missing)
}

/// The path of debugfs, if all three programs of e2fsprogs that write the payload of a card are installed. Debian does
/// not have them on the `PATH` of users.
fn find_debugfs(cx: &Context) -> Result<String, Reason> {
    let path = ext4::find_programs(&cx.launcher).map_err(|error| Reason::of_error(&error))?;
    Ok(path.display().to_string())
}

fn reason(message: impl Into<String>, hint: Option<String>) -> Reason {
    Reason { kind: None, message: message.into(), hint }
}

fn table(findings: &[Finding]) -> Table {
    let mut table = Table::new(&["", "NEEDED", "FOUND"]).with_folded("FOUND");
    for Finding { name, found, .. } in findings {
        let (mark, text) = match found {
            Ok(text) => (Cell::new("ok", Tone::Good), text.clone()),
            Err(reason) => (Cell::new("MISSING", Tone::Bad), reason.to_string()),
        };
        table.row([mark, name.as_str().into(), text.into()]);
    }
    table
}

/// The JSON result.
#[derive(Serialize, JsonSchema)]
pub struct DoctorResult {
    requirements: Vec<Requirement>,
    /// The Nix that runs, also one that is too old; null where none runs.
    nix: Option<UsedNix>,
}

impl JsonResult for DoctorResult {}

/// The Nix that this tool runs.
#[derive(Serialize, JsonSchema)]
struct UsedNix {
    path: String,
    implementation: Implementation,
    version: String,
    /// Whether it was installed by `setup`, and is not that of `PATH`.
    is_of_setup: bool,
    /// Why this one is used.
    message: String,
}

impl UsedNix {
    /// `None` where there is no Nix, or where it prints no version.
    fn find(cx: &Context) -> Option<Self> {
        let path = cx.launcher.which("nix")?.display().to_string();
        let Release { implementation, version } = Release::of(&cx.launcher)?;
        let origin = Origin::of(&Launcher::new("/"), &project::tools_dir());
        let is_of_setup = origin.is_setup();
        Some(Self { path, implementation, version, is_of_setup, message: origin.to_string() })
    }
}

impl fmt::Display for UsedNix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, implementation, version, message, .. } = self;
        write!(f, "{implementation} {version}, {path}: {message}")
    }
}

/// A checked requirement, for programs.
#[derive(Serialize, JsonSchema)]
struct Requirement {
    name: String,
    met: bool,
    /// What meets the requirement, or what is wrong.
    message: String,
    /// The remedy.
    hint: Option<String>,
}

impl From<&Finding> for Requirement {
    fn from(finding: &Finding) -> Self {
        let (message, hint) = match &finding.found {
            Ok(text) => (text.clone(), None),
            Err(reason) => (reason.message.clone(), reason.hint.clone()),
        };
        Self { name: finding.name.clone(), met: finding.found.is_ok(), message, hint }
    }
}
