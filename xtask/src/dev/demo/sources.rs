//! The files of the demo's flake. They are compiled into the program: the demo runs without a checkout.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

/// The content of a file of this repository.
macro_rules! source {
    ($path:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../", $path)).as_slice()
    };
}

/// The names of the files in the flake, and their contents. The assembler and the scripts that grow the partition,
/// write the boot menu and write U-Boot's script are those of the hosts.
const SOURCES: &[(&str, &[u8])] = &[
    ("assemble.sh", source!("hosts/raspberry-pi/sd-image/assembler/assemble.sh")),
    ("firmware.sh", source!("hosts/raspberry-pi/sd-image/assembler/firmware.sh")),
    ("list.sh", source!("hosts/raspberry-pi/sd-image/assembler/list.sh")),
    ("order.sh", source!("hosts/raspberry-pi/sd-image/assembler/order.sh")),
    ("root.sh", source!("hosts/raspberry-pi/sd-image/assembler/root.sh")),
    ("grow.sh", source!("hosts/raspberry-pi/grow.sh")),
    ("boot-script.sh", source!("hosts/raspberry-pi/trial/boot-script.sh")),
    ("boot.cmd", source!("hosts/raspberry-pi/trial/boot.cmd")),
    ("menu.sh", source!("hosts/raspberry-pi/trial/menu.sh")),
    ("boot-menu.sh", source!("xtask/demo/boot-menu.sh")),
    ("build.sh", source!("xtask/demo/build.sh")),
    ("config.txt", source!("xtask/demo/config.txt")),
    ("flake.nix", source!("xtask/demo/flake.nix")),
    ("grow-tool.sh", source!("xtask/demo/grow-tool.sh")),
    ("initrd.sh", source!("xtask/demo/initrd.sh")),
    ("install-generation.sh", source!("xtask/demo/install-generation.sh")),
    ("switch-to-configuration.sh", source!("xtask/demo/switch-to-configuration.sh")),
    ("system.sh", source!("xtask/demo/system.sh")),
];

/// The files that are executed; the others are read, some of them by a shell.
const EXECUTABLE: &[&str] = &["assemble.sh", "grow.sh"];

/// Writes the files of the flake to `dir`.
pub fn write(dir: &Path) -> Result<()> {
    for (name, content) in SOURCES {
        let file = dir.join(name);
        let mode = if EXECUTABLE.contains(name) { 0o755 } else { 0o644 };
        let written =
            fs::write(&file, content).and_then(|()| fs::set_permissions(&file, Permissions::from_mode(mode)));
        written.with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_demo_is_part_of_the_program() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path()).unwrap();
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for folder in ["xtask/demo", "hosts/raspberry-pi/sd-image/assembler"] {
            for entry in checkout.join(folder).read_dir().unwrap().map(Result::unwrap) {
                let name = entry.file_name();
                let copy =
                    fs::read(dir.path().join(&name)).unwrap_or_else(|error| panic!("{name:?}: {error}"));
                assert_eq!(copy, fs::read(entry.path()).unwrap(), "{name:?}");
            }
        }
    }

    #[test]
    fn only_files_that_are_executed_are_executable() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path()).unwrap();
        let mode = |name: &str| dir.path().join(name).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("grow.sh"), mode("build.sh")), (0o755, 0o644));
    }
}
