//! The JSON Schemas of the interface, `docs/schema`: made of the types, and compared with the files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::plan_facts::PlanFacts;
use super::{
    bench, boot, card, completions, demo, deploy_host, devices, doctor, flash_result, history, hosts,
    identity, log, new_host, overview, sd_image, setup, status, test, up,
};
use crate::base::JsonResult;
use crate::cli::Cli;
use crate::receipt::Stored;
use crate::ui::{EventLine, PrintedResult};

/// The environment variable that makes the test write the schemas instead of comparing them.
const BLESS: &str = "XTASK_BLESS";

/// The schemas of all results by their commands, with `-` for a space.
fn result_schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("bench-assemble", result::<bench::AssembleResult>()),
        ("bench-deploy", result::<bench::RowsResult>()),
        ("bench-flash", result::<bench::FlashCasesResult>()),
        ("bench-hosts", result::<bench::RowsResult>()),
        ("bench-trial", result::<bench::TrialCost>()),
        ("boot", result::<boot::BootResult>()),
        ("card-check", result::<card::CardCheckResult>()),
        ("card-inspect", result::<card::CardFacts>()),
        ("card-verify", result::<card::CardVerifyResult>()),
        ("completions", result::<completions::CompletionsResult>()),
        ("demo", result::<demo::DemoResult>()),
        ("deploy", result::<deploy_host::DeployResult>()),
        ("devices", result::<devices::DevicesResult>()),
        ("doctor", result::<doctor::DoctorResult>()),
        ("flash", result::<flash_result::FlashResult>()),
        ("history", result::<history::HistoryResult>()),
        ("hosts", result::<hosts::HostsResult>()),
        ("identity-backup", result::<identity::IdentityBackupResult>()),
        ("identity-import", result::<identity::IdentityFacts>()),
        ("identity-list", result::<identity::IdentityListResult>()),
        ("identity-make", result::<identity::IdentityFacts>()),
        ("identity-publish", result::<identity::IdentityPublishResult>()),
        ("identity-remove", result::<identity::IdentityRemoveResult>()),
        ("identity-rename", result::<identity::IdentityRenameResult>()),
        ("identity-restore", result::<identity::IdentityRestoreResult>()),
        ("identity-show", result::<identity::IdentityFacts>()),
        ("identity-trust", result::<identity::IdentityTrustResult>()),
        ("log", result::<log::LogResult>()),
        ("new-host", result::<new_host::NewHostResult>()),
        ("overview", result::<overview::OverviewResult>()),
        ("restore", result::<flash_result::RestoreResult>()),
        ("rollback", result::<deploy_host::DeployResult>()),
        ("sd-image", result::<sd_image::SdImageResult>()),
        ("setup", result::<setup::SetupResult>()),
        ("status", result::<status::StatusResult>()),
        ("test", result::<test::TestResult>()),
        ("up", result::<up::UpResult>()),
    ]
}

/// All schemas, by the names of their files.
fn schemas() -> BTreeMap<&'static str, Value> {
    let titled = result_schemas().into_iter().map(|(name, mut schema)| {
        schema["title"] = format!("The result of `cargo xtask {} --json`", name.replacen('-', " ", 1)).into();
        (name, schema)
    });
    let others = [("events", event_schema()), ("receipt", schema_of::<Stored>())];
    titled.chain(others).collect()
}

/// The schema of what is printed for the result `T`.
fn result<T: JsonResult>() -> Value {
    schema_of::<PrintedResult<T>>()
}

/// The schema of events. Those of plans have the facts of the commands, which the events themselves do not know.
fn event_schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let facts = generator.subschema_for::<PlanFacts>();
    let mut schema = generator.into_root_schema_for::<EventLine>().to_value();
    let mut events = schema["oneOf"].as_array_mut().unwrap().iter_mut();
    let plan = events.find(|event| event["properties"]["event"]["const"] == "plan").unwrap();
    plan["properties"]["plan"] = facts.to_value();
    schema
}

fn schema_of<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>().to_value()
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
    let described = result_schemas().into_iter().map(|(name, _)| name.to_owned()).collect::<BTreeSet<_>>();
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
