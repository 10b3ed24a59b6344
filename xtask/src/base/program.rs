//! How the user calls this program. Texts call it `cargo xtask`, as it is called in a checkout.

use std::path::Path;
use std::sync::LazyLock;

/// The name in the texts of this program.
const ALIAS: &str = "cargo xtask";

/// The name that the user calls: the alias where cargo runs the program, else that of its file.
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

/// Whether the user calls the program by the name that texts have.
pub fn is_cargo_alias() -> bool {
    name() == ALIAS
}

/// `text` with the name that the user calls.
pub fn as_called(text: String) -> String {
    if is_cargo_alias() { text } else { text.replace(ALIAS, name()) }
}
