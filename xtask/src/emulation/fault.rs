//! Why the kernel does not run the programs of another system, each reason with its remedy.

use std::fmt;
use std::path::{Path, PathBuf};

use super::binfmt::{Entry, Table};

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
pub fn diagnose(table: &Table, head: &[u8], exists: impl Fn(&Path) -> bool) -> Fault {
    let entries = match table {
        Table::NotMounted => return Fault::NotMounted,
        Table::SwitchedOff => return Fault::SwitchedOff,
        Table::Entries(entries) => entries,
    };
    let (on, off): (Vec<_>, Vec<_>) =
        entries.iter().filter(|entry| entry.fits(head)).partition(|entry| entry.enabled);
    let Some(first) = on.first() else {
        return off.first().map_or(Fault::NoEntry, |entry| Fault::Disabled(entry.name.clone()));
    };
    let works = |entry: &Entry| entry.fixed || exists(&entry.interpreter);
    let (entry, interpreter) = (first.name.clone(), first.interpreter.clone());
    match on.iter().find(|entry| works(entry)) {
        Some(good) if good.name == entry => Fault::Fails { entry, interpreter },
        Some(good) => Fault::Shadowed { by: entry, good: good.name.clone() },
        None => Fault::Gone { entry, interpreter },
    }
}

/// What makes a new entry.
const REGISTER: &str = "NixOS: `boot.binfmt.emulatedSystems = [ \"aarch64-linux\" ];`, \
    Debian or Ubuntu: `cargo xtask setup`";

/// What root types to write `word` into the file `name` of the table.
fn tell(word: &str, name: &str) -> String {
    format!("`echo {word} | sudo tee /proc/sys/fs/binfmt_misc/{name}`")
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMounted => write!(f, "binfmt_misc is not mounted; {REGISTER}"),
            Self::SwitchedOff => write!(f, "binfmt_misc is switched off; {}", tell("1", "status")),
            Self::NoEntry => write!(f, "no entry of binfmt_misc is for it; {REGISTER}"),
            Self::Disabled(entry) => {
                write!(f, "the entry {entry} of binfmt_misc is disabled; {}", tell("1", entry))
            }
            Self::Gone { entry, interpreter } => {
                let (interpreter, remove) = (interpreter.display(), tell("-1", entry));
                write!(f, "the entry {entry} of binfmt_misc names {interpreter}, which is not there; ")?;
                write!(f, "remove it by {remove}, then make a new one: {REGISTER}")
            }
            Self::Shadowed { by, good } => {
                write!(
                    f,
                    "the newer entry {by} of binfmt_misc, whose emulator is not there, hides {good}; "
                )?;
                write!(f, "remove it by {}", tell("-1", by))
            }
            Self::Fails { entry, interpreter } => {
                let interpreter = interpreter.display();
                write!(f, "the emulator {interpreter} of the binfmt_misc entry {entry} fails; ")?;
                write!(f, "install it anew (NixOS: nixos-rebuild; Debian or Ubuntu: qemu-user-static)")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry for everything; its interpreter is `/NAME`, and there are those that begin with `good`.
    fn entry(state: &str, name: &str, flags: &str) -> Entry {
        let text = format!("{state}\ninterpreter /{name}\nflags: {flags}\noffset 0\nmagic 7f454c46\n");
        Entry::parse(name, &text).unwrap()
    }

    fn check(table: &Table, expected: &Fault, text: &str) {
        let found = diagnose(table, b"\x7fELF\x02", |path| path.starts_with("/good"));
        assert_eq!(&found, expected, "{table:?}");
        assert!(found.to_string().contains(text), "{found}");
    }

    #[test]
    fn faults() {
        let entries = |rows: &[(&str, &str, &str)]| {
            Table::Entries(rows.iter().map(|(state, name, flags)| entry(state, name, flags)).collect())
        };
        let gone = || Fault::Gone { entry: "bad".into(), interpreter: "/bad".into() };
        let fails = |name: &str| Fault::Fails { entry: name.into(), interpreter: format!("/{name}").into() };
        let shadowed = || Fault::Shadowed { by: "bad".into(), good: "good".into() };
        check(&Table::NotMounted, &Fault::NotMounted, "not mounted; NixOS: `boot.binfmt");
        let status = "`echo 1 | sudo tee /proc/sys/fs/binfmt_misc/status`";
        check(&Table::SwitchedOff, &Fault::SwitchedOff, status);
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
}
