//! The parts of the demo's image, of the assembler's programs and of a guest: files of packages, and their folders.

use crate::setup::debian::{Arch, Package};

/// Some files of one folder of a package.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Part {
    /// The name of the package; `linux-image` stands for the kernel, whose package has its version in the name.
    pub package: &'static str,
    /// The folder in the package, with [`Placeholders`].
    pub from: &'static str,
    /// The names of the files, with [`Placeholders`].
    pub files: &'static [&'static str],
    /// The folder that the files are copied to, below the staged folder.
    pub to: &'static str,
}

/// The values of the placeholders in the paths of files, which differ between architectures and versions.
#[derive(Clone, Copy, Debug)]
pub struct Placeholders<'a> {
    /// `{release}`: the release of the kernel, such as `6.1.0-50-arm64`.
    pub release: &'a str,
    /// The architecture, which determines `{triplet}` and `{loader}`.
    pub arch: Arch,
}

impl Placeholders<'_> {
    fn replace_in(&self, text: &str) -> String {
        let Self { release, arch } = self;
        text.replace("{release}", release)
            .replace("{triplet}", arch.triplet())
            .replace("{loader}", arch.loader())
    }
}

/// The suite of Debian with the kernel. The kernel of the next suite is too large: U-Boot loads the device tree 36
/// MiB after the kernel.
pub const KERNEL_SUITE: &str = "bookworm";

/// The package that depends on the current kernel.
pub const KERNEL_META: &str = "linux-image-arm64";

/// The parts of the kernel's package, in [`KERNEL_SUITE`].
pub const KERNEL: &[Part] = &[
    kernel("boot", &["vmlinuz-{release}"], "kernel"),
    kernel(
        "usr/lib/linux-image-{release}/broadcom",
        &[
            "bcm2711-rpi-4-b.dtb",
            "bcm2711-rpi-400.dtb",
            "bcm2711-rpi-cm4-io.dtb",
            "bcm2837-rpi-3-a-plus.dtb",
            "bcm2837-rpi-3-b-plus.dtb",
            "bcm2837-rpi-3-b.dtb",
            "bcm2837-rpi-zero-2-w.dtb",
        ],
        "kernel/dtbs/broadcom",
    ),
    // The drivers of the card on a Pi 3 and in QEMU's `virt`, and of the network there; initrd.sh has their order.
    kernel("lib/modules/{release}/kernel/crypto", &["crc32c_generic.ko"], "kernel/modules"),
    kernel("lib/modules/{release}/kernel/drivers/block", &["virtio_blk.ko"], "kernel/modules"),
    kernel("lib/modules/{release}/kernel/drivers/mmc/host", &["bcm2835.ko"], "kernel/modules"),
    kernel(
        "lib/modules/{release}/kernel/drivers/net",
        &["net_failover.ko", "virtio_net.ko"],
        "kernel/modules",
    ),
    kernel(
        "lib/modules/{release}/kernel/drivers/virtio",
        &["virtio_pci.ko", "virtio_pci_legacy_dev.ko", "virtio_pci_modern_dev.ko"],
        "kernel/modules",
    ),
    kernel(
        "lib/modules/{release}/kernel/drivers/watchdog",
        &["bcm2835_wdt.ko", "i6300esb.ko"],
        "kernel/modules",
    ),
    kernel("lib/modules/{release}/kernel/fs", &["mbcache.ko"], "kernel/modules"),
    kernel("lib/modules/{release}/kernel/fs/ext4", &["ext4.ko"], "kernel/modules"),
    kernel("lib/modules/{release}/kernel/fs/fat", &["fat.ko", "vfat.ko"], "kernel/modules"),
    kernel("lib/modules/{release}/kernel/fs/jbd2", &["jbd2.ko"], "kernel/modules"),
    kernel(
        "lib/modules/{release}/kernel/fs/nls",
        &["nls_ascii.ko", "nls_cp437.ko", "nls_iso8859-1.ko"],
        "kernel/modules",
    ),
    kernel("lib/modules/{release}/kernel/lib", &["crc16.ko"], "kernel/modules"),
    kernel("lib/modules/{release}/kernel/net/core", &["failover.ko"], "kernel/modules"),
];

/// The suite of Debian with the programs: its mke2fs accepts an archive.
pub const TOOLS_SUITE: &str = "trixie";

/// The parts of the demo's image beside the kernel, and the assembler's programs.
pub const TOOLS: &[Part] = &[
    Part { package: "u-boot-rpi", from: "usr/lib/u-boot/rpi_arm64", files: &["u-boot.bin"], to: "u-boot" },
    // Not on the card: QEMU's machine `virt` starts it in place of a Pi's firmware.
    Part {
        package: "u-boot-qemu",
        from: "usr/lib/u-boot/qemu_arm64",
        files: &["u-boot.bin"],
        to: "emulator",
    },
    // An ssh server for the host.
    Part { package: "dropbear-bin", from: "usr/sbin", files: &["dropbear"], to: "ssh/bin" },
    Part {
        package: "dropbear-bin",
        from: "usr/bin",
        files: &["dropbearconvert", "dropbearkey"],
        to: "ssh/bin",
    },
    ssh_lib("libc6", &["{loader}", "libc.so.6"]),
    ssh_lib("libcrypt1", &["libcrypt.so.1"]),
    ssh_lib("libgmp10", &["libgmp.so.10"]),
    ssh_lib("libtomcrypt1", &["libtomcrypt.so.1"]),
    ssh_lib("libtommath1", &["libtommath.so.1"]),
    ssh_lib("zlib1g", &["libz.so.1"]),
    bin("busybox-static", &["busybox"]),
    bin("dash", &["dash"]),
    bin("mtools", &["mtools"]),
    bin("tar", &["tar"]),
    bin("util-linux", &["partx"]),
    bin("zstd", &["zstd"]),
    sbin("dosfstools", &["mkfs.fat"]),
    sbin("e2fsprogs", &["debugfs", "e2fsck", "mke2fs", "resize2fs", "tune2fs"]),
    sbin("fdisk", &["sfdisk"]),
    lib("libc6", &["{loader}", "libc.so.6", "libm.so.6"]),
    Part {
        package: "libc6",
        from: "usr/lib/{triplet}/gconv",
        files: &["IBM850.so", "gconv-modules"],
        to: "lib/gconv",
    },
    Part {
        package: "libc6",
        from: "usr/lib/{triplet}/gconv/gconv-modules.d",
        files: &["gconv-modules-extra.conf"],
        to: "lib/gconv/gconv-modules.d",
    },
    lib("libacl1", &["libacl.so.1"]),
    lib("libarchive13t64", &["libarchive.so.13"]),
    lib("libblkid1", &["libblkid.so.1"]),
    lib("libbz2-1.0", &["libbz2.so.1.0"]),
    lib("libcom-err2", &["libcom_err.so.2"]),
    lib("libext2fs2t64", &["libe2p.so.2", "libext2fs.so.2"]),
    lib("libfdisk1", &["libfdisk.so.1"]),
    lib("liblz4-1", &["liblz4.so.1"]),
    lib("liblzma5", &["liblzma.so.5"]),
    lib("libnettle8t64", &["libnettle.so.8"]),
    lib("libpcre2-8-0", &["libpcre2-8.so.0"]),
    lib("libreadline8t64", &["libreadline.so.8"]),
    lib("libselinux1", &["libselinux.so.1"]),
    lib("libsmartcols1", &["libsmartcols.so.1"]),
    lib("libss2", &["libss.so.2"]),
    lib("libtinfo6", &["libtinfo.so.6"]),
    lib("libuuid1", &["libuuid.so.1"]),
    lib("libxml2", &["libxml2.so.2"]),
    lib("libxxhash0", &["libxxhash.so.0"]),
    lib("libzstd1", &["libzstd.so.1"]),
    lib("zlib1g", &["libz.so.1"]),
];

/// The packages of a guest with a real systemd, sshd and Nix, in [`TOOLS_SUITE`].
pub const GUEST_PACKAGES: &[&str] = &[
    "bash",
    "coreutils",
    "dash",
    "dbus",
    "diffutils",
    "e2fsprogs",
    "fdisk",
    "findutils",
    "gawk",
    "grep",
    "gzip",
    "iproute2",
    "kmod",
    "mount",
    "nix-bin",
    "openssh-server",
    "passwd",
    "sed",
    "systemd",
    "systemd-sysv",
    "udev",
    "util-linux",
];

/// The further parts of a guest: it runs this machine's program `activate`, which may be of another architecture.
pub const GUEST_PARTS: &[Part] =
    &[Part { package: "qemu-user", from: "usr/bin", files: &["qemu-x86_64"], to: "emulator" }];

const fn bin(package: &'static str, files: &'static [&'static str]) -> Part {
    Part { package, from: "usr/bin", files, to: "bin" }
}

const fn sbin(package: &'static str, files: &'static [&'static str]) -> Part {
    Part { package, from: "usr/sbin", files, to: "bin" }
}

const fn lib(package: &'static str, files: &'static [&'static str]) -> Part {
    Part { package, from: "usr/lib/{triplet}", files, to: "lib" }
}

const fn ssh_lib(package: &'static str, files: &'static [&'static str]) -> Part {
    Part { package, from: "usr/lib/{triplet}", files, to: "ssh/lib" }
}

const fn kernel(from: &'static str, files: &'static [&'static str], to: &'static str) -> Part {
    Part { package: "linux-image", from, files, to }
}

impl Part {
    /// Whether the files of this part are in the package `name`.
    pub fn is_in_package(&self, name: &str) -> bool {
        name == self.package || (self.package == "linux-image" && release_of(name).is_some())
    }

    /// Whether this part has programs of the assembler, or libraries of these programs.
    pub fn is_tool(&self) -> bool {
        self.to == "bin" || self.to.starts_with("lib")
    }

    /// The paths of the files in the package, with their new names.
    pub fn sources(&self, placeholders: Placeholders<'_>) -> impl Iterator<Item = (String, String)> {
        let from = placeholders.replace_in(self.from);
        let files = self.files.iter().map(move |file| placeholders.replace_in(file));
        files.map(move |file| (format!("{from}/{file}"), file))
    }

    /// The patterns of the files to unpack. A library is a link to a file with a longer name, which the pattern
    /// matches too.
    pub fn patterns(&self, placeholders: Placeholders<'_>) -> impl Iterator<Item = String> {
        let sources = self.sources(placeholders).map(|(source, _)| source);
        sources.map(|source| if source.contains(".so.") { format!("{source}*") } else { source })
    }
}

/// The sorted names of the packages of `parts`, each once, also where several parts are of one package.
pub fn package_names(parts: &[&Part]) -> Vec<&'static str> {
    let mut names = parts.iter().map(|part| part.package).collect::<Vec<_>>();
    names.sort_unstable();
    names.dedup();
    names
}

/// The package of the kernel among `packages`, and its release; `None` where there is none.
pub fn kernel_among(packages: &[Package]) -> Option<(&Package, &str)> {
    packages.iter().find_map(|package| Some((package, release_of(&package.name)?)))
}

/// The release in the name of a kernel's package, such as `6.1.0-50-arm64` in `linux-image-6.1.0-50-arm64`; `None`
/// for any other package, also for [`KERNEL_META`].
fn release_of(package: &str) -> Option<&str> {
    package.strip_prefix("linux-image-").filter(|release| release.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str) -> Package {
        Package { name: name.into(), version: "1".into(), file: String::new(), size: 0 }
    }

    #[test]
    fn the_kernel_is_found_by_its_release() {
        let packages = ["kmod", "linux-image-arm64", "linux-image-6.1.0-50-arm64"].map(package);
        let (kernel, release) = kernel_among(&packages).unwrap();
        assert_eq!((kernel, release), (&packages[2], "6.1.0-50-arm64"));
        assert_eq!(kernel_among(&packages[..2]), None);
        let sources = KERNEL[0].sources(Placeholders { release, arch: Arch::Arm64 }).collect::<Vec<_>>();
        assert_eq!(sources, [("boot/vmlinuz-6.1.0-50-arm64".into(), "vmlinuz-6.1.0-50-arm64".into())]);
        assert!(
            KERNEL.iter().all(|part| part.is_in_package(&kernel.name) && !part.is_in_package(KERNEL_META))
        );
    }

    #[test]
    fn a_link_comes_with_its_target() {
        let lib = TOOLS.iter().find(|part| part.package == "libacl1").unwrap();
        for (arch, expected) in [
            (Arch::Arm64, "usr/lib/aarch64-linux-gnu/libacl.so.1*"),
            (Arch::Amd64, "usr/lib/x86_64-linux-gnu/libacl.so.1*"),
        ] {
            assert_eq!(lib.patterns(Placeholders { release: "", arch }).collect::<Vec<_>>(), [expected]);
        }
    }

    #[test]
    fn a_package_of_several_parts_is_named_once() {
        let parts = [lib("libc6", &["libc.so.6"]), bin("dash", &["dash"]), ssh_lib("libc6", &["libc.so.6"])];
        assert_eq!(package_names(&parts.iter().collect::<Vec<_>>()), ["dash", "libc6"]);
    }
}
