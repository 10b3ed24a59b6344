//! The name by which the user calls this program. Texts have the name `cargo xtask`, which serves in a checkout; `ui`
//! replaces it where the user calls another.

use std::path::Path;
use std::sync::LazyLock;

/// The name of this program in its texts: an alias of cargo.
const ALIAS: &str = "cargo xtask";

/// The name that the user calls: the alias where cargo runs the program, else the name of its file.
fn name() -> &'static str {
    static NAME: LazyLock<String> = LazyLock::new(|| {
        let is_run_by_cargo = std::env::var_os("CARGO_MANIFEST_DIR").is_some();
        let file = std::env::args_os().next().and_then(|path| Some(Path::new(&path).file_name()?.to_owned()));
        match file {
            Some(file) if !is_run_by_cargo => file.to_string_lossy().into_owned(),
            _ => ALIAS.to_owned(),
        }
    });
    &NAME
}

/// Whether the user calls the program as `cargo xtask`.
pub fn is_cargo_alias() -> bool {
    name() == ALIAS
}

/// `text` with the name that the user calls in place of `cargo xtask`.
pub fn as_called(text: String) -> String {
    if is_cargo_alias() { text } else { text.replace(ALIAS, name()) }
}
