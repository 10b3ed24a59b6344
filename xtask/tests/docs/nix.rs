//! The Nix of the pages.

use crate::page;
use crate::support::Sandbox;

/// `text` as an expression: pages leave out the braces around definitions.
fn expression(text: &str) -> String {
    let is_whole = text.trim_start().starts_with('{');
    if is_whole { text.to_owned() } else { format!("{{\n{text}}}") }
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn all_nix_of_the_pages_can_be_parsed() {
    let sandbox = Sandbox::new();
    let blocks = page::blocks().into_iter().filter(|block| block.language == "nix").collect::<Vec<_>>();
    assert!(blocks.len() > 6, "{}", blocks.len());
    for block in blocks {
        let file = sandbox.path("block.nix");
        std::fs::write(&file, expression(&block.text)).unwrap();
        let script = format!("nix-instantiate --parse '{}' >/dev/null", file.display());
        let mut shell = sandbox.shell(&script);
        assert!(shell.status().unwrap().success(), "{}", block.place());
    }
}
