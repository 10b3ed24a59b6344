//! What this machine is and has.

use std::path::Path;

use super::Needs;
use super::distribution::Distribution;
use super::nix as own_nix;
use super::tools::{Tool, needed_for};
use crate::base::process::Launcher;
use crate::base::{Context, project};
use crate::nix;
use crate::nix::emulation::{self, BuildSupport};

/// Where binfmt entries are read and made.
pub const BINFMT: &str = "/proc/sys/fs/binfmt_misc";
/// The entry that Debian's qemu-user-static brings.
pub const ENTRY: &str = "/usr/lib/binfmt.d/qemu-aarch64.conf";

/// The settings of the machine's own Nix.
pub const NIX_CONF: &str = "/etc/nix/nix.conf";

/// Everything that the plan depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent fact")]
pub struct Facts {
    pub distribution: Distribution,
    /// The name of the user who runs the tool.
    pub user: String,
    /// There is a Nix that will do.
    pub nix: bool,
    /// The Nix of the project's own has an older configuration.
    pub outdated_settings: bool,
    pub store: Store,
    /// Programs for `aarch64-linux` run here, or another machine builds them.
    pub runs_aarch64: bool,
    /// The machine's own Nix was not told that they do, and this is the file to tell it in.
    pub lacks_promise: bool,
    pub systemd: bool,
    /// The authorities that a download over https is checked against are there.
    pub certificates: bool,
    pub binfmt_mounted: bool,
    /// The entry that registers qemu is installed.
    pub entry: bool,
    pub patchelf: bool,
    /// deploy-rs is wanted and not there.
    pub lacks_deploy: bool,
    /// The programs that are wanted and not there.
    pub lacks: Vec<Tool>,
}

/// The folder of the Nix store, as the user who runs the tool finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    Absent,
    Writable,
    /// It belongs to somebody else: a daemon, or another user.
    Foreign,
}

impl Facts {
    pub fn gather(cx: &Context, needs: &[Needs]) -> Self {
        let launcher = &cx.launcher;
        let verdict = nix::require(launcher)
            .and_then(|version| emulation::build_support(launcher, version, "aarch64-linux"));
        Self {
            distribution: Distribution::load(Path::new("/etc")),
            user: user(launcher),
            nix: nix::require(launcher).is_ok(),
            outdated_settings: own_nix::is_outdated(&project::tools_dir().join("nix")),
            store: store(Path::new("/nix")),
            runs_aarch64: matches!(verdict, Ok(BuildSupport::Remote))
                || emulation::kernel_runs("aarch64-linux"),
            lacks_promise: Path::new(NIX_CONF).exists()
                && matches!(verdict, Ok(BuildSupport::NotConfigured | BuildSupport::Impossible(_))),
            systemd: Path::new("/run/systemd/system").exists(),
            certificates: Path::new("/etc/ssl/certs/ca-certificates.crt").exists(),
            binfmt_mounted: Path::new(BINFMT).join("register").exists(),
            entry: Path::new(ENTRY).exists(),
            patchelf: is_there(launcher, "patchelf"),
            lacks_deploy: wants_deploy(needs)
                && !(is_there(launcher, "deploy") && is_there(launcher, "activate")),
            lacks: needed_for(needs).filter(|tool| !is_there(launcher, tool.program)).collect(),
        }
    }

    /// What is wanted for `needs` and is there.
    pub fn there(&self, needs: &[Needs]) -> Vec<&'static str> {
        let main = [
            ("nix", self.nix),
            ("aarch64-linux", self.runs_aarch64 && !self.lacks_promise),
            ("deploy-rs", wants_deploy(needs) && !self.lacks_deploy),
        ];
        let tools = needed_for(needs).map(|tool| (tool.program, !self.lacks.contains(&tool)));
        main.into_iter().chain(tools).filter(|(_, there)| *there).map(|(name, _)| name).collect()
    }
}

/// Whether deploy-rs is wanted.
fn wants_deploy(needs: &[Needs]) -> bool {
    needs.iter().any(|need| matches!(need, Needs::Deploy | Needs::Tests))
}

/// Whether `program` is on `PATH`, or where Debian keeps the programs of administrators.
pub fn is_there(launcher: &Launcher, program: &str) -> bool {
    let sbin = ["/usr/sbin", "/sbin"].iter().any(|dir| Path::new(dir).join(program).exists());
    sbin || launcher.which(program).is_some()
}

fn user(launcher: &Launcher) -> String {
    let name = launcher.read("id", &["-un"]).unwrap_or_default();
    name.trim().to_owned()
}

fn store(dir: &Path) -> Store {
    match rustix::fs::access(dir, rustix::fs::Access::WRITE_OK) {
        Ok(()) => Store::Writable,
        Err(rustix::io::Errno::NOENT) => Store::Absent,
        Err(_) => Store::Foreign,
    }
}
