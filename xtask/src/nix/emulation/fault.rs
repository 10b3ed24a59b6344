//! Diagnoses why the kernel does not run the programs of another system, with the remedy for each case.

use std::path::{Path, PathBuf};

use super::binfmt::{BinfmtEntry, BinfmtTable};

/// Why `binfmt_misc` does not run the programs of a system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BinfmtFault {
    /// `binfmt_misc` is not mounted.
    NotMounted,
    /// All entries are disabled together.
    Disabled,
    /// No entry matches the programs.
    NoEntry,
    /// The entry of this name is disabled.
    EntryDisabled(String),
    /// The interpreter of the entry does not exist.
    InterpreterMissing { entry: String, interpreter: PathBuf },
    /// The entry `by`, which is newer than the working entry `good`, names an interpreter that does not exist.
    Shadowed { by: String, good: String },
    /// The entry and its interpreter exist, but the interpreter does not run the program.
    InterpreterFails { entry: String, interpreter: PathBuf },
}

/// The reason why a program that begins with `head` does not run, by the `table` of the kernel. `exists` returns
/// whether an interpreter exists.
pub fn diagnose(table: &BinfmtTable, head: &[u8], exists: impl Fn(&Path) -> bool) -> BinfmtFault {
    let entries = match table {
        BinfmtTable::NotMounted => return BinfmtFault::NotMounted,
        BinfmtTable::Disabled => return BinfmtFault::Disabled,
        BinfmtTable::Entries(entries) => entries,
    };
    let (enabled, disabled): (Vec<_>, Vec<_>) =
        entries.iter().filter(|entry| entry.matches(head)).partition(|entry| entry.enabled);
    // The kernel uses the first enabled entry.
    let Some(first) = enabled.first() else {
        return match disabled.first() {
            Some(entry) => BinfmtFault::EntryDisabled(entry.name.clone()),
            None => BinfmtFault::NoEntry,
        };
    };
    let has_interpreter = |entry: &BinfmtEntry| entry.fixed || exists(&entry.interpreter);
    let entry = first.name.clone();
    let interpreter = first.interpreter.clone();
    match enabled.iter().find(|entry| has_interpreter(entry)) {
        Some(good) if good.name == entry => BinfmtFault::InterpreterFails { entry, interpreter },
        Some(good) => BinfmtFault::Shadowed { by: entry, good: good.name.clone() },
        None => BinfmtFault::InterpreterMissing { entry, interpreter },
    }
}

/// The hint how to register an entry for `system`.
fn registration_hint(system: &str) -> String {
    if is_native_to_cpu(system) {
        return "start the kernel with `ia32_emulation=1`".to_owned();
    }
    let command = debian_command(system);
    format!("NixOS: set `boot.binfmt.emulatedSystems = [ \"{system}\" ];`; Debian or Ubuntu: run `{command}`")
}

/// Whether the processor itself can run programs of `system`, so that NixOS has no emulator for it.
pub fn is_native_to_cpu(system: &str) -> bool {
    system == "i686-linux" && cfg!(target_arch = "x86_64")
}

/// The command that registers an emulator for `system` on Debian and Ubuntu.
pub fn debian_command(system: &str) -> &'static str {
    match system {
        "aarch64-linux" => "cargo xtask setup",
        _ => "apt install qemu-user-static",
    }
}

/// The command that writes `word` into the file `name` of `binfmt_misc`.
pub(super) fn write_command(word: &str, name: &str) -> String {
    format!("`echo {word} | sudo tee /proc/sys/fs/binfmt_misc/{name}`")
}

impl BinfmtFault {
    /// The fault in words, for a message that has named the system.
    pub fn explain(&self) -> String {
        match self {
            Self::NotMounted => "binfmt_misc is not mounted".to_owned(),
            Self::Disabled => "binfmt_misc is disabled".to_owned(),
            Self::NoEntry => "binfmt_misc has no entry for it".to_owned(),
            Self::EntryDisabled(entry) => format!("the binfmt_misc entry {entry} is disabled"),
            Self::InterpreterMissing { entry, interpreter } => {
                format!("the binfmt_misc entry {entry} names {}, which does not exist", interpreter.display())
            }
            Self::Shadowed { by, good } => {
                format!(
                    "the newer binfmt_misc entry {by}, whose emulator does not exist, shadows the entry {good}"
                )
            }
            Self::InterpreterFails { entry, interpreter } => {
                format!("the emulator {} of the binfmt_misc entry {entry} fails", interpreter.display())
            }
        }
    }

    /// The hint how to make the kernel run programs of `system`.
    pub fn hint(&self, system: &str) -> String {
        match self {
            Self::NotMounted | Self::NoEntry => registration_hint(system),
            Self::Disabled => format!("run {}", write_command("1", "status")),
            Self::EntryDisabled(entry) => format!("run {}", write_command("1", entry)),
            Self::InterpreterMissing { entry, .. } => {
                let remove = write_command("-1", entry);
                let register = registration_hint(system);
                format!("remove the entry with {remove}, then register a new one: {register}")
            }
            Self::Shadowed { by, .. } => format!("remove the entry {by} with {}", write_command("-1", by)),
            Self::InterpreterFails { .. } => {
                "reinstall the emulator (NixOS: nixos-rebuild; Debian or Ubuntu: qemu-user-static)".to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry for all ELF files with the interpreter `/NAME`. Only the interpreter `/good` exists.
    fn entry(state: &str, name: &str, flags: &str) -> BinfmtEntry {
        let text = format!("{state}\ninterpreter /{name}\nflags: {flags}\noffset 0\nmagic 7f454c46\n");
        BinfmtEntry::parse(name, &text).unwrap()
    }

    /// Asserts the fault of `table`, and a `part` of its explanation and hint.
    fn check(table: &BinfmtTable, expected: &BinfmtFault, part: &str) {
        let found = diagnose(table, b"\x7fELF\x02", |path| path.starts_with("/good"));
        assert_eq!(&found, expected, "{table:?}");
        let text = format!("{}; {}", found.explain(), found.hint("aarch64-linux"));
        assert!(text.contains(part), "{text}");
    }

    #[test]
    fn each_state_of_the_table_has_its_fault() {
        let entries = |rows: &[(&str, &str, &str)]| {
            BinfmtTable::Entries(rows.iter().map(|(state, name, flags)| entry(state, name, flags)).collect())
        };
        let missing = || BinfmtFault::InterpreterMissing { entry: "bad".into(), interpreter: "/bad".into() };
        let fails = |name: &str| BinfmtFault::InterpreterFails {
            entry: name.into(),
            interpreter: format!("/{name}").into(),
        };
        let shadowed = || BinfmtFault::Shadowed { by: "bad".into(), good: "good".into() };
        check(&BinfmtTable::NotMounted, &BinfmtFault::NotMounted, "not mounted; NixOS: set `boot.binfmt");
        let status = "`echo 1 | sudo tee /proc/sys/fs/binfmt_misc/status`";
        check(&BinfmtTable::Disabled, &BinfmtFault::Disabled, status);
        check(&entries(&[]), &BinfmtFault::NoEntry, "cargo xtask setup");
        check(
            &entries(&[("disabled", "good", "F")]),
            &BinfmtFault::EntryDisabled("good".into()),
            "`echo 1 | sudo tee /proc/sys/fs/binfmt_misc/good`",
        );
        check(&entries(&[("enabled", "bad", "P")]), &missing(), "/bad, which does not exist");
        check(
            &entries(&[("enabled", "bad", "P"), ("enabled", "good", "")]),
            &shadowed(),
            "`echo -1 | sudo tee /proc/sys/fs/binfmt_misc/bad`",
        );
        check(
            &entries(&[("disabled", "bad", "P"), ("enabled", "good", "")]),
            &fails("good"),
            "the emulator /good",
        );
        check(&entries(&[("enabled", "bad", "POF")]), &fails("bad"), "entry bad fails");
    }

    #[test]
    fn the_hint_is_for_the_given_system() {
        let debian = "Debian or Ubuntu: run `apt install qemu-user-static`";
        for (system, fault, expected) in [
            ("aarch64-linux", BinfmtFault::NoEntry, "Debian or Ubuntu: run `cargo xtask setup`"),
            ("riscv64-linux", BinfmtFault::NoEntry, "boot.binfmt.emulatedSystems = [ \"riscv64-linux\" ];"),
            ("riscv64-linux", BinfmtFault::NotMounted, debian),
            (
                "armv7l-linux",
                BinfmtFault::InterpreterMissing { entry: "arm".into(), interpreter: "/q".into() },
                debian,
            ),
        ] {
            let hint = fault.hint(system);
            assert!(hint.contains(expected), "{hint}");
            assert_eq!(hint.contains("aarch64"), system == "aarch64-linux", "{hint}");
            assert!(!fault.explain().contains("aarch64"), "{fault:?}");
        }
    }
}
