//! Real output of the tool against the JSON Schemas of docs/schema.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Outcome;

/// Asserts that a run with the arguments `args`, if they have `--json`, has printed one result by the schema of its
/// command, and events by that of events.
#[track_caller]
pub fn assert_output(args: &[String], outcome: &Outcome) {
    let options = || args.iter().take_while(|word| *word != "--");
    // A run that a signal has ended prints no result; help and the version are texts.
    let is_text =
        || options().any(|word| ["--help", "-h", "--version", "-V", "help"].contains(&word.as_str()));
    if !options().any(|word| word == "--json") || outcome.code < 0 || is_text() {
        return;
    }
    let context = || format!("{args:?}: {outcome:?}");
    let result = serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("no result: {}", context()));
    // Without a command, the tool shows the overview.
    let schema = schema_of(args).unwrap_or_else(|| folder().join("overview.json"));
    assert_valid(&schema, &result);
    let events = outcome.stderr.lines().filter(|line| line.starts_with('{'));
    let validator = validator(&folder().join("events.json"));
    for line in events {
        let event = serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("no event: {line}"));
        assert!(validator.is_valid(&event), "no event by docs/schema/events.json: {line}");
    }
}

/// The schema of the command in `args`; `None` where there is none.
fn schema_of(args: &[String]) -> Option<PathBuf> {
    let mut words = args.iter();
    let mut plain = Vec::new();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--flake" => drop(words.next()),
            option if option.starts_with('-') => {}
            _ => plain.push(word.as_str()),
        }
    }
    let (command, rest) = plain.split_first()?;
    let parts = rest.iter().map(|part| format!("{command}-{part}"));
    let mut names = std::iter::once((*command).to_owned()).chain(parts).filter(|name| !name.contains('/'));
    names.find_map(|name| Some(folder().join(format!("{name}.json"))).filter(|file| file.exists()))
}

#[track_caller]
fn assert_valid(schema: &Path, result: &Value) {
    let validator = validator(schema);
    let errors = validator.iter_errors(result).map(|error| format!("\n  {error:?}")).collect::<String>();
    assert!(errors.is_empty(), "{result:#} is not by {}:{errors}", schema.display());
}

fn validator(schema: &Path) -> jsonschema::Validator {
    let text = fs::read_to_string(schema).expect("reading a schema");
    jsonschema::validator_for(&serde_json::from_str(&text).expect("a schema")).expect("a schema")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema")
}
