//! The name by which the user calls this program. Texts have the name `cargo xtask`, which serves in a checkout; `ui`
//! replaces it where the user calls another.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::repeated_options::{ALIAS, repeated};
use super::{redact, shell};

/// The package of this program, which cargo names to the programs that it runs.
const PACKAGE: &str = env!("CARGO_PKG_NAME");

/// The largest width of the help, in columns: longer lines are hard to read.
pub const HELP_WIDTH: usize = 100;

/// How the user calls this program.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Call {
    /// By the alias of cargo.
    Alias,
    /// By its file name, to which `PATH` leads, or by its path.
    File(PathBuf),
}

impl Call {
    /// The name by which a user runs the program again, quoted for a shell.
    fn name(&self) -> String {
        match self {
            Self::Alias => ALIAS.to_owned(),
            Self::File(file) => shell::quote(&file.to_string_lossy()),
        }
    }
}

/// How this process was called.
fn call() -> &'static Call {
    static CALL: LazyLock<Call> = LazyLock::new(|| {
        let called = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
        let is_of_cargo = std::env::var_os("CARGO_PKG_NAME").is_some_and(|name| name == PACKAGE);
        call_of(&called, is_of_cargo, std::env::var_os("PATH").as_deref())
    });
    &CALL
}

/// The name that the user calls, which runs this program again.
pub fn name() -> &'static str {
    static NAME: LazyLock<String> = LazyLock::new(|| call().name());
    &NAME
}

/// How a user runs the program again after calling it as `called`:
/// - by the alias, where cargo ran the program (`is_of_cargo`), or where `called` names no file,
/// - by the file name of `called`, where `called` has no folder, or where `path` leads to the program by that name,
/// - by `called` itself in all other cases.
fn call_of(called: &Path, is_of_cargo: bool, path: Option<&OsStr>) -> Call {
    let Some(file) = called.file_name() else { return Call::Alias };
    if is_of_cargo && file == PACKAGE {
        return Call::Alias;
    }
    let is_bare = called.parent() == Some(Path::new(""));
    let found = path.map(std::env::split_paths).into_iter().flatten().map(|dir| dir.join(file));
    let first = found.into_iter().find(|program| program.is_file());
    let first = first.and_then(|first| first.canonicalize().ok());
    let is_first = first.is_some() && first == called.canonicalize().ok();
    Call::File(if is_bare || is_first { file.into() } else { called.to_owned() })
}

/// The file of this program, by which a shell runs it from any folder. The alias of cargo leads to its file, too: a
/// shell that completes a word must not wait for a build.
pub fn file() -> std::io::Result<PathBuf> {
    match call() {
        Call::Alias => std::env::current_exe(),
        Call::File(file) if file.parent() == Some(Path::new("")) => Ok(file.clone()),
        Call::File(file) => std::path::absolute(file),
    }
}

/// The name of the program that the user calls, such as `xtask`; `None` for the alias of cargo.
pub fn file_name() -> Option<&'static str> {
    match call() {
        Call::Alias => None,
        Call::File(file) => file.file_name()?.to_str(),
    }
}

/// Whether the user calls the program as `cargo xtask`.
pub fn is_cargo_alias() -> bool {
    *call() == Call::Alias
}

/// `text` with the commands in it as the user would call them: by the name of the program, with the options that
/// [`repeat_in_texts`](super::repeated_options::repeat_in_texts) was given.
pub fn as_called(text: String) -> String {
    if text.contains(ALIAS) { repeated().spell(&text, name(), str::to_owned) } else { text }
}

/// The command line of this run, as texts name commands, without `option`.
pub fn command_line_without(option: &str) -> String {
    again(std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()), option)
}

/// The command line with these `words`, see [`command_line_without`].
fn again(words: impl Iterator<Item = String>, option: &str) -> String {
    let words = redact::arguments(words.filter(|word| word != option));
    ALIAS.to_owned() + &words.iter().map(|word| format!(" {}", shell::quote(word))).collect::<String>()
}

/// Like [`as_called`], for `text` that is serialized JSON.
pub fn as_called_in_json(text: String) -> String {
    if text.contains(ALIAS) { repeated().spell(&text, &escape_in_json(name()), escape_in_json) } else { text }
}

/// `text` as a part of a string in JSON.
fn escape_in_json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_runs_the_program_again() {
        let dir = tempfile::tempdir().unwrap();
        let [bin, other] = ["bin", "other folder"].map(|name| dir.path().join(name));
        for folder in [&bin, &other] {
            std::fs::create_dir(folder).unwrap();
            for file in ["xtask", "pi-tool"] {
                std::fs::write(folder.join(file), "").unwrap();
            }
        }
        let name = |called: &Path, is_of_cargo| call_of(called, is_of_cargo, Some(bin.as_os_str())).name();
        assert_eq!(name(&bin.join("xtask"), true), "cargo xtask");
        // A program that another cargo project runs has the variables of that project.
        assert_eq!(name(&bin.join("pi-tool"), true), "pi-tool");
        assert_eq!(name(&bin.join("xtask"), false), "xtask");
        assert_eq!(name(Path::new("xtask"), false), "xtask");
        let quoted = format!("'{}'", other.join("xtask").display());
        assert_eq!(name(&other.join("xtask"), false), quoted, "PATH leads to another xtask");
        assert_eq!(name(Path::new(""), false), "cargo xtask");
    }

    #[test]
    fn a_command_line_is_repeated_without_one_option() {
        for (words, expected) in [
            ("flash pi /dev/sdb --dry-run", "cargo xtask flash pi /dev/sdb"),
            (
                "--flake f deploy --dry-run pi --to a@b --boot",
                "cargo xtask --flake f deploy pi --to a@b --boot",
            ),
            ("deploy pi --dry-run -- --hostname a;b", "cargo xtask deploy pi -- --hostname 'a;b'"),
        ] {
            assert_eq!(again(words.split(' ').map(str::to_owned), "--dry-run"), expected);
        }
    }

    #[test]
    fn a_name_with_quotes_stays_a_string_in_json() {
        let text = format!("\"run {}\"", escape_in_json("a\"b\n"));
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), "run a\"b\n");
    }
}
