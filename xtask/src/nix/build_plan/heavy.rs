//! Packages whose build takes long everywhere, and hours under emulation.

use crate::nix::split_version;

/// The names of such packages without their versions. Those of kernels begin with `linux`, and have no other name
/// than a version and a flavour after it.
const HEAVY: &[&str] = &[
    "chromium",
    "clang",
    "electron",
    "firefox",
    "gcc",
    "ghc",
    "go",
    "llvm",
    "mesa",
    "nodejs",
    "openjdk",
    "python3",
    "qemu",
    "qtbase",
    "qtdeclarative",
    "qtwebengine",
    "rustc",
    "systemd",
    "thunderbird",
    "torch",
    "webkitgtk",
];

/// The kernels of nixpkgs and nixos-hardware.
const KERNELS: &[&str] = &["linux", "linux-rpi", "linux_rpi", "linux-zen", "linux-hardened", "linux-rt"];

/// Whether the derivation `name`, such as `linux-6.12.3`, takes long to build. Sources, patches and headers of such a
/// package do not.
pub fn is_heavy(name: &str) -> bool {
    let (package, version) = split_version(name);
    if !version.starts_with(|c: char| c.is_ascii_digit()) || is_part(version) {
        return false;
    }
    HEAVY.contains(&package) || KERNELS.contains(&package)
}

/// Whether `version` is followed by the name of a source or of a small part: `6.12.tar.xz`, `6.12-modules-shrunk`.
fn is_part(version: &str) -> bool {
    let is_file = [".xz", ".gz", ".zst", ".bz2", ".patch", ".diff", ".zip", ".git"]
        .iter()
        .any(|end| version.ends_with(end));
    let mut words = version.split('-').skip(1);
    let is_small = |word: &str| {
        ["source", "src", "modules", "shrunk", "patch", "man", "doc", "hook", "wrapper"].contains(&word)
    };
    is_file || words.any(is_small)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_long_is_known_by_its_name() {
        for (name, expected) in [
            ("linux-6.12.3", true),
            ("linux_rpi-bcm2711-6.6", false),
            ("linux-rpi-6.6.51-stable_20241008", true),
            ("linux-6.12.3.tar.xz", false),
            ("linux-6.12.3-modules-shrunk", false),
            ("linux-headers-6.12", false),
            ("gcc-14.2.0", true),
            ("gcc-wrapper-14.2.0", false),
            ("rustc-1.88.0", true),
            ("rustc-1.88.0-src", false),
            ("python3-3.13.1", true),
            ("python3.13-requests-2.32", false),
            ("linux", false),
            ("nixos-system-stinky-26.11", false),
        ] {
            assert_eq!(is_heavy(name), expected, "{name}");
        }
    }
}
