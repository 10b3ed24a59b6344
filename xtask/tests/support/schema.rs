//! Real output of the tool against the JSON Schemas of docs/schema.

use std::fs;
use std::path::Path;

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
    assert_valid(&command_of(args), &result);
    let validator = validator(&schema("events"));
    let mut begun = Vec::new();
    for line in outcome.stderr.lines() {
        let event = serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("no event: {line}"));
        assert!(validator.is_valid(&event), "no event by docs/schema/events.json: {line}");
        pair(&mut begun, &event);
    }
    assert!(begun.is_empty(), "{begun:?} did not end: {}", context());
}

/// Keeps in `begun` what has begun and has not ended, with `event`.
#[track_caller]
fn pair(begun: &mut Vec<Value>, event: &Value) {
    let kind = event["event"].as_str().expect("the name of an event");
    let pairs = [("phase", "phase_ended"), ("child_started", "child_ended"), ("task_started", "task_ended")];
    let Some((begin, _)) = pairs.iter().find(|(begin, end)| [begin, end].contains(&&kind)) else { return };
    let key = match *begin {
        "child_started" => serde_json::json!([begin, event["child"]]),
        "task_started" => serde_json::json!([begin, event["host"], event["device"], event["task"]]),
        _ => serde_json::json!([begin, event["host"], event["device"], event["name"]]),
    };
    if kind == *begin {
        return begun.push(key);
    }
    let at = begun.iter().rposition(|open| *open == key);
    begun.remove(at.unwrap_or_else(|| panic!("{event} ends what did not begin; open: {begun:?}")));
}

/// The command in `args` by its name in the schema: `card-verify`. Without a command the tool shows the overview.
fn command_of(args: &[String]) -> String {
    let mut words = args.iter();
    let mut plain = Vec::new();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--flake" => drop(words.next()),
            option if option.starts_with('-') => {}
            _ => plain.push(word.as_str()),
        }
    }
    let Some((command, rest)) = plain.split_first() else { return "overview".to_owned() };
    let commands = &schema("results")["$defs"];
    let parts = rest.iter().map(|part| format!("{command}-{part}"));
    let mut names = std::iter::once((*command).to_owned()).chain(parts);
    names.find(|name| commands.get(name).is_some()).unwrap_or_else(|| "overview".to_owned())
}

#[track_caller]
fn assert_valid(command: &str, result: &Value) {
    let mut schema = schema("results");
    schema["$ref"] = format!("#/$defs/{command}").into();
    let errors =
        validator(&schema).iter_errors(result).map(|error| format!("\n  {error:?}")).collect::<String>();
    assert!(errors.is_empty(), "{result:#} is not by the schema of {command}:{errors}");
}

fn validator(schema: &Value) -> jsonschema::Validator {
    jsonschema::validator_for(schema).expect("a schema")
}

/// The schema in the file `name` of docs/schema.
fn schema(name: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema").join(format!("{name}.json"));
    serde_json::from_str(&fs::read_to_string(file).expect("reading a schema")).expect("a schema")
}
