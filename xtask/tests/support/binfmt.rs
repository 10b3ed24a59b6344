//! Private tables of `binfmt_misc`, with emulators that only exit as the program does that they run.

use std::fs;
use std::path::Path;

use ::xtask::Launcher;
use ::xtask::base::program_file;

/// Registers an entry for `AArch64` programs: its name, its emulator and its flags follow.
const REGISTER: &str = r"register() { printf '%s' ':'$1':M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:'$2':'$3 >$B/register; }";

/// Whether this kernel gives user namespaces a table of their own. Where it does not, it must be an old one.
#[expect(clippy::print_stderr, reason = "a note beside the result of the test")]
pub fn has_private_tables() -> bool {
    let args = ["-Urm", "mount", "-t", "binfmt_misc", "none", "/proc/sys/fs/binfmt_misc"];
    let mounted = Launcher::new("/").capture("unshare", &args).expect("running unshare");
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("the release");
    let mut numbers = release.split('.').map_while(|number| number.parse::<u32>().ok());
    let is_old = (numbers.next(), numbers.next()) < (Some(6), Some(7));
    assert!(mounted.success() || is_old, "{}", mounted.stderr);
    if !mounted.success() {
        eprintln!("Linux {release} has no private tables of binfmt_misc: the verdicts were not shown");
    }
    mounted.success()
}

/// The words that run a command in a namespace with a private table, after the shell script `steps`. In it, `$B` is the
/// table, `$E` the folder `emulators`, and `register NAME EMULATOR FLAGS` makes an entry for programs of `AArch64`.
pub fn wrapper(emulators: &str, steps: &str) -> Vec<String> {
    let script = format!(
        "B=/proc/sys/fs/binfmt_misc; E={emulators}; mount -t binfmt_misc none $B; {REGISTER}\n{steps}\nexec \"$@\""
    );
    ["unshare", "-Urm", "/bin/sh", "-ec", &script, "sh"].map(str::to_owned).into()
}

/// Makes a folder with the emulators `static` and `dynamic`, which exit with 42, and with `program`, which does so on
/// `AArch64`.
pub fn make_emulators(folder: &Path) {
    fs::create_dir(folder).expect("making a folder");
    fs::write(folder.join("emulator.c"), "int main(void) { return 42; }\n").expect("writing a program");
    Launcher::new(folder).read("cc", &["emulator.c", "-o", "dynamic"]).expect("compiling a program");
    // mov edi, 42; mov eax, 60; syscall
    let x86_64 = exit_program(0x3e, [0xbf, 42, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05]);
    // mov x0, #42; mov x8, #93; svc #0
    let aarch64 = exit_program(0xb7, [0x40, 0x05, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 0x01, 0, 0, 0xd4]);
    for (name, program) in [("static", x86_64), ("program", aarch64)] {
        program_file::write(&folder.join(name), program, 0o755).expect("writing a program");
    }
}

/// A static program for the `machine` of ELF, with these instructions.
fn exit_program(machine: u8, code: [u8; 12]) -> Vec<u8> {
    let header = [0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, machine, 0, 1, 0, 0, 0];
    let words = |values: &[u64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
    let sizes = [0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    let segment = [1, 0, 0, 0, 5, 0, 0, 0];
    let range = words(&[0, 0x40_0000, 0x40_0000, 132, 132, 0x1000]);
    [&header[..], &words(&[0x40_0078, 64, 0]), &sizes, &segment, &range, &code].concat()
}
