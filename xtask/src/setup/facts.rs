//! What this machine is and has.

use std::path::Path;

use super::Needs;
use super::distribution::Distribution;
use super::tools::{Tool, needed_for};
use crate::context::Context;
use crate::emulation;
use crate::nix;
use crate::process::Launcher;

/// Where binfmt entries are read and made.
pub const BINFMT: &str = "/proc/sys/fs/binfmt_misc";
/// The entry that Debian's qemu-user-static brings.
pub const ENTRY: &str = "/usr/lib/binfmt.d/qemu-aarch64.conf";

/// Everything that the plan depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent fact")]
pub struct Facts {
    pub distribution: Distribution,
    /// The name of the user who runs the tool.
    pub user: String,
    /// There is a Nix that will do.
    pub nix: bool,
    /// `/nix` is there and the user may write to it, or a daemon does.
    pub store: bool,
    /// Programs of the other architecture are not foreign, or the kernel runs them.
    pub runs_aarch64: bool,
    pub binfmt_mounted: bool,
    /// The entry that registers qemu is installed.
    pub entry: bool,
    pub patchelf: bool,
    /// deploy-rs is wanted and not there.
    pub lacks_deploy: bool,
    /// The programs that are wanted and not there.
    pub lacks: Vec<Tool>,
}

impl Facts {
    pub fn gather(cx: &Context, needs: &[Needs]) -> Self {
        let launcher = &cx.launcher;
        let wants_deploy = needs.iter().any(|need| matches!(need, Needs::Deploy | Needs::Tests));
        Self {
            distribution: Distribution::load(Path::new("/etc")),
            user: user(launcher),
            nix: nix::require(launcher).is_ok(),
            store: writable(Path::new("/nix")),
            runs_aarch64: emulation::kernel_runs("aarch64-linux"),
            binfmt_mounted: Path::new(BINFMT).join("register").exists(),
            entry: Path::new(ENTRY).exists(),
            patchelf: is_there(launcher, "patchelf"),
            lacks_deploy: wants_deploy && !(is_there(launcher, "deploy") && is_there(launcher, "activate")),
            lacks: needed_for(needs).filter(|tool| !is_there(launcher, tool.program)).collect(),
        }
    }
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

fn writable(dir: &Path) -> bool {
    rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_ok()
}
