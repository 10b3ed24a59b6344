//! The interface for programs: what a command prints with `--json`.

use schemars::JsonSchema;
use serde::Serialize;

/// The result of a command: a struct whose fields are those of one JSON object. `docs/json.md` has the words for the
/// fields, and `docs/schema` the schema, which `commands/schema_tests.rs` makes.
pub trait JsonResult: Serialize + JsonSchema {}
