//! The name by which the user calls this program. Texts have the name `cargo xtask`, which serves in a checkout; `ui`
//! replaces it where the user calls another. Commands in texts get the options that the user gave to name a flake and
//! an address: without them, such a command would work on another flake or host.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, OnceLock};

use super::{Address, escape, shell};

/// The name of this program in its texts: an alias of cargo.
const ALIAS: &str = "cargo xtask";

/// The package of this program, which cargo names to the programs that it runs.
const PACKAGE: &str = env!("CARGO_PKG_NAME");

/// The commands that work on a flake, as texts name them.
pub const FLAKE_COMMANDS: &[&str] = &[
    "new-host", "up", "sd-image", "flash", "boot", "restore", "deploy", "rollback", "release", "status",
    "history", "log", "hosts", "card", "identity",
];

/// The commands that connect to a host, as texts name them.
pub const HOST_COMMANDS: &[&str] = &["up", "deploy", "rollback", "status"];

/// The subcommands that connect to a host, with their command.
const HOST_SUBCOMMANDS: &[&str] = &["identity trust"];

/// The options of this command line that commands in texts repeat.
static OPTIONS: OnceLock<CommandOptions> = OnceLock::new();

/// Options that commands in texts repeat, each with a space before it, or empty.
#[derive(Debug)]
struct CommandOptions {
    flake: String,
    address: String,
}

/// The options of a command line that names neither a flake nor an address.
static NO_OPTIONS: CommandOptions = CommandOptions { flake: String::new(), address: String::new() };

impl CommandOptions {
    /// The options for the `flake` and the `address` that the user names. The flake `.` is found without an option.
    fn new(flake: Option<&str>, address: Option<&Address>) -> Self {
        let option = |name: &str, value: &str| format!(" {name} {}", escape::line(&shell::quote(value)));
        let flake = flake.filter(|flake| *flake != ".");
        Self {
            flake: flake.map(|flake| option("--flake", flake)).unwrap_or_default(),
            address: address.map(|address| option("--to", &address.to_string())).unwrap_or_default(),
        }
    }

    /// `text` with the options in each of its commands that takes them, and with `name` in place of `cargo xtask`.
    fn spell(&self, text: &str, name: &str) -> String {
        let mut parts = text.split(ALIAS);
        let mut shown = parts.next().unwrap_or_default().to_owned();
        for rest in parts {
            let is_end = |c: char| !c.is_ascii_lowercase() && c != '-';
            let command =
                rest.strip_prefix(' ').and_then(|words| words.split(is_end).next()).unwrap_or_default();
            shown += name;
            if FLAKE_COMMANDS.contains(&command) {
                shown += &self.flake;
            }
            match Self::connecting_command(rest, command) {
                Some(command) => shown.extend([" ", command, &self.address, &rest[command.len() + 1..]]),
                None => shown += rest,
            }
        }
        shown
    }

    /// The words of the command that connects to a host, at the beginning of `rest` behind a space; `None` where
    /// `command` does not connect.
    fn connecting_command<'a>(rest: &'a str, command: &'a str) -> Option<&'a str> {
        let has_words = |words: &&&str| rest.strip_prefix(' ').is_some_and(|text| text.starts_with(**words));
        let subcommand = HOST_SUBCOMMANDS.iter().find(has_words).copied();
        subcommand.or_else(|| HOST_COMMANDS.contains(&command).then_some(command))
    }
}

/// Makes commands in texts repeat the `flake` and the `address` that the user names on this command line. The first
/// call counts.
pub fn repeat_in_texts(flake: Option<&str>, address: Option<&Address>) {
    let _ = OPTIONS.set(CommandOptions::new(flake, address));
}

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

/// `text` with the commands in it as the user would call them: by the name of the program, with the options of
/// [`repeat_in_texts`].
pub fn as_called(text: String) -> String {
    if !text.contains(ALIAS) {
        return text;
    }
    OPTIONS.get().unwrap_or(&NO_OPTIONS).spell(&text, name())
}

/// The command line of this run, as texts name commands, without `option` and without the options that texts repeat.
pub fn command_line_without(option: &str) -> String {
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    again(words, option)
}

/// The command line with these `words`, see [`command_line_without`].
fn again(words: impl Iterator<Item = String>, option: &str) -> String {
    let mut command = ALIAS.to_owned();
    let mut words = words;
    // Cards are no address.
    let mut names_cards = false;
    while let Some(word) = words.next() {
        names_cards |= word == "flash";
        let is_address = !names_cards && (word == "--to" || word.starts_with("--to="));
        if word == "--flake" || is_address && word == "--to" {
            words.next();
        } else if word != option && !word.starts_with("--flake=") && !is_address {
            command.extend([" ", &shell::quote(&word)]);
        }
    }
    command
}

/// Like [`as_called`], for `text` that is serialized JSON.
pub fn as_called_in_json(text: String) -> String {
    if !text.contains(ALIAS) {
        return text;
    }
    let options = OPTIONS.get().unwrap_or(&NO_OPTIONS);
    let escaped =
        CommandOptions { flake: escape_in_json(&options.flake), address: escape_in_json(&options.address) };
    escaped.spell(&text, &escape_in_json(name()))
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
    fn commands_in_texts_repeat_the_flake_and_the_address() {
        let address = "root@10.0.0.5".parse::<Address>().unwrap();
        let both = CommandOptions::new(Some("my flake"), Some(&address));
        for (text, expected) in [
            ("run `cargo xtask deploy pi`", "run `x --flake 'my flake' deploy --to root@10.0.0.5 pi`"),
            ("`cargo xtask status`", "`x --flake 'my flake' status --to root@10.0.0.5`"),
            ("`cargo xtask hosts` lists the hosts", "`x --flake 'my flake' hosts` lists the hosts"),
            (
                "`cargo xtask identity trust pi`",
                "`x --flake 'my flake' identity trust --to root@10.0.0.5 pi`",
            ),
            ("`cargo xtask identity list`", "`x --flake 'my flake' identity list`"),
            ("cargo xtask sd-image HOST", "x --flake 'my flake' sd-image HOST"),
            ("`cargo xtask setup`, or `cargo xtask`", "`x setup`, or `x`"),
            ("cargo xtask deployment", "x deployment"),
            ("no command", "no command"),
        ] {
            assert_eq!(both.spell(text, "x"), expected);
        }
        for options in [CommandOptions::new(None, None), CommandOptions::new(Some("."), None)] {
            assert_eq!(options.spell("`cargo xtask deploy pi`", ALIAS), "`cargo xtask deploy pi`");
        }
    }

    #[test]
    fn a_command_line_is_repeated_without_one_option() {
        for (words, expected) in [
            ("flash pi /dev/sdb --dry-run", "cargo xtask flash pi /dev/sdb"),
            ("--flake f deploy --dry-run pi --to a@b --boot", "cargo xtask deploy pi --boot"),
            ("--flake f flash --to /dev/b=a --dry-run", "cargo xtask flash --to /dev/b=a"),
            ("--json deploy --flake=f --dry-run a b", "cargo xtask --json deploy a b"),
        ] {
            assert_eq!(again(words.split(' ').map(str::to_owned), "--dry-run"), expected);
        }
    }

    #[test]
    fn a_flake_with_quotes_stays_a_string_in_json() {
        let options = CommandOptions::new(Some("a\"b\n"), None);
        let text = format!("\"run{}\"", escape_in_json(&options.flake));
        let read = serde_json::from_str::<String>(&text).unwrap();
        assert_eq!(read, r#"run --flake 'a"b\u{a}'"#);
    }
}
