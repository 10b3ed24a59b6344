//! Whether docs/deploying.md lists every verdict.

use std::path::Path;

use clap::ValueEnum;

use super::summary::{FAILED, NOT_REACHED, PLANNED};
use super::verdict::Verdict;
use crate::base::failure::ExitKind;

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/deploying.md");
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_page_lists_every_verdict_with_its_exit_code() {
    let page = page();
    for verdict in Verdict::value_variants() {
        let name = serde_json::to_value(verdict).unwrap();
        let code = verdict.failure().map_or(0, ExitKind::code);
        let row = format!("\n| `{}` | {code} | ", name.as_str().unwrap());
        assert!(page.contains(&row), "{row}");
    }
}

/// The words of the table of several hosts.
#[test]
fn the_page_lists_the_words_for_hosts_without_a_verdict() {
    let page = page();
    let begin = page.find("| in the table | meaning |").expect("the table of the words");
    let table = page[begin..].split("\n\n").next().unwrap();
    let labels = ExitKind::all().iter().filter_map(|kind| kind.host_label());
    let others = [PLANNED, NOT_REACHED, FAILED, "another host key", "key not known"];
    for word in labels.chain(others) {
        assert!(table.contains(&format!("`{word}`")), "{word}");
    }
}
