//! Why the kernel does not run the programs of another system, each reason with its remedy.

use std::path::{Path, PathBuf};

use super::binfmt::{BinfmtEntry, BinfmtTable};

/// What is wrong with the kernel's table of emulators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    NotMounted,
    SwitchedOff,
    NoEntry,
    /// There is an entry, and it is disabled.
    Disabled(String),
    /// The interpreter of the entry is not there.
    Gone {
        entry: String,
        interpreter: PathBuf,
    },
    /// The entry `by`, newer than the good entry `good`, names an interpreter that is not there.
    Shadowed {
        by: String,
        good: String,
    },
    /// There is an entry and its interpreter, which does not run the program all the same.
    Fails {
        entry: String,
        interpreter: PathBuf,
    },
}

/// Why a program that begins with `head` does not run. `exists` says whether an interpreter is there.
pub fn diagnose(table: &BinfmtTable, head: &[u8], exists: impl Fn(&Path) -> bool) -> Fault {
    let entries = match table {
        BinfmtTable::NotMounted => return Fault::NotMounted,
        BinfmtTable::SwitchedOff => return Fault::SwitchedOff,
        BinfmtTable::Entries(entries) => entries,
    };
    let (on, off): (Vec<_>, Vec<_>) =
        entries.iter().filter(|entry| entry.fits(head)).partition(|entry| entry.enabled);
    let Some(first) = on.first() else {
        return off.first().map_or(Fault::NoEntry, |entry| Fault::Disabled(entry.name.clone()));
    };
    let works = |entry: &BinfmtEntry| entry.fixed || exists(&entry.interpreter);
    let (entry, interpreter) = (first.name.clone(), first.interpreter.clone());
    match on.iter().find(|entry| works(entry)) {
        Some(good) if good.name == entry => Fault::Fails { entry, interpreter },
        Some(good) => Fault::Shadowed { by: entry, good: good.name.clone() },
        None => Fault::Gone { entry, interpreter },
    }
}

/// What makes the kernel run programs of `system`.
fn register(system: &str) -> String {
    if is_own(system) {
        return "start the kernel with `ia32_emulation=1`".to_owned();
    }
    let debian = on_debian(system);
    format!("NixOS: `boot.binfmt.emulatedSystems = [ \"{system}\" ];`, Debian or Ubuntu: `{debian}`")
}

/// Whether the processor itself can run programs of `system`: there is no emulator for these.
pub fn is_own(system: &str) -> bool {
    system == "i686-linux" && cfg!(target_arch = "x86_64")
}

/// The command that makes an entry for `system` on Debian and Ubuntu.
pub fn on_debian(system: &str) -> &'static str {
    match system {
        "aarch64-linux" => "cargo xtask setup",
        _ => "apt install qemu-user-static",
    }
}

/// What root types to write `word` into the file `name` of the table.
fn tell(word: &str, name: &str) -> String {
    format!("`echo {word} | sudo tee /proc/sys/fs/binfmt_misc/{name}`")
}

impl Fault {
    /// What is wrong, and what makes programs of `system` run.
    pub fn explain(&self, system: &str) -> String {
        match self {
            Self::NotMounted => format!("binfmt_misc is not mounted; {}", register(system)),
            Self::SwitchedOff => format!("binfmt_misc is switched off; {}", tell("1", "status")),
            Self::NoEntry => format!("no entry of binfmt_misc is for it; {}", register(system)),
            Self::Disabled(entry) => {
                format!("the entry {entry} of binfmt_misc is disabled; {}", tell("1", entry))
            }
            Self::Gone { entry, interpreter } => {
                let (interpreter, remove) = (interpreter.display(), tell("-1", entry));
                format!(
                    "the entry {entry} of binfmt_misc names {interpreter}, which is not there; \
                     remove it by {remove}, then make a new one: {}",
                    register(system)
                )
            }
            Self::Shadowed { by, good } => format!(
                "the newer entry {by} of binfmt_misc, whose emulator is not there, hides {good}; \
                 remove it by {}",
                tell("-1", by)
            ),
            Self::Fails { entry, interpreter } => format!(
                "the emulator {} of the binfmt_misc entry {entry} fails; \
                 install it anew (NixOS: nixos-rebuild; Debian or Ubuntu: qemu-user-static)",
                interpreter.display()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry for everything; its interpreter is `/NAME`, and there are those that begin with `good`.
    fn entry(state: &str, name: &str, flags: &str) -> BinfmtEntry {
        let text = format!("{state}\ninterpreter /{name}\nflags: {flags}\noffset 0\nmagic 7f454c46\n");
        BinfmtEntry::parse(name, &text).unwrap()
    }

    fn check(table: &BinfmtTable, expected: &Fault, text: &str) {
        let found = diagnose(table, b"\x7fELF\x02", |path| path.starts_with("/good"));
        assert_eq!(&found, expected, "{table:?}");
        let said = found.explain("aarch64-linux");
        assert!(said.contains(text), "{said}");
    }

    #[test]
    fn faults() {
        let entries = |rows: &[(&str, &str, &str)]| {
            BinfmtTable::Entries(rows.iter().map(|(state, name, flags)| entry(state, name, flags)).collect())
        };
        let gone = || Fault::Gone { entry: "bad".into(), interpreter: "/bad".into() };
        let fails = |name: &str| Fault::Fails { entry: name.into(), interpreter: format!("/{name}").into() };
        let shadowed = || Fault::Shadowed { by: "bad".into(), good: "good".into() };
        check(&BinfmtTable::NotMounted, &Fault::NotMounted, "not mounted; NixOS: `boot.binfmt");
        let status = "`echo 1 | sudo tee /proc/sys/fs/binfmt_misc/status`";
        check(&BinfmtTable::SwitchedOff, &Fault::SwitchedOff, status);
        check(&entries(&[]), &Fault::NoEntry, "cargo xtask setup");
        let off = entries(&[("disabled", "good", "F")]);
        check(&off, &Fault::Disabled("good".into()), "`echo 1 | sudo tee /proc/sys/fs/binfmt_misc/good`");
        check(&entries(&[("enabled", "bad", "P")]), &gone(), "/bad, which is not there");
        let hidden = entries(&[("enabled", "bad", "P"), ("enabled", "good", "")]);
        check(&hidden, &shadowed(), "`echo -1 | sudo tee /proc/sys/fs/binfmt_misc/bad`");
        let off = entries(&[("disabled", "bad", "P"), ("enabled", "good", "")]);
        check(&off, &fails("good"), "the emulator /good");
        check(&entries(&[("enabled", "bad", "POF")]), &fails("bad"), "entry bad fails");
    }

    #[test]
    fn the_remedy_is_for_the_system_that_was_asked_for() {
        let debian = "Debian or Ubuntu: `apt install qemu-user-static`";
        for (system, fault, expected) in [
            ("aarch64-linux", Fault::NoEntry, "Debian or Ubuntu: `cargo xtask setup`"),
            ("riscv64-linux", Fault::NoEntry, "boot.binfmt.emulatedSystems = [ \"riscv64-linux\" ];"),
            ("riscv64-linux", Fault::NotMounted, debian),
            ("armv7l-linux", Fault::Gone { entry: "arm".into(), interpreter: "/q".into() }, debian),
        ] {
            let said = fault.explain(system);
            assert!(said.contains(expected), "{said}");
            assert_eq!(said.contains("aarch64"), system == "aarch64-linux", "{said}");
        }
    }
}
