//! `nix path-info`: closures with their sizes, and signatures.

use std::collections::HashSet;

use anyhow::{Context, Result};
use serde_json::Value;

use super::installable::Installable;
use super::programs::Programs;
use super::store_path::StorePath;
use super::{FEATURES, error};
use crate::base::process::Launcher;

/// The closure of `path`: all store paths that `path` refers to and `path` itself, with their sizes in bytes.
pub fn closure(launcher: &Launcher, path: &StorePath) -> Result<Vec<(StorePath, u64)>> {
    let json = read(launcher, path, &["--recursive"])?;
    parse(&json).with_context(|| format!("reading the closure of {path}"))
}

/// The store paths of all derivations that `installable` needs, and its own.
pub fn needed_derivations(launcher: &Launcher, installable: &Installable) -> Result<HashSet<String>> {
    let options = ["path-info", "--json", "--derivation", "--recursive", installable.as_str()];
    let json = launcher.read("nix", &[&FEATURES[..], &options].concat())?;
    let infos = serde_json::from_str(&json).ok().and_then(|json| parse(&json));
    let infos = infos.with_context(|| format!("reading what {installable} needs"))?;
    Ok(infos.into_iter().map(|(path, _size)| path.to_string()).collect())
}

/// Whether another store may accept `path` without trust in this store: the path has a signature, or its content
/// determines its name.
pub fn is_signed_or_content_addressed(launcher: &Launcher, path: &StorePath) -> Result<bool> {
    let json = read(launcher, path, &[])?;
    Ok(infos(&json).all(|info| has_signature(info) || is_content_addressed(info)))
}

/// The JSON that `nix path-info` prints for `path` with `options`.
fn read(launcher: &Launcher, path: &StorePath, options: &[&str]) -> Result<Value> {
    let args = [&FEATURES[..], &["path-info", "--json"], options, &[path.as_str()]].concat();
    let output = launcher.capture("nix", &args)?;
    if !output.success() {
        return Err(error::evaluation_failed(&output.stderr, path, None, &Programs::of(launcher)));
    }
    serde_json::from_str(&output.stdout).with_context(|| format!("reading the path information of {path}"))
}

/// The information on each path, in any of the three formats of [`parse`].
fn infos(json: &Value) -> impl Iterator<Item = &Value> {
    let list = json.as_array().into_iter().flatten();
    let object = json.get("info").unwrap_or(json).as_object().into_iter().flat_map(|paths| paths.values());
    list.chain(object)
}

/// Whether the path with this `info` has a signature.
fn has_signature(info: &Value) -> bool {
    info["signatures"].as_array().is_some_and(|signatures| !signatures.is_empty())
}

/// Whether the content of the path with this `info` determines its name.
fn is_content_addressed(info: &Value) -> bool {
    !info["ca"].is_null() && info["ca"] != ""
}

/// Reads the store paths and their sizes in bytes from any of the three formats: a list (to 2.18), an object by path,
/// and an object by name in the store, below `info` (from 2.33). `None` for any other JSON.
pub fn parse(json: &Value) -> Option<Vec<(StorePath, u64)>> {
    if let Some(list) = json.as_array() {
        return list.iter().map(|info| parse_entry(info["path"].as_str()?, info)).collect();
    }
    let object = json.get("info").unwrap_or(json).as_object()?;
    object.iter().map(|(path, info)| parse_entry(path, info)).collect()
}

/// The store path and its size in bytes; `path` is the whole path, or its name in the store.
fn parse_entry(path: &str, info: &Value) -> Option<(StorePath, u64)> {
    let full = if path.starts_with('/') { path.to_owned() } else { format!("/nix/store/{path}") };
    Some((StorePath::containing(&full)?, info["narSize"].as_u64()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nix::recorded;

    fn parse_text(json: &str) -> Option<Vec<(StorePath, u64)>> {
        parse(&serde_json::from_str(json).ok()?)
    }

    #[test]
    fn signatures_are_read_in_the_three_formats() {
        let path = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-a-1";
        for (info, is_signed, is_by_content) in [
            (r#"{"narSize":7,"signatures":["cache.nixos.org-1:x"]}"#, true, false),
            (r#"{"narSize":7,"ca":"fixed:r:sha256:x","signatures":[]}"#, false, true),
            (r#"{"narSize":7,"ca":null,"signatures":[],"ultimate":true}"#, false, false),
            (r#"{"narSize":7,"ultimate":true}"#, false, false),
        ] {
            for json in [
                format!("[{info}]"),
                format!("{{\"{path}\":{info}}}"),
                format!("{{\"info\":{{\"a\":{info}}}}}"),
            ] {
                let value = serde_json::from_str::<Value>(&json).unwrap();
                assert_eq!(infos(&value).map(has_signature).collect::<Vec<_>>(), [is_signed], "{json}");
                let by_content = infos(&value).map(is_content_addressed).collect::<Vec<_>>();
                assert_eq!(by_content, [is_by_content], "{json}");
            }
        }
    }

    #[test]
    fn the_path_of_each_version_is_read() {
        let path = StorePath::containing(&format!("/nix/store/{}", recorded::DERIVATION)).unwrap();
        for recorded in recorded::ALL {
            assert_eq!(
                parse_text(recorded.path_info),
                Some(vec![(path.clone(), 360)]),
                "{}",
                recorded.release
            );
            let json = serde_json::from_str::<Value>(recorded.path_info).unwrap();
            let kinds = infos(&json).map(|info| (has_signature(info), is_content_addressed(info)));
            assert_eq!(kinds.collect::<Vec<_>>(), [(false, true)], "{}", recorded.release);
        }
    }

    #[test]
    fn sizes_are_read_in_the_three_formats() {
        let name = "0123456789abcdfghijklmnpqrsvwxyz-a-1";
        let path = format!("/nix/store/{name}");
        for json in [
            format!(r#"[{{"path":"{path}","narSize":7,"valid":true}}]"#),
            format!(r#"{{"{path}":{{"narSize":7}}}}"#),
            format!(r#"{{"info":{{"{name}":{{"narSize":7}}}},"version":2}}"#),
        ] {
            let expected = vec![(StorePath::containing(&path).unwrap(), 7)];
            assert_eq!(parse_text(&json), Some(expected), "{json}");
        }
        for json in ["", "7", r#"{"/nix/store/x":{"narSize":1}}"#, &format!(r#"{{"{path}":null}}"#)] {
            assert_eq!(parse_text(json), None, "{json}");
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
        crate::base::fuzz::check_text(&samples.each_ref().map(String::as_str), parse_text);
    }
}
