//! Which wing may import which: imports run one way, nothing but commands prints, and no product code needs `dev`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Each wing with all wings that it may import beside itself.
const IMPORTS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("boot", &["base"]),
    ("nix", &["base"]),
    ("identity", &["base"]),
    ("card", &["base", "boot", "nix", "identity"]),
    ("deploy", &["base", "boot", "nix", "identity"]),
    ("setup", &["base", "nix", "identity"]),
    ("receipt", &["base", "nix", "identity", "card", "deploy"]),
    ("ui", &["base"]),
    ("dev", &["base", "nix", "identity", "card", "setup"]),
    ("cli", &["base", "card", "identity", "dev"]),
    ("commands", &["base", "nix", "identity", "card", "deploy", "setup", "receipt", "ui", "cli", "dev"]),
];

/// The files outside of `dev` that may import it: the commands for developers, and their command lines.
const FOR_DEVELOPERS: &[&str] = &[
    "cli/demo.rs",
    "cli/dev.rs",
    "commands/bench.rs",
    "commands/demo.rs",
    "commands/suite_parts.rs",
    "commands/test.rs",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The wings that `text` names behind `crate::`.
fn imported(text: &str) -> BTreeSet<&str> {
    let behind = text.split("crate::").skip(1);
    let grouped = |rest: &'_ str| rest.starts_with('{');
    let word = |rest: &str| rest.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(rest.len());
    let single = behind.clone().filter(|rest| !grouped(rest)).map(|rest| &rest[..word(rest)]);
    let group = behind.filter(|rest| grouped(rest)).flat_map(|rest| {
        let items = rest[1..].split('}').next().unwrap_or_default();
        items.split(',').map(|item| item.trim().split("::").next().unwrap_or_default())
    });
    single.chain(group).filter(|name| IMPORTS.iter().any(|(wing, _)| wing == name)).collect()
}

/// What is wrong in the file `name` with this `text`.
fn wrong_imports(name: &str, text: &str) -> Vec<String> {
    let Some((_, allowed)) = IMPORTS.iter().find(|(wing, _)| name.starts_with(&format!("{wing}/"))) else {
        return Vec::new();
    };
    let own = name.split('/').next().unwrap_or_default();
    let is_wrong = |wing: &&str| {
        let dev = *wing == "dev" && own != "dev" && !FOR_DEVELOPERS.contains(&name);
        *wing != own && (!allowed.contains(wing) || dev)
    };
    imported(text).into_iter().filter(is_wrong).map(|wing| format!("{name} imports {wing}")).collect()
}

#[test]
fn imports_run_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 200, "{}", files.len());
    let wrong = files.iter().flat_map(|file| {
        let name = file.strip_prefix(&root).unwrap().to_str().unwrap();
        wrong_imports(name, &std::fs::read_to_string(file).unwrap())
    });
    assert_eq!(wrong.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn what_is_found() {
    for (name, text, expected) in [
        ("base/lock.rs", "use crate::base::state;", &[][..]),
        ("base/lock.rs", "use crate::ui;", &["base/lock.rs imports ui"]),
        ("deploy/plan.rs", "let x = crate::ui::json(1);", &["deploy/plan.rs imports ui"]),
        ("deploy/plan.rs", "use crate::{base::Bytes, dev::bench};", &["deploy/plan.rs imports dev"]),
        ("commands/flash.rs", "use crate::dev::demo;", &["commands/flash.rs imports dev"]),
        ("commands/demo.rs", "use crate::dev::demo; use crate::ui;", &[]),
        ("lib.rs", "use crate::dev; use crate::ui;", &[]),
    ] {
        assert_eq!(wrong_imports(name, text), expected, "{name} {text}");
    }
}

/// The tests that SECURITY.md names, such as `card::inspect::fat::tests::fuzz`.
fn named_tests(text: &str) -> impl Iterator<Item = &str> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.contains("::") && !name.ends_with("::") && !name.contains(' '))
}

#[test]
fn the_tests_that_security_md_names_exist() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&package.join("src"), &mut files);
    sources(&package.join("tests"), &mut files);
    let texts = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect::<String>();
    let security = std::fs::read_to_string(package.join("../SECURITY.md")).unwrap();
    let is_module = |module: &str| {
        let path = module.trim_end_matches("::tests").replace("::", "/");
        ["src", "tests"].iter().any(|root| {
            let path = package.join(root).join(&path);
            path.exists() || path.with_extension("rs").exists()
        })
    };
    let is_test = |name: &str| {
        let test = name.rsplit("::").next().unwrap();
        let end = if test.ends_with('*') { "" } else { "(" };
        texts.contains(&format!("fn {}{end}", test.trim_end_matches('*')))
    };
    let exists = |name: &str| name.strip_suffix("::*").map_or_else(|| is_test(name), is_module);
    assert!(named_tests(&security).count() > 50);
    assert_eq!(named_tests(&security).filter(|name| !exists(name)).collect::<Vec<_>>(), [""; 0]);
}
