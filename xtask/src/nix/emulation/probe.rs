//! Probes whether the kernel runs programs of another system, by running a tiny one.

use std::fs::Permissions;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::MemfdFlags;
use rustix::io::Errno;

use crate::base::process::Launcher;
use crate::base::program_file;

/// A processor architecture, with the code of a program that exits with [`EXIT_CODE`].
#[derive(Debug)]
pub struct Architecture {
    /// The Nix systems of this architecture.
    systems: &'static [&'static str],
    class: Class,
    /// `e_machine` in the header of ELF files.
    number: u16,
    /// `e_flags` in that header.
    flags: u32,
    /// The instructions that call `exit(42)`.
    code: &'static [u8],
}

/// The ELF class: whether addresses have 32 or 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Elf32,
    Elf64,
}

/// The exit code of the program. Not 0, so that a shell that happens to accept the file does not count as an emulator.
pub const EXIT_CODE: i32 = 42;

/// The architectures that can be probed.
const ARCHITECTURES: &[Architecture] = &[
    Architecture {
        systems: &["aarch64-linux"],
        class: Class::Elf64,
        number: 0xb7,
        flags: 0,
        // mov x0, #42; mov x8, #93; svc #0
        code: &[0x40, 0x05, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 0x01, 0, 0, 0xd4],
    },
    Architecture {
        systems: &["x86_64-linux"],
        class: Class::Elf64,
        number: 0x3e,
        flags: 0,
        // mov edi, 42; mov eax, 60; syscall
        code: &[0xbf, 42, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05],
    },
    Architecture {
        systems: &["riscv64-linux"],
        class: Class::Elf64,
        number: 0xf3,
        flags: 0,
        // li a0, 42; li a7, 93; ecall
        code: &[0x13, 0x05, 0xa0, 0x02, 0x93, 0x08, 0xd0, 0x05, 0x73, 0, 0, 0],
    },
    Architecture {
        systems: &["armv5tel-linux", "armv6l-linux", "armv7l-linux"],
        class: Class::Elf32,
        number: 0x28,
        // Version 5 of the EABI; 64-bit kernels run nothing older.
        flags: 0x0500_0000,
        // mov r0, #42; mov r7, #1; svc #0
        code: &[42, 0, 0xa0, 0xe3, 0x01, 0x70, 0xa0, 0xe3, 0, 0, 0, 0xef],
    },
    Architecture {
        systems: &["i686-linux"],
        class: Class::Elf32,
        number: 0x03,
        flags: 0,
        // mov ebx, 42; mov eax, 1; int 0x80
        code: &[0xbb, 42, 0, 0, 0, 0xb8, 1, 0, 0, 0, 0xcd, 0x80],
    },
];

impl Architecture {
    /// The architecture of `system`; `None` for a system that cannot be probed.
    pub fn of(system: &str) -> Option<&'static Self> {
        ARCHITECTURES.iter().find(|architecture| architecture.systems.contains(&system))
    }

    /// A static ELF file that calls `exit(42)`: header, one loadable segment, three instructions.
    pub fn program(&self) -> Vec<u8> {
        /// The address at which the kernel loads the file.
        const BASE: u64 = 0x40_0000;
        // The sizes in bytes of an address, of the header and of the entry for a segment.
        let (class, address_size, header_size, segment_size) = match self.class {
            Class::Elf32 => (1, 4, 52u16, 32u16),
            Class::Elf64 => (2, 8, 64, 56),
        };
        let address_sized = |values: &[u64]| {
            values.iter().flat_map(|value| value.to_le_bytes()[..address_size].to_vec()).collect::<Vec<_>>()
        };
        let halves = |values: &[u16]| values.iter().flat_map(|half| half.to_le_bytes()).collect::<Vec<_>>();
        let code_start = u64::from(header_size + segment_size);
        let size = code_start + self.code.len() as u64;
        let loadable = 1u32.to_le_bytes();
        let read_and_execute = 5u32.to_le_bytes();
        // The 32-bit form of a segment has its flags near the end, the 64-bit form near the beginning.
        let (early_flags, late_flags) = match self.class {
            Class::Elf32 => (&[][..], &read_and_execute[..]),
            Class::Elf64 => (&read_and_execute[..], &[][..]),
        };
        [
            &[0x7f, b'E', b'L', b'F', class, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0][..],
            &halves(&[2, self.number, 1, 0]), // ET_EXEC, machine, version
            &address_sized(&[BASE + code_start, u64::from(header_size), 0]), // entry, segments, sections
            &self.flags.to_le_bytes(),
            &halves(&[header_size, segment_size, 1, 0, 0, 0]), // one segment, no sections
            &loadable,
            early_flags,
            &address_sized(&[0, BASE, BASE, size, size]), // offset, address twice, size twice
            late_flags,
            &address_sized(&[0x1000]), // alignment
            self.code,
        ]
        .concat()
    }
}

/// Whether the kernel runs programs for `architecture`.
///
/// # Errors
/// `Io` where the program cannot be written to a temporary folder, and `Other` where it cannot be copied there.
pub fn can_run(architecture: &Architecture) -> Result<bool> {
    let program = architecture.program();
    // Some machines forbid running files in memory (`vm.memfd_noexec = 2`).
    Ok(runs_from_memory(&program) || runs_from_folder(&program).context("running the emulation probe")?)
}

/// Whether `program` runs from a file in memory.
fn runs_from_memory(program: &[u8]) -> bool {
    let Ok(file) = write_memory_file(program) else { return false };
    exits_as_expected(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())))
}

/// Writes `program` to a memfd: nobody else can have made this file before, and no mount option keeps it from running.
/// Children inherit the descriptor, as an interpreter opens the program by the same path.
fn write_memory_file(program: &[u8]) -> rustix::io::Result<OwnedFd> {
    let create = |flags| rustix::fs::memfd_create("xtask-probe", flags);
    // Kernels before 6.3 lack this flag.
    let file = match create(MemfdFlags::EXEC) {
        Err(Errno::INVAL) => create(MemfdFlags::empty())?,
        created => created?,
    };
    let mut left = program;
    while !left.is_empty() {
        left = &left[rustix::io::write(&file, left)?..];
    }
    Ok(file)
}

/// Whether `program` runs from a temporary folder.
fn runs_from_folder(program: &[u8]) -> Result<bool> {
    let mut builder = tempfile::Builder::new();
    let folder = builder.prefix("xtask-probe-").permissions(Permissions::from_mode(0o700)).tempdir()?;
    let file = folder.path().join("run");
    program_file::write(&file, program, 0o700)?;
    Ok(exits_as_expected(&file))
}

/// Runs the file `program`, and returns whether its exit code is [`EXIT_CODE`]. False where the program does not start:
/// because of the kernel's "Exec format error", or because its interpreter is missing.
fn exits_as_expected(program: &Path) -> bool {
    let output = Launcher::new("/").capture(&program.to_string_lossy(), &[""; 0]);
    output.is_ok_and(|output| output.code == EXIT_CODE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_elf_files_of_their_class_and_machine() {
        for (system, size, class, number) in [
            ("aarch64-linux", 64 + 56 + 12, 2, 0xb7),
            ("riscv64-linux", 64 + 56 + 12, 2, 0xf3),
            ("armv7l-linux", 52 + 32 + 12, 1, 0x28),
            ("i686-linux", 52 + 32 + 12, 1, 0x03),
        ] {
            let elf = Architecture::of(system).unwrap().program();
            assert_eq!((&elf[..4], elf[4], elf[18]), (&b"\x7fELF"[..], class, number), "{system}");
            assert_eq!(elf.len(), size, "{system}");
        }
    }

    #[test]
    fn other_architectures_and_kernels_have_no_probe() {
        assert!(Architecture::of("s390x-linux").is_none() && Architecture::of("aarch64-darwin").is_none());
    }

    #[test]
    fn this_machine_runs_its_own_programs() {
        let architecture =
            Architecture::of(&crate::nix::this_system()).expect("an architecture of this system");
        assert!(can_run(architecture).unwrap());
        assert!(runs_from_folder(&architecture.program()).unwrap());
        // The stdin of a test is no program.
        assert!(!exits_as_expected(Path::new("/proc/self/fd/0")));
    }

    #[test]
    fn many_threads_probe_at_once() {
        let architecture =
            Architecture::of(&crate::nix::this_system()).expect("an architecture of this system");
        let program = architecture.program();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..20).for_each(|_| assert!(can_run(architecture).unwrap())));
                scope.spawn(|| (0..5).for_each(|_| assert!(runs_from_folder(&program).unwrap())));
            }
        });
    }

    /// Runs the emulators themselves, without `binfmt_misc`: this verifies the programs.
    #[test]
    #[ignore = "needs qemu-user-static: run `cargo xtask test`"]
    fn every_program_exits_as_expected() {
        let dir = tempfile::tempdir().unwrap();
        for (architecture, emulator) in
            ARCHITECTURES.iter().zip(["aarch64", "x86_64", "riscv64", "arm", "i386"])
        {
            let file = dir.path().join(emulator);
            program_file::write(&file, architecture.program(), 0o700).unwrap();
            let output = Launcher::new("/").capture(&format!("qemu-{emulator}-static"), &[&file]).unwrap();
            assert_eq!(output.code, EXIT_CODE, "{emulator}: {output:?}");
        }
    }
}
