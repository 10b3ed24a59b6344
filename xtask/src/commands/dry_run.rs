//! The result of `flash --dry-run` and `restore --dry-run`: the plan of a card that passed every check.

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::next_step;
use crate::base::{Bytes, Context};
use crate::card::flash::Plan;
use crate::identity::{Identity, KeyOrigin};
use crate::ui;

/// Prints that `plan` could be carried out; with `facts`, which the JSON has beside it.
pub fn show(cx: &Context, plan: &Plan, facts: &Map<String, Value>) -> Result<()> {
    next_step::after_dry_run();
    if cx.json {
        let mut result = plan_json(plan);
        if let Some(object) = result.as_object_mut() {
            object.extend(facts.clone());
        }
        return ui::print_json(&result);
    }
    let payload = plan.payload.as_ref().map(|payload| format!(" and {}", payload.content.summary()));
    ui::print_result(&format!(
        "dry run: {} would get the image{}: {}; nothing was written",
        plan.disk.path.display(),
        payload.unwrap_or_default(),
        Bytes(plan.image.size)
    ))
}

fn plan_json(plan: &Plan) -> Value {
    let Plan { image, disk, mode, payload, login_keys, unmount } = plan;
    let content = payload.as_ref().map(|payload| &payload.content);
    let entries = content.map(|content| content.entries.iter().map(|entry| &entry.path).collect::<Vec<_>>());
    json!({
        "dry_run": true, "device": disk.path, "disk": disk, "image": image.source.path, "bytes": image.size,
        "file_sha256": image.file_sha256, "mode": mode, "unmount": unmount,
        "identity": content.and_then(|content| content.identity.as_ref()).map(identity_json),
        "paths": entries.unwrap_or_default(), "login_keys": login_keys,
    })
}

/// An identity of a plan. A key that is not made yet has no fingerprint.
fn identity_json(identity: &Identity) -> Value {
    let mut json = json!(identity);
    if identity.origin == KeyOrigin::New {
        json["fingerprint"] = Value::Null;
    }
    json
}
