//! The kernel decides: a tiny program of the other architecture is written and run.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::process::Launcher;

/// Whether the kernel runs programs of `system`; `false` for systems without a probe.
pub fn runs(system: &str, dir: &Path) -> Result<bool> {
    if system != "aarch64-linux" {
        return Ok(false);
    }
    let file = dir.join(format!("xtask-aarch64-probe-{}", std::process::id()));
    let ran = write_and_run(&file);
    let _ = std::fs::remove_file(&file);
    ran
}

fn write_and_run(file: &Path) -> Result<bool> {
    let naming = || format!("writing the emulation probe {}", file.display());
    std::fs::write(file, program()).with_context(naming)?;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o700)).with_context(naming)?;
    // An error here is the kernel's "Exec format error" or an interpreter that is not there.
    Ok(Launcher::new("/")
        .capture(&file.to_string_lossy(), &[""; 0])
        .is_ok_and(|output| output.code == EXIT_CODE))
}

/// Not 0, so that a shell that happens to accept the file cannot pass for an emulator.
const EXIT_CODE: i32 = 42;

#[expect(
    clippy::needless_for_each,
    reason = "one line a group of header fields, as the specification lists them"
)]
/// A static `AArch64` ELF file that calls `exit(42)`: header, one loadable segment, three instructions.
pub fn program() -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let code: [u32; 3] = [0xd280_0540, 0xd280_0ba8, 0xd400_0001]; // mov x0, #42; mov x8, #93; svc #0
    let size = HEADERS + 12;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let mut put = |bytes: &[u8]| elf.extend_from_slice(bytes);
    [2u16, 0xb7].iter().for_each(|half| put(&half.to_le_bytes())); // ET_EXEC, EM_AARCH64
    put(&1u32.to_le_bytes());
    [BASE + HEADERS, 64, 0].iter().for_each(|word| put(&word.to_le_bytes())); // entry, phoff, shoff
    put(&0u32.to_le_bytes());
    [64u16, 56, 1, 64, 0, 0].iter().for_each(|half| put(&half.to_le_bytes()));
    [1u32, 5].iter().for_each(|word| put(&word.to_le_bytes())); // PT_LOAD, read and execute
    [0, BASE, BASE, size, size, 0x1000].iter().for_each(|word: &u64| put(&word.to_le_bytes()));
    code.iter().for_each(|word| put(&word.to_le_bytes()));
    elf
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_an_elf_file_of_the_stated_size() {
        let elf = program();
        assert_eq!(elf.len(), 64 + 56 + 12);
        assert_eq!((&elf[..4], elf[18]), (&b"\x7fELF"[..], 0xb7));
    }
}
