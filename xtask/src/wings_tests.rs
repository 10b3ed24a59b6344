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
    ("qemu", &["base", "boot", "card", "identity"]),
    ("receipt", &["base", "nix", "identity", "card", "deploy"]),
    ("ui", &["base"]),
    ("dev", &["base", "nix", "identity", "card", "setup", "qemu"]),
    ("cli", &["base", "boot", "card", "identity", "qemu", "dev"]),
    (
        "commands",
        &[
            "base", "boot", "nix", "identity", "card", "deploy", "setup", "qemu", "receipt", "ui", "cli",
            "dev",
        ],
    ),
];

/// The files outside of `dev` that may import it: the commands for developers, and their command lines.
const FOR_DEVELOPERS: &[&str] = &[
    "cli/dev.rs",
    "commands/bench.rs",
    "commands/demo.rs",
    "commands/record.rs",
    "commands/suite_parts.rs",
    "commands/test.rs",
];

/// Appends the paths of all Rust files below `folder` to `files`.
pub fn append_sources(folder: &Path, files: &mut Vec<PathBuf>) {
    append_files(folder, "rs", files);
}

/// The paths of all Rust files of the package, tests included.
pub fn own_sources() -> Vec<PathBuf> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    append_sources(&package.join("src"), &mut files);
    append_sources(&package.join("tests"), &mut files);
    files
}

/// Appends the paths of all files below `folder` whose names end in `.ending` to `files`.
pub fn append_files(folder: &Path, ending: &str, files: &mut Vec<PathBuf>) {
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            append_files(&path, ending, files);
        } else if path.extension().is_some_and(|it| it == ending) {
            files.push(path);
        }
    }
}

/// The wings that the source `text` names behind `crate::`, alone or in a group as in `use crate::{base, nix};`.
fn imported_wings(text: &str) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for path in text.split("crate::").skip(1) {
        if let Some(group) = path.strip_prefix('{') {
            names.extend(items(group).map(first_name));
        } else {
            names.insert(first_name(path));
        }
    }
    names.retain(|name| IMPORTS.iter().any(|(wing, _)| wing == name));
    names
}

/// The items of a group, whose text begins at `group` behind its brace. A group within it is a part of one item.
fn items(group: &str) -> impl Iterator<Item = &str> {
    let depth_change = |char| i32::from(char == '{') - i32::from(char == '}');
    let mut depth = 0;
    let end = group.find(|char| {
        depth += depth_change(char);
        depth < 0
    });
    let mut depth = 0;
    group[..end.unwrap_or(group.len())].split(move |char| {
        depth += depth_change(char);
        depth == 0 && char == ','
    })
}

/// The first name of a path such as `base::lock`.
fn first_name(path: &str) -> &str {
    let path = path.trim_start();
    let end = path.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(path.len());
    &path[..end]
}

/// The imports that the file `name`, whose source is `text`, must not have.
fn wrong_imports(name: &str, text: &str) -> Vec<String> {
    let Some((own_wing, allowed)) = IMPORTS.iter().find(|(wing, _)| name.starts_with(&format!("{wing}/")))
    else {
        return Vec::new();
    };
    let is_allowed = |wing: &str| match wing {
        _ if wing == *own_wing => true,
        "dev" => allowed.contains(&wing) && FOR_DEVELOPERS.contains(&name),
        _ => allowed.contains(&wing),
    };
    let wrong = imported_wings(text).into_iter().filter(|wing| !is_allowed(wing));
    wrong.map(|wing| format!("{name} imports {wing}")).collect()
}

#[test]
fn imports_run_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    append_sources(&root, &mut files);
    // There are many files: with fewer, the search has missed some.
    assert!(files.len() > 200, "{}", files.len());
    let wrong = files.iter().flat_map(|file| {
        let name = file.strip_prefix(&root).unwrap().to_str().unwrap();
        wrong_imports(name, &std::fs::read_to_string(file).unwrap())
    });
    assert_eq!(wrong.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn wrong_imports_are_found() {
    for (name, text, expected) in [
        ("base/lock.rs", "use crate::base::state;", &[][..]),
        ("base/lock.rs", "use crate::ui;", &["base/lock.rs imports ui"]),
        ("deploy/plan.rs", "let x = crate::ui::json(1);", &["deploy/plan.rs imports ui"]),
        ("deploy/plan.rs", "use crate::{base::Bytes, dev::bench};", &["deploy/plan.rs imports dev"]),
        ("deploy/plan.rs", "use crate::{base::{Bytes, lock}, ui};", &["deploy/plan.rs imports ui"]),
        ("commands/flash.rs", "use crate::dev::demo;", &["commands/flash.rs imports dev"]),
        ("commands/demo.rs", "use crate::dev::demo; use crate::ui;", &[]),
        ("lib.rs", "use crate::dev; use crate::ui;", &[]),
    ] {
        assert_eq!(wrong_imports(name, text), expected, "{name} {text}");
    }
}

/// The tests that SECURITY.md names: one such as `card::inspect::fat::tests::fuzz`, all of a module such as
/// `identity::access::tests::*`, or all whose names begin alike such as `nix::keys::a_lock_that_*`.
fn named_tests(text: &str) -> impl Iterator<Item = &str> {
    let spans = text.split('`').skip(1).step_by(2);
    spans.filter(|span| span.contains("::") && !span.ends_with("::") && !span.contains(' '))
}

#[test]
fn the_tests_that_security_md_names_exist() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = own_sources();
    let texts = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect::<String>();
    let security = std::fs::read_to_string(package.join("../SECURITY.md")).unwrap();
    let has_module = |module: &str| {
        let path = module.trim_end_matches("::tests").replace("::", "/");
        ["src", "tests"].iter().any(|root| {
            let path = package.join(root).join(&path);
            path.exists() || path.with_extension("rs").exists()
        })
    };
    let has_test = |name: &str| {
        let function = name.rsplit("::").next().unwrap();
        match function.strip_suffix('*') {
            Some(beginning) => texts.contains(&format!("fn {beginning}")),
            None => texts.contains(&format!("fn {function}(")),
        }
    };
    let exists = |name: &str| name.strip_suffix("::*").map_or_else(|| has_test(name), has_module);
    // The page names many tests: with fewer, the search has missed some.
    assert!(named_tests(&security).count() > 50);
    assert_eq!(named_tests(&security).filter(|name| !exists(name)).collect::<Vec<_>>(), [""; 0]);
}
