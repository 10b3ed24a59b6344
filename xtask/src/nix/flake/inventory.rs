//! Reads package names from the two JSON formats of `nix flake show --json`.

use std::collections::BTreeMap;

use serde_json::Value;

/// Package names by system.
pub type Packages = BTreeMap<String, Vec<String>>;

/// The package names in `show`, or `None` if it leaves names out.
pub fn packages(show: &Value) -> Option<Packages> {
    if show["version"].as_u64() == Some(2) { packages_v2(show) } else { packages_v1(show) }
}

/// Version 1: `{"packages":{"aarch64-linux":{"stinky-sdImage":{}}}}`. It lists the names for foreign systems too.
fn packages_v1(show: &Value) -> Option<Packages> {
    let systems = show["packages"].as_object()?;
    Some(systems.iter().map(|(system, names)| (system.clone(), keys(names))).collect())
}

/// Version 2 (Determinate Nix): it lists no names for a system that was filtered out.
fn packages_v2(show: &Value) -> Option<Packages> {
    let systems = show["inventory"]["packages"]["output"]["children"].as_object()?;
    let named = |(system, node): (&String, &Value)| {
        let names = node["children"].as_object()?;
        Some((system.clone(), names.keys().cloned().collect()))
    };
    systems.iter().map(named).collect()
}

/// The result of `mapAttrs (_: attrNames)`: `{"aarch64-linux":["stinky-sdImage"]}`.
pub fn packages_from_names(names: &Value) -> Packages {
    let systems = names.as_object().into_iter().flatten();
    systems.map(|(system, list)| (system.clone(), strings(list))).collect()
}

pub fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn keys(object: &Value) -> Vec<String> {
    object.as_object().into_iter().flat_map(|object| object.keys().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_versions() {
        let v1 = json!({"packages": {"aarch64-linux": {"stinky-sdImage": {}}, "x86_64-linux": {"hello": {"type": "derivation"}}}});
        let expected =
            packages_from_names(&json!({"aarch64-linux": ["stinky-sdImage"], "x86_64-linux": ["hello"]}));
        assert_eq!(packages(&v1), Some(expected.clone()));
        let children =
            |list: Value| json!({"version": 2, "inventory": {"packages": {"output": {"children": list}}}});
        let whole = json!({"aarch64-linux": {"children": {"stinky-sdImage": {}}}, "x86_64-linux": {"children": {"hello": {}}}});
        assert_eq!(packages(&children(whole)), Some(expected));
        let filtered = json!({"aarch64-linux": {"filtered": true}, "x86_64-linux": {"children": {}}});
        assert_eq!(packages(&children(filtered)), None);
        assert_eq!(packages(&json!({})), None);
    }

    #[test]
    fn fuzz() {
        let v1 = r#"{"packages":{"aarch64-linux":{"stinky-sdImage":{}},"x86_64-linux":{"hello":{"type":"derivation"}}}}"#;
        let v2 = r#"{"version":2,"inventory":{"packages":{"output":{"children":{"aarch64-linux":{"children":{"stinky-sdImage":{}}}}}}}}"#;
        let names = r#"{"aarch64-linux":["stinky-sdImage"],"x86_64-linux":["hello"]}"#;
        crate::base::fuzz::check_text(&[v1, v2, names], |text| {
            let value = serde_json::from_str::<Value>(text).unwrap_or_default();
            (packages(&value), packages_from_names(&value), strings(&value))
        });
    }
}
