//! The programs that the tool and its tests call, and the Debian packages they come in.

use super::Needs;

/// A program that must be on `PATH`, and the package that brings it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool {
    pub program: &'static str,
    pub package: &'static str,
    needs: Needs,
}

/// The programs for any of `needs`.
pub fn needed_for(needs: &[Needs]) -> impl Iterator<Item = Tool> {
    let rows = TABLE.iter().map(|&(program, package, needs)| Tool { program, package, needs });
    rows.filter(|tool| needs.contains(&tool.needs))
}

const TABLE: [(&str, &str, Needs); 25] = [
    ("git", "git", Needs::Build),
    // What puts the identity of a host on its card.
    ("debugfs", "e2fsprogs", Needs::Build),
    ("e2fsck", "e2fsprogs", Needs::Build),
    ("e2image", "e2fsprogs", Needs::Build),
    ("ssh-keygen", "openssh-client", Needs::Build),
    ("ssh", "openssh-client", Needs::Deploy),
    ("qemu-system-aarch64", "qemu-system-arm", Needs::Boot),
    ("busybox", "busybox-static", Needs::Tests),
    ("cpio", "cpio", Needs::Tests),
    ("faketime", "faketime", Needs::Tests),
    ("fakeroot", "fakeroot", Needs::Tests),
    ("ip", "iproute2", Needs::Tests),
    ("losetup", "mount", Needs::Tests),
    ("mcopy", "mtools", Needs::Tests),
    ("mke2fs", "e2fsprogs", Needs::Tests),
    ("mkfs.vfat", "dosfstools", Needs::Tests),
    ("pgrep", "procps", Needs::Tests),
    ("sfdisk", "fdisk", Needs::Tests),
    ("sqlite3", "sqlite3", Needs::Tests),
    ("ssh-keyscan", "openssh-client", Needs::Tests),
    ("sshd", "openssh-server", Needs::Tests),
    ("sudo", "sudo", Needs::Tests),
    ("unshare", "util-linux", Needs::Tests),
    ("xz", "xz-utils", Needs::Tests),
    ("zstd", "zstd", Needs::Tests),
];
