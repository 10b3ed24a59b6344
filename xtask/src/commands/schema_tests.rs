//! The JSON Schemas of the interface, `docs/schema`: made of the types, and compared with the files.
//!
//! The results of all commands share one file, as they share most of their types.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::plan_facts::PlanFacts;
use super::{
    bench, boot, build_plan, card, completions, demo, deploy_host, devices, doctor, flash_result, history,
    hosts, identity, log, new_host, overview, release, sd_image, setup, status, test, up,
};
use crate::base::JsonResult;
use crate::cli::Cli;
use crate::deploy::Content;
use crate::receipt::Stored;
use crate::ui::{EventLine, PrintedResult};

/// The environment variable that makes the test write the schemas instead of comparing them.
const BLESS: &str = "XTASK_BLESS";

/// The schemas of all results by their commands, with `-` for a space; what they refer to is left in `generator`.
fn result_schemas(generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
    let mut all = bench_schemas(generator);
    all.extend([
        ("boot", result::<boot::BootResult>(generator)),
        ("card-check", result::<card::CardCheckResult>(generator)),
        ("card-inspect", result::<card::CardFacts>(generator)),
        ("card-verify", result::<card::CardVerifyResult>(generator)),
        ("completions", result::<completions::CompletionsResult>(generator)),
        ("demo", result::<demo::DemoResult>(generator)),
        ("deploy", or_plan(generator, result::<deploy_host::DeployResult>)),
        ("devices", result::<devices::DevicesResult>(generator)),
        ("doctor", result::<doctor::DoctorResult>(generator)),
        ("flash", flash_result(generator)),
        ("history", result::<history::HistoryResult>(generator)),
        ("hosts", result::<hosts::HostsResult>(generator)),
        ("identity-backup", result::<identity::IdentityBackupResult>(generator)),
        ("identity-cache-key", result::<identity::IdentityCacheKeyResult>(generator)),
        ("identity-import", result::<identity::IdentityFacts>(generator)),
        ("identity-list", result::<identity::IdentityListResult>(generator)),
        ("identity-make", result::<identity::IdentityFacts>(generator)),
        ("identity-publish", result::<identity::IdentityPublishResult>(generator)),
        ("identity-remove", result::<identity::IdentityRemoveResult>(generator)),
        ("identity-rename", result::<identity::IdentityRenameResult>(generator)),
        ("identity-restore", result::<identity::IdentityRestoreResult>(generator)),
        ("identity-show", result::<identity::IdentityFacts>(generator)),
        ("identity-trust", result::<identity::IdentityTrustResult>(generator)),
        ("log", result::<log::LogResult>(generator)),
        ("new-host", result::<new_host::NewHostResult>(generator)),
        ("overview", result::<overview::OverviewResult>(generator)),
        ("release", result::<release::ReleaseResult>(generator)),
        ("restore", result::<flash_result::RestoreResult>(generator)),
        ("rollback", result::<deploy_host::DeployResult>(generator)),
        ("sd-image", or_plan(generator, sd_image_result)),
        ("setup", result::<setup::SetupResult>(generator)),
        ("status", result::<status::StatusResult>(generator)),
        ("test", result::<test::TestResult>(generator)),
        ("up", result::<up::UpResult>(generator)),
    ]);
    all
}

/// The schemas of the results of `bench`.
fn bench_schemas(generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
    vec![
        ("bench-assemble", result::<bench::AssembleResult>(generator)),
        ("bench-cards", result::<bench::RowsResult>(generator)),
        ("bench-deploy", result::<bench::RowsResult>(generator)),
        ("bench-edit", result::<bench::EditResult>(generator)),
        ("bench-evaluate", result::<bench::RowsResult>(generator)),
        ("bench-fleet", result::<bench::FleetResult>(generator)),
        ("bench-flash", result::<bench::FlashCasesResult>(generator)),
        ("bench-hosts", result::<bench::RowsResult>(generator)),
        ("bench-trial", result::<bench::TrialCost>(generator)),
    ]
}

/// All schemas, by the names of their files.
fn schemas() -> BTreeMap<&'static str, Value> {
    BTreeMap::from([
        ("events", event_schema()),
        ("receipt", receipt_schema()),
        ("release", release_schema()),
        ("results", results_schema()),
    ])
}

/// The schemas of all results as the definitions of one schema, beside the types that they use.
fn results_schema() -> Value {
    let mut generator = generator();
    let mut definitions = serde_json::Map::new();
    for (name, schema) in result_schemas(&mut generator) {
        definitions.insert(name.to_owned(), schema.to_value());
    }
    definitions.extend(generator.take_definitions(true));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The results of `cargo xtask COMMAND --json`, each as the definition with the name of its command",
        "$defs": definitions,
    })
}

/// The schema of what is printed for the result `T`.
fn result<T: JsonResult>(generator: &mut SchemaGenerator) -> Schema {
    PrintedResult::<T>::json_schema(generator)
}

/// The schema of a command whose result is that of `plain`, or with `--plan` the plan of a build.
fn or_plan(generator: &mut SchemaGenerator, plain: fn(&mut SchemaGenerator) -> Schema) -> Schema {
    let schemas = [plain(generator), result::<build_plan::BuildPlanResult>(generator)];
    json_schema!({ "anyOf": schemas })
}

/// The schema of the result of `sd-image`: of one image, or of several.
fn sd_image_result(generator: &mut SchemaGenerator) -> Schema {
    let one = result::<sd_image::SdImageResult>(generator);
    let several = result::<sd_image::SdImagesResult>(generator);
    json_schema!({ "anyOf": [one, several] })
}

/// The schema of the result of `flash`: of one card, or of several.
fn flash_result(generator: &mut SchemaGenerator) -> Schema {
    let one = result::<flash_result::FlashResult>(generator);
    let several = result::<flash_result::FlashCardsResult>(generator);
    json_schema!({ "anyOf": [one, several] })
}

/// The schema of events. Those of plans have the facts of the commands, which the events themselves do not know.
fn event_schema() -> Value {
    let mut generator = generator();
    let facts = generator.subschema_for::<PlanFacts>();
    let mut schema = generator.into_root_schema_for::<EventLine>().to_value();
    let mut events = schema["oneOf"].as_array_mut().unwrap().iter_mut();
    let plan = events.find(|event| event["properties"]["event"]["const"] == "plan").unwrap();
    plan["properties"]["plan"] = facts.to_value();
    schema
}

fn receipt_schema() -> Value {
    generator().into_root_schema_for::<Stored>().to_value()
}

fn release_schema() -> Value {
    generator().into_root_schema_for::<Content>().to_value()
}

fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().for_serialize().into_generator()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema")
}

#[test]
fn the_schemas_of_the_documents_are_those_of_the_types() {
    let made = schemas().into_iter().map(|(name, schema)| {
        (format!("{name}.json"), serde_json::to_string_pretty(&schema).unwrap() + "\n")
    });
    let made = made.collect::<BTreeMap<_, _>>();
    if std::env::var_os(BLESS).is_some() {
        std::fs::create_dir_all(folder()).unwrap();
        for (file, text) in &made {
            std::fs::write(folder().join(file), text).unwrap();
        }
    }
    let files = folder().read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names = made.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(files.collect::<BTreeSet<_>>(), names, "docs/schema");
    for (file, text) in made {
        let written = std::fs::read_to_string(folder().join(&file)).unwrap();
        assert!(
            written == text,
            "docs/schema/{file} is not that of the types: run `{BLESS}=1 cargo test -p xtask --lib -- schema_tests`"
        );
    }
}

#[test]
fn every_command_has_a_schema() {
    // `overview` is what the program shows without a command.
    let mut commands = BTreeSet::from(["overview".to_owned()]);
    for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = command.get_name();
        let parts = command.get_subcommands().map(|part| format!("{name}-{}", part.get_name()));
        let parts = parts.collect::<Vec<_>>();
        if parts.is_empty() {
            commands.insert(name.to_owned());
        }
        commands.extend(parts);
    }
    let described = result_schemas(&mut generator())
        .into_iter()
        .map(|(name, _)| name.to_owned())
        .collect::<BTreeSet<_>>();
    assert_eq!(commands, described);
}

/// What is unknown is null: a field that may be absent is one that programs have to ask for twice.
#[test]
fn no_field_is_ever_absent() {
    for (name, schema) in schemas() {
        visit(&schema, &mut |object| {
            let Some(fields) = object["properties"].as_object() else { return };
            let required = object["required"].as_array().cloned().unwrap_or_default();
            let absent = fields.keys().filter(|field| !required.contains(&field.as_str().into()));
            let absent = absent.collect::<Vec<_>>();
            let is_result = fields.contains_key("schema");
            assert!(absent.is_empty() || is_result && absent == ["error"], "{name}: {absent:?} in {object}");
        });
    }
}

/// Two types of one name are told apart by a digit, which tells readers nothing.
#[test]
fn each_definition_has_a_name_of_its_own() {
    for (name, schema) in schemas() {
        let definitions = schema["$defs"].as_object().unwrap();
        let numbered = definitions.keys().find(|name| name.ends_with(|c: char| c.is_ascii_digit()));
        assert_eq!(numbered, None, "{name}");
    }
}

/// Calls `check` with each object in `value`, and with `value` itself.
fn visit(value: &Value, check: &mut impl FnMut(&Value)) {
    match value {
        Value::Object(fields) => {
            check(value);
            for field in fields.values() {
                visit(field, check);
            }
        }
        Value::Array(items) => {
            for item in items {
                visit(item, check);
            }
        }
        _ => {}
    }
}
