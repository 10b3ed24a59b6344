//! The name by which the user calls this program. Texts have the name `cargo xtask`, which serves in a checkout; `ui`
//! replaces it where the user calls another.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::shell;

/// The name of this program in its texts: an alias of cargo.
const ALIAS: &str = "cargo xtask";

/// The package of this program, which cargo names to the programs that it runs.
const PACKAGE: &str = env!("CARGO_PKG_NAME");

/// The name that the user calls, which runs this program again.
fn name() -> &'static str {
    static NAME: LazyLock<String> = LazyLock::new(|| {
        let called = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
        let is_of_cargo = std::env::var_os("CARGO_PKG_NAME").is_some_and(|name| name == PACKAGE);
        name_of(&called, is_of_cargo, std::env::var_os("PATH").as_deref())
    });
    &NAME
}

/// The name of the program that was called as `called`, quoted for a shell: the alias where cargo ran it
/// (`is_of_cargo`) or `called` names no file, the name of its file where `called` is only that or `path` leads to the
/// program, else `called` itself.
fn name_of(called: &Path, is_of_cargo: bool, path: Option<&OsStr>) -> String {
    let Some(file) = called.file_name() else { return ALIAS.to_owned() };
    if is_of_cargo && file == PACKAGE {
        return ALIAS.to_owned();
    }
    let is_bare = called.parent() == Some(Path::new(""));
    let found = path.map(std::env::split_paths).into_iter().flatten().map(|dir| dir.join(file));
    let first = found.into_iter().find(|program| program.is_file());
    let is_first = first.and_then(|first| first.canonicalize().ok()) == called.canonicalize().ok();
    let name = if is_bare || is_first { Path::new(file) } else { called };
    shell::quote(&name.to_string_lossy())
}

/// Whether the user calls the program as `cargo xtask`.
pub fn is_cargo_alias() -> bool {
    name() == ALIAS
}

/// `text` with the name that the user calls in place of `cargo xtask`.
pub fn as_called(text: String) -> String {
    if is_cargo_alias() { text } else { text.replace(ALIAS, name()) }
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
        let name = |called: &Path, is_of_cargo| name_of(called, is_of_cargo, Some(bin.as_os_str()));
        assert_eq!(name(&bin.join("xtask"), true), "cargo xtask");
        // A program that another cargo project runs has the variables of that project.
        assert_eq!(name(&bin.join("pi-tool"), true), "pi-tool");
        assert_eq!(name(&bin.join("xtask"), false), "xtask");
        assert_eq!(name(Path::new("xtask"), false), "xtask");
        let quoted = format!("'{}'", other.join("xtask").display());
        assert_eq!(name(&other.join("xtask"), false), quoted, "PATH leads to another xtask");
        assert_eq!(name(Path::new(""), false), "cargo xtask");
    }
}
