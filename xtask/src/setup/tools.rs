//! The programs that the tool and its tests run, and the Debian packages that contain them.

use super::Purpose;

/// A program that must be on `PATH`, or a file that must exist, and the package that contains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool {
    /// The name of the program, or the absolute path of the file.
    pub program: &'static str,
    pub package: &'static str,
    purpose: Purpose,
}

/// The programs that any of `purposes` requires.
pub fn required_tools(purposes: &[Purpose]) -> impl Iterator<Item = Tool> {
    let rows = TOOLS.iter().map(|&(program, package, purpose)| Tool { program, package, purpose });
    rows.filter(|tool| purposes.contains(&tool.purpose))
}

/// The programs, each with its package and the purpose that requires it.
const TOOLS: &[(&str, &str, Purpose)] = &[
    ("git", "git", Purpose::Build),
    // These three write the payload to the card.
    ("debugfs", "e2fsprogs", Purpose::Build),
    ("e2fsck", "e2fsprogs", Purpose::Build),
    ("e2image", "e2fsprogs", Purpose::Build),
    ("ssh-keygen", "openssh-client", Purpose::Build),
    ("ssh", "openssh-client", Purpose::Deploy),
    ("restic", "restic", Purpose::Backups),
    ("restic", "restic", Purpose::Tests),
    ("qemu-system-aarch64", "qemu-system-arm", Purpose::Boot),
    ("qemu-img", "qemu-utils", Purpose::Snapshot),
    ("/usr/lib/u-boot/qemu_arm64/u-boot.bin", "u-boot-qemu", Purpose::Snapshot),
    ("age", "age", Purpose::Tests),
    ("busybox", "busybox-static", Purpose::Tests),
    ("cpio", "cpio", Purpose::Tests),
    ("faketime", "faketime", Purpose::Tests),
    ("fakeroot", "fakeroot", Purpose::Tests),
    ("fish", "fish", Purpose::Tests),
    ("ip", "iproute2", Purpose::Tests),
    ("jq", "jq", Purpose::Tests),
    ("losetup", "mount", Purpose::Tests),
    ("mcopy", "mtools", Purpose::Tests),
    ("mke2fs", "e2fsprogs", Purpose::Tests),
    ("mkfs.vfat", "dosfstools", Purpose::Tests),
    ("openssl", "openssl", Purpose::Tests),
    ("patchelf", "patchelf", Purpose::Tests),
    ("pgrep", "procps", Purpose::Tests),
    ("sfdisk", "fdisk", Purpose::Tests),
    ("socat", "socat", Purpose::Tests),
    ("sqlite3", "sqlite3", Purpose::Tests),
    ("ssh-keyscan", "openssh-client", Purpose::Tests),
    ("sshd", "openssh-server", Purpose::Tests),
    ("sudo", "sudo", Purpose::Tests),
    ("unshare", "util-linux", Purpose::Tests),
    ("xz", "xz-utils", Purpose::Tests),
    ("zsh", "zsh", Purpose::Tests),
    ("zstd", "zstd", Purpose::Tests),
];
