//! The requirements of suites beside cargo, and their checks.

use std::path::Path;

use crate::base::process::Launcher;
use crate::base::{Context, failure};
use crate::dev::demo;
use crate::nix;
use crate::nix::emulation;

/// A requirement that not every machine meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement {
    Root,
    /// Programs that read and make ext4 file systems without mounting them.
    Ext4Tools,
    LoopDevices,
    /// FUSE, by which the tests serve cards that fail on demand.
    Fuse,
    NetworkNamespaces,
    /// Programs that make certificates, and serve by TLS.
    TlsServer,
    Nix,
    Emulation,
    /// The user-mode emulators of other architectures, as programs.
    Emulators,
    DeployRs,
    /// Programs that make file systems and keys for unit tests.
    UnitTools,
    /// Nix and deploy-rs in folders that the target of a deploy sees.
    VisibleTools,
    ImageTools,
    /// The assembler's programs from Debian's packages, of this machine and of a Pi.
    Programs,
    /// A kernel, U-Boot and a Debian with systemd for an emulated Pi.
    Guest,
    /// The system emulator.
    Qemu,
    /// Mount namespaces, for a process with another /nix than the machine's.
    MountNamespaces,
    /// Programs that read an image and its database.
    ImageReaders,
    /// The shells that complete command lines.
    Shells,
    /// apt, and programs that make a package.
    Packaging,
    /// Programs of the scripts in the pages.
    PageTools,
    /// Source trees of nixpkgs and of the flake's other inputs: too large for a test to fetch.
    Inputs,
}

impl Requirement {
    /// Why this machine does not meet the requirement, with the remedy; `None` where it does.
    pub fn missing(self, cx: &Context) -> Option<String> {
        self.reason(cx).map(|text| format!("{text}{}", self.remedy()))
    }

    /// Whether the requirement can be installed without the user: by `setup`, or from Debian's packages.
    pub fn is_installable(self) -> bool {
        !matches!(
            self,
            Self::Root
                | Self::LoopDevices
                | Self::Fuse
                | Self::MountNamespaces
                | Self::Packaging
                | Self::Inputs
        )
    }

    /// The remedy, as the end of the reason.
    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::Root => ": run this command as root",
            Self::LoopDevices => ": load the kernel module loop",
            Self::Fuse => ": load the kernel module fuse",
            Self::MountNamespaces => ": allow user namespaces",
            Self::Packaging => ": run this command on Debian, with patchelf and a C compiler",
            Self::Inputs => ": set the variables to folders with the sources",
            Self::Programs | Self::Guest => {
                ": let this machine reach Debian's packages, and run this command again"
            }
            Self::VisibleTools => ": install them elsewhere",
            // The reasons of these include the remedy.
            Self::Nix | Self::Emulation => "",
            Self::Ext4Tools
            | Self::NetworkNamespaces
            | Self::TlsServer
            | Self::Emulators
            | Self::DeployRs
            | Self::UnitTools
            | Self::ImageTools
            | Self::Qemu
            | Self::ImageReaders
            | Self::Shells
            | Self::PageTools => ": install the programs",
        }
    }

    /// Why this machine does not meet the requirement, without the remedy; `None` where it does.
    fn reason(self, cx: &Context) -> Option<String> {
        match self {
            Self::Root => (!rustix::process::geteuid().is_root()).then(|| "needs root".into()),
            Self::Ext4Tools => missing_programs(
                cx,
                &["debugfs", "e2fsck", "e2image", "mke2fs", "resize2fs", "restic", "ssh-keygen"],
            ),
            Self::LoopDevices => missing_path(Path::new("/dev/loop-control"), "needs loop devices"),
            Self::Fuse => missing_path(Path::new("/dev/fuse"), "needs FUSE"),
            Self::NetworkNamespaces => missing_programs(
                cx,
                &["ip", "unshare", "nsenter", "setpriv", "pgrep", "ssh", "sshd", "sudo", "busybox"],
            ),
            Self::TlsServer => missing_programs(cx, &["openssl", "socat"]),
            Self::Nix => {
                let error = nix::require(&cx.launcher).err();
                error.map(|error| format!("needs Nix: {}", failure::with_hint(&error)))
            }
            Self::Emulation => missing_emulation(cx),
            Self::Emulators => missing_programs(cx, &["qemu-aarch64-static", "qemu-riscv64-static"]),
            Self::DeployRs => missing_programs(cx, &["deploy", "activate"]),
            Self::UnitTools => missing_programs(cx, &["mcopy", "mkfs.vfat", "mke2fs", "ssh-keygen"]),
            Self::VisibleTools => hidden_programs(&cx.launcher, &["nix-store", "activate"]),
            Self::ImageTools => missing_programs(
                cx,
                &["mke2fs", "mkfs.vfat", "mcopy", "sfdisk", "zstd", "fakeroot", "faketime", "unshare"],
            ),
            Self::Programs => {
                let is_set = demo::PROGRAMS.iter().all(|(name, _)| cx.launcher.env(name).is_some());
                (!is_set).then(|| "needs the assembler's programs from Debian's packages".into())
            }
            Self::Guest => (cx.launcher.env(demo::GUEST).is_none())
                .then(|| "needs a kernel and systemd from Debian's packages".into()),
            Self::Qemu => {
                missing_programs(cx, &["qemu-system-aarch64", "qemu-img", "sfdisk", "debugfs", "dumpe2fs"])
            }
            Self::Shells => missing_programs(cx, &["bash", "zsh", "fish", "setsid"]),
            Self::Packaging => missing_programs(cx, &["apt-get", "dpkg-deb", "patchelf", "cc"]),
            Self::PageTools => missing_programs(cx, &["age", "jq"]),
            Self::ImageReaders => missing_programs(cx, &["sqlite3", "debugfs"]),
            Self::MountNamespaces => missing_mount_namespaces(cx),
            Self::Inputs => unset_variables(&["XTASK_NIXPKGS", "XTASK_INPUTS"]),
        }
    }
}

/// The text about the variables `names` that are not set; `None` where all are set.
fn unset_variables(names: &[&str]) -> Option<String> {
    let missing = names.iter().filter(|name| std::env::var_os(name).is_none()).copied().collect::<Vec<_>>();
    (!missing.is_empty()).then(|| format!("needs source trees, named by {}", missing.join(" and ")))
}

/// `text` with the missing `path`; `None` where the path exists.
fn missing_path(path: &Path, text: &str) -> Option<String> {
    (!path.exists()).then(|| format!("{text} ({} is missing)", path.display()))
}

/// The text about the programs `names` that are not installed; `None` where all are.
fn missing_programs(cx: &Context, names: &[&str]) -> Option<String> {
    // Debian keeps the programs of administrators off the PATH of users.
    let is_in_sbin = |name: &str| ["/usr/sbin", "/sbin"].iter().any(|dir| Path::new(dir).join(name).exists());
    let missing = names.iter().filter(|name| cx.launcher.which(name).is_none() && !is_in_sbin(name));
    let missing = missing.copied().collect::<Vec<_>>();
    (!missing.is_empty()).then(|| format!("needs {}", missing.join(", ")))
}

/// The folders that the target of a deploy replaces by its own.
const HIDDEN: &[&str] = &["/nix", "/run", "/tmp"];

/// The text about the programs `names` that the target of a deploy does not see; `None` where it sees all.
fn hidden_programs(launcher: &Launcher, names: &[&str]) -> Option<String> {
    let files = names.iter().filter_map(|name| launcher.which(name)?.canonicalize().ok());
    let hidden = files.filter(|file| is_hidden(file)).map(|file| file.display().to_string());
    let hidden = hidden.collect::<Vec<_>>();
    let text = || {
        let folders = HIDDEN.join(", ");
        format!("needs programs outside {folders} (these are inside: {})", hidden.join(", "))
    };
    (!hidden.is_empty()).then(text)
}

/// Whether `file` is in a folder that the target of a deploy replaces.
fn is_hidden(file: &Path) -> bool {
    HIDDEN.iter().any(|dir| file.starts_with(dir))
}

/// The text about private mount namespaces that cannot be made; `None` where they can.
fn missing_mount_namespaces(cx: &Context) -> Option<String> {
    let unshared = cx.launcher.read("unshare", &["--user", "--map-root-user", "--mount", "true"]);
    unshared.err().map(|error| format!("needs private mount namespaces ({error:#})"))
}

/// Why this machine cannot emulate `AArch64`, with the remedy; `None` where it can.
fn missing_emulation(cx: &Context) -> Option<String> {
    let checked =
        nix::require(&cx.launcher).and_then(|version| emulation::require(cx, version, "aarch64-linux", &[]));
    checked.err().map(|error| format!("needs emulation: {}", failure::with_hint(&error)))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::base::run_log::RunLog;
    use crate::base::{Always, FlakeRef, Silent};

    #[test]
    fn what_a_missing_nix_is_needed_for_is_named() {
        let cx = Context {
            flake: FlakeRef::of_url("F"),
            state: PathBuf::new(),
            trust_flake: false,
            json: false,
            launcher: Launcher::with_clean_env("/"),
            reporter: Arc::new(Silent),
            approver: Arc::new(Always(None)),
            log: Arc::new(RunLog::begin("test")),
        };
        for (requirement, begin) in
            [(Requirement::Nix, "needs Nix"), (Requirement::Emulation, "needs emulation")]
        {
            let expected = format!("{begin}: no nix on PATH; run `cargo xtask setup`");
            assert_eq!(requirement.missing(&cx), Some(expected));
        }
    }

    #[test]
    fn programs_in_replaced_folders_are_hidden() {
        for (file, expected) in [
            ("/nix/store/x-nix/bin/nix", true),
            ("/run/current-system/sw/bin/nix", true),
            ("/tmp/home/bin/activate", true),
            ("/home/me/.local/share/nixos-pi-xtask/bin/activate", false),
            ("/nixos/bin/nix", false),
        ] {
            assert_eq!(is_hidden(Path::new(file)), expected, "{file}");
        }
    }
}
