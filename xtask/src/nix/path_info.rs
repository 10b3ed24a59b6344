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
        return Err(error::evaluation_failed(&output.stderr, path));
    }
    let json = serde_json::from_str(&output.stdout).ok();
    json.as_ref().and_then(parse).with_context(|| format!("reading the closure of {path}"))
}

/// Reads the store paths and their sizes from any of the three formats: a list (to 2.18), an object by path, and an object
/// by name in the store, below `info` (from 2.33).
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
