//! Gathers the facts about this machine that the plan depends on.

use std::path::Path;

use anyhow::Result;

use super::Purpose;
use super::distribution::Distribution;
use super::nix as private_nix;
use super::tools::{Tool, required_tools};
use crate::base::process::Launcher;
use crate::base::{Context, project};
use crate::nix;
use crate::nix::emulation::{self, BuildSupport};

/// The mount point of `binfmt_misc`.
pub const BINFMT: &str = "/proc/sys/fs/binfmt_misc";
/// The binfmt entry in Debian's package qemu-user-static.
pub const QEMU_ENTRY: &str = "/usr/lib/binfmt.d/qemu-aarch64.conf";

/// The settings of the machine's own Nix.
pub const NIX_CONF: &str = "/etc/nix/nix.conf";

/// The facts about this machine that the plan depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent fact")]
pub struct Facts {
    pub distribution: Distribution,
    /// The name of the user who runs the tool.
    pub user: String,
    /// Whether a supported Nix is on `PATH`.
    pub has_nix: bool,
    /// Whether the project's private Nix has a configuration of an earlier version of this tool.
    pub has_outdated_settings: bool,
    pub store: Store,
    /// Whether programs for `aarch64-linux` run here, or another machine builds them.
    pub runs_aarch64: bool,
    /// Whether the machine's own Nix has a [`NIX_CONF`] that does not list `aarch64-linux` in `extra-platforms`, and no
    /// remote builder builds for that system.
    pub lacks_extra_platform: bool,
    pub has_systemd: bool,
    /// Whether the certificate authorities for downloads over https are installed.
    pub has_certificates: bool,
    pub is_binfmt_mounted: bool,
    /// Whether [`QEMU_ENTRY`] is installed.
    pub has_qemu_entry: bool,
    pub has_patchelf: bool,
    /// Whether deploy-rs is required and missing.
    pub lacks_deploy_rs: bool,
    /// The required programs that are missing.
    pub missing_tools: Vec<Tool>,
}

/// The folder `/nix`, as the user who runs the tool finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    Absent,
    Writable,
    /// The folder belongs to a daemon or another user.
    Foreign,
}

impl Store {
    fn at(folder: &Path) -> Self {
        match rustix::fs::access(folder, rustix::fs::Access::WRITE_OK) {
            Ok(()) => Self::Writable,
            Err(rustix::io::Errno::NOENT) => Self::Absent,
            Err(_) => Self::Foreign,
        }
    }
}

impl Facts {
    /// Gathers the facts that a setup for `purposes` depends on. This changes nothing.
    ///
    /// # Errors
    /// `Refused` where a Nix is there that cannot read its settings: no other Nix could.
    pub fn gather(cx: &Context, purposes: &[Purpose]) -> Result<Self> {
        let launcher = &cx.launcher;
        nix::check_settings(launcher)?;
        let support = nix::require(launcher)
            .and_then(|version| emulation::build_support(launcher, version, "aarch64-linux", &[]));
        Ok(Self {
            distribution: Distribution::load(Path::new("/etc")),
            user: user_name(launcher),
            has_nix: nix::require(launcher).is_ok(),
            has_outdated_settings: private_nix::is_outdated(&project::tools_dir().join("nix")),
            store: Store::at(Path::new("/nix")),
            runs_aarch64: matches!(support, Ok(BuildSupport::Remote))
                || emulation::kernel_runs("aarch64-linux"),
            lacks_extra_platform: Path::new(NIX_CONF).exists()
                && matches!(
                    support,
                    Ok(BuildSupport::NotConfigured
                        | BuildSupport::IgnoredByDaemon
                        | BuildSupport::Impossible(_))
                ),
            has_systemd: Path::new("/run/systemd/system").exists(),
            has_certificates: Path::new("/etc/ssl/certs/ca-certificates.crt").exists(),
            is_binfmt_mounted: Path::new(BINFMT).join("register").exists(),
            has_qemu_entry: Path::new(QEMU_ENTRY).exists(),
            has_patchelf: has_program(launcher, "patchelf"),
            lacks_deploy_rs: requires_deploy_rs(purposes)
                && !(has_program(launcher, "deploy") && has_program(launcher, "activate")),
            missing_tools: required_tools(purposes)
                .filter(|tool| !has_program(launcher, tool.program))
                .collect(),
        })
    }

    /// The names of the requirements of `purposes` that the machine meets.
    pub fn met_requirements(&self, purposes: &[Purpose]) -> Vec<&'static str> {
        let others = [
            ("nix", self.has_nix),
            ("aarch64-linux", self.runs_aarch64 && !self.lacks_extra_platform),
            ("deploy-rs", requires_deploy_rs(purposes) && !self.lacks_deploy_rs),
        ];
        let is_missing = |tool: &Tool| self.missing_tools.contains(tool);
        let tools = required_tools(purposes).map(|tool| (tool.program, !is_missing(&tool)));
        others.into_iter().chain(tools).filter(|(_, is_met)| *is_met).map(|(name, _)| name).collect()
    }
}

fn requires_deploy_rs(purposes: &[Purpose]) -> bool {
    purposes.iter().any(|purpose| matches!(purpose, Purpose::Deploy | Purpose::Tests))
}

/// Whether `program` is on `PATH`, or in one of Debian's folders for programs of administrators. Of an absolute path,
/// whether it is a file.
pub fn has_program(launcher: &Launcher, program: &str) -> bool {
    if program.starts_with('/') {
        return Path::new(program).is_file();
    }
    launcher.which(program).is_some()
        || ["/usr/sbin", "/sbin"].iter().any(|folder| Path::new(folder).join(program).exists())
}

/// The name of the user who runs the tool; empty where `id` fails.
fn user_name(launcher: &Launcher) -> String {
    let name = launcher.read("id", &["-un"]).unwrap_or_default();
    name.trim().to_owned()
}
