//! The folder of receipts.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};

use super::Receipt;
use crate::state;

/// Writes `receipt` to `NAME.json` in `folder`, which nobody else may read. It is there whole or not at all.
pub fn write(folder: &Path, name: &str, receipt: &Receipt) -> Result<()> {
    let doing = || format!("writing a receipt to {}", folder.display());
    state::private_folder(folder).with_context(doing)?;
    let text = serde_json::to_string_pretty(receipt).with_context(doing)? + "\n";
    // Two flashes may end in the same second. The name of the later one is the greater one.
    let names = (1..).map(|count| if count == 1 { name.to_owned() } else { format!("{name}_{count}") });
    for path in names.map(|name| folder.join(format!("{name}.json"))) {
        if state::write_new(&path, text.as_bytes()).with_context(doing)? {
            break;
        }
    }
    Ok(())
}

/// All receipts in `folder`, which need not be there. What is no receipt, or one of another version of this
/// tool, is passed over.
pub fn newest_first(folder: &Path) -> Result<Vec<Receipt>> {
    let doing = || format!("reading the receipts in {}", folder.display());
    let entries = match folder.read_dir() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(doing)?,
    };
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
    let mut paths = paths.with_context(doing)?;
    // Reading a pipe would wait for whoever writes to it.
    paths.retain(|path| path.extension().is_some_and(|end| end == "json") && path.is_file());
    paths.sort_unstable_by(|left, right| right.cmp(left));
    let texts = paths.iter().filter_map(|path| std::fs::read(path).ok());
    Ok(texts.filter_map(|text| serde_json::from_slice(&text).ok()).collect())
}
