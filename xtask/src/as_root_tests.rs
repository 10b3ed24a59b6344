//! Where the tests that need root are: in modules that `test` leaves out for an ordinary user.

use std::path::Path;

use crate::wings_tests::own_sources;

/// What only root may call, or what a test that needs root says. The suites in `OF_ROOT_ALONE` run as root alone.
const OF_ROOT: &[&str] = &["chown(", "fchown(", "lchown(", "setuid(", "ignore = \"needs root"];
const OF_ROOT_ALONE: &[&str] = &["deploy", "device", "docs"];

/// The names of the modules around the line `index` of `lines`, which rustfmt has formatted.
fn modules_around<'a>(lines: &[&'a str], index: usize) -> Vec<&'a str> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut outer = indent(lines[index]);
    let mut modules = Vec::new();
    for line in lines[..index].iter().rev().filter(|line| !line.is_empty()) {
        if indent(line) < outer {
            outer = indent(line);
            let words = line.trim().trim_start_matches("pub ").strip_prefix("mod ");
            modules.extend(words.and_then(|words| words.strip_suffix(" {")));
        }
    }
    modules
}

/// The numbers of the lines of tests in `text` that need root outside of a module `as_root`: an ordinary user, for whom
/// `test` leaves these modules out, would see them fail.
fn lines_of_root(text: &str, is_test_file: bool) -> Vec<usize> {
    let lines = text.lines().collect::<Vec<_>>();
    let is_of_root = |index: &usize| {
        let line = lines[*index];
        let is_code = !line.trim_start().starts_with("//");
        let around = modules_around(&lines, *index);
        let is_test = is_test_file || around.iter().any(|name| name.ends_with("tests"));
        let says_root = OF_ROOT.iter().any(|call| line.contains(call));
        is_code && says_root && is_test && !around.contains(&"as_root")
    };
    (0..lines.len()).filter(is_of_root).map(|index| index + 1).collect()
}

#[test]
fn tests_that_need_root_are_in_modules_of_that_name() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for file in own_sources() {
        let name = file.strip_prefix(package).unwrap();
        let is_of_root = OF_ROOT_ALONE.iter().any(|suite| name.starts_with(Path::new("tests").join(suite)));
        let is_for_root = is_of_root || name.starts_with("src/dev") || name.ends_with("as_root_tests.rs");
        if !is_for_root {
            let is_test_file = name.starts_with("tests") || name.to_string_lossy().ends_with("tests.rs");
            let text = std::fs::read_to_string(&file).unwrap();
            let lines = lines_of_root(&text, is_test_file);
            found.extend(lines.into_iter().map(|line| format!("{}:{line}", name.display())));
        }
    }
    assert_eq!(found, [""; 0], "a test that needs root is in a module `as_root`");
}

#[test]
fn what_needs_root_is_found_outside_of_its_module() {
    let text = "use std::os::unix::fs::chown;\nfn a() {\n    chown(b);\n}\n\nmod tests {\n    fn c() {\n        if d {\n            \
                lchown(e);\n        }\n    }\n\n    mod as_root {\n        fn f() {\n            chown(g);\n        }\n    \
                }\n}\n";
    assert_eq!((lines_of_root(text, false), lines_of_root(text, true)), (vec![9], vec![3, 9]));
}
