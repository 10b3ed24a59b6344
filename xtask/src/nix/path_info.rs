//! `nix path-info`: closures and their sizes.

use anyhow::{Context, Result};
use serde_json::Value;

use super::store_path::StorePath;
use super::{FEATURES, error};
use crate::base::process::Launcher;

/// The closure of `path`: all store paths that it refers to and itself, with their sizes in bytes.
pub fn closure(launcher: &Launcher, path: &StorePath) -> Result<Vec<(StorePath, u64)>> {
    let args = [&FEATURES[..], &["path-info", "--json", "--recursive", path.as_str()]].concat();
    let output = launcher.capture("nix", &args)?;
    if !output.success() {
        return Err(error::evaluation_failed(&output.stderr, path, None));
    }
    let json = serde_json::from_str(&output.stdout).ok();
    json.as_ref().and_then(parse).with_context(|| format!("reading the closure of {path}"))
}

/// Whether another store may take `path` without trust in this one: the path has a signature, or is named by its
/// content.
pub fn is_signed(launcher: &Launcher, path: &StorePath) -> Result<bool> {
    let args = [&FEATURES[..], &["path-info", "--json", path.as_str()]].concat();
    let output = launcher.capture("nix", &args)?;
    if !output.success() {
        return Err(error::evaluation_failed(&output.stderr, path, None));
    }
    let json: Value =
        serde_json::from_str(&output.stdout).with_context(|| format!("reading the signatures of {path}"))?;
    Ok(infos(&json).all(has_signature))
}

/// The information on each path, in any of the three formats of [`parse`].
fn infos(value: &Value) -> impl Iterator<Item = &Value> {
    let list = value.as_array().into_iter().flatten();
    let object = value.get("info").unwrap_or(value).as_object().into_iter().flat_map(|paths| paths.values());
    list.chain(object)
}

fn has_signature(info: &Value) -> bool {
    let signatures = info["signatures"].as_array();
    signatures.is_some_and(|found| !found.is_empty()) || !info["ca"].is_null() && info["ca"] != ""
}

/// Reads the store paths and their sizes from any of the three formats: a list (to 2.18), an object by path, and an
/// object by name in the store, below `info` (from 2.33).
pub fn parse(value: &Value) -> Option<Vec<(StorePath, u64)>> {
    if let Some(list) = value.as_array() {
        return list.iter().map(|info| entry(info["path"].as_str()?, info)).collect();
    }
    let object = value.get("info").unwrap_or(value).as_object()?;
    object.iter().map(|(path, info)| entry(path, info)).collect()
}

fn entry(path: &str, info: &Value) -> Option<(StorePath, u64)> {
    let full = if path.starts_with('/') { path.to_owned() } else { format!("/nix/store/{path}") };
    Some((StorePath::containing(&full)?, info["narSize"].as_u64()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<Vec<(StorePath, u64)>> {
        parse(&serde_json::from_str(json).ok()?)
    }

    #[test]
    fn signatures_in_the_three_formats() {
        let path = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-a-1";
        for (info, expected) in [
            (r#"{"narSize":7,"signatures":["cache.nixos.org-1:x"]}"#, true),
            (r#"{"narSize":7,"ca":"fixed:r:sha256:x","signatures":[]}"#, true),
            (r#"{"narSize":7,"ca":null,"signatures":[],"ultimate":true}"#, false),
            (r#"{"narSize":7,"ultimate":true}"#, false),
        ] {
            for json in [
                format!("[{info}]"),
                format!("{{\"{path}\":{info}}}"),
                format!("{{\"info\":{{\"a\":{info}}}}}"),
            ] {
                let value = serde_json::from_str::<Value>(&json).unwrap();
                assert_eq!(infos(&value).map(has_signature).collect::<Vec<_>>(), [expected], "{json}");
            }
        }
    }

    #[test]
    fn the_three_formats() {
        let name = "0123456789abcdfghijklmnpqrsvwxyz-a-1";
        let path = format!("/nix/store/{name}");
        for json in [
            format!(r#"[{{"path":"{path}","narSize":7,"valid":true}}]"#),
            format!(r#"{{"{path}":{{"narSize":7}}}}"#),
            format!(r#"{{"info":{{"{name}":{{"narSize":7}}}},"version":2}}"#),
        ] {
            assert_eq!(read(&json), Some(vec![(StorePath::containing(&path).unwrap(), 7)]), "{json}");
        }
        for json in ["", "7", r#"{"/nix/store/x":{"narSize":1}}"#, &format!(r#"{{"{path}":null}}"#)] {
            assert_eq!(read(json), None, "{json}");
        }
    }

    #[test]
    fn fuzz() {
        let name = "0123456789abcdfghijklmnpqrsvwxyz-a-1";
        let path = format!("/nix/store/{name}");
        let samples = [
            format!(r#"[{{"path":"{path}","narSize":7,"valid":true}}]"#),
            format!(r#"{{"{path}":{{"narSize":7}}}}"#),
            format!(r#"{{"info":{{"{name}":{{"narSize":7}}}},"version":2}}"#),
        ];
        crate::base::fuzz::check_text(&samples.each_ref().map(String::as_str), read);
    }
}
