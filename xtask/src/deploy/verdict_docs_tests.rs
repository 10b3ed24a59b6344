//! Whether docs/deploying.md lists every verdict.

use std::path::Path;

use clap::ValueEnum;

use super::verdict::Verdict;
use crate::base::failure::ExitKind;

#[test]
fn the_page_lists_every_verdict_with_its_exit_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/deploying.md");
    let page = std::fs::read_to_string(path).unwrap();
    for verdict in Verdict::value_variants() {
        let name = serde_json::to_value(verdict).unwrap();
        let code = verdict.failure().map_or(0, ExitKind::code);
        let row = format!("\n| `{}` | {code} | ", name.as_str().unwrap());
        assert!(page.contains(&row), "{row}");
    }
}
