//! The content of a release: for each host what it is to run, and how it is reached.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::{HostName, Timestamp};
use crate::deploy::desired::{NodeSettings, Trust};
use crate::deploy::tags::Tags;
use crate::nix::{Revision, StorePath, System};
use crate::{bail, failure};

/// The version of the format. Fields are added within a version, and readers ignore those that they do not know.
pub const SCHEMA: u32 = 1;
/// The most hosts of a release.
const MAX_HOSTS: usize = 10_000;
/// The most bytes of a name of a host, as of a domain name (RFC 1035).
const MAX_NAME: usize = 255;

/// A release: what each of its hosts is to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Release")]
pub struct Content {
    #[schemars(extend("const" = SCHEMA))]
    pub schema: u32,
    /// When the release was made.
    pub time: Timestamp,
    /// When the release ends to be deployed; null for never.
    pub expires: Option<Timestamp>,
    /// The git revision of the flake; null for a flake that no commit identifies.
    pub revision: Option<Revision>,
    /// The hosts, by their names.
    pub hosts: Vec<ReleasedHost>,
}

/// A host of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReleasedHost {
    pub host: HostName,
    /// The system double, such as `aarch64-linux`, if the flake names it.
    pub platform: Option<System>,
    /// The tags, by which `deploy --on` chooses hosts.
    #[serde(default)]
    pub tags: BTreeSet<String>,
    /// The NixOS system, its toplevel; null if the flake has none of that name.
    pub system: Option<StorePath>,
    /// The profile that deploy-rs activates.
    pub profile: StorePath,
    /// How the host is reached, and how deploy-rs activates there.
    pub node: NodeSettings,
    /// The image for its card; null where it was not asked for, or where the host has none.
    pub image: Option<ReleasedImage>,
}

/// The file of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReleasedImage {
    /// The store path that has the file.
    pub store_path: StorePath,
    /// The file in the store.
    pub file: String,
    /// The size of the file.
    pub bytes: u64,
    /// The SHA-256 of the file, in hexadecimal digits.
    pub sha256: String,
}

/// The part of a release that every version has.
#[derive(Deserialize)]
struct Version {
    schema: u64,
}

impl ReleasedHost {
    /// Whether a deploy of the release needs `--trust-flake`, as the host has ssh options that can run programs where
    /// it is deployed from.
    pub fn needs_trust(&self) -> bool {
        Trust::Limited(String::new()).check(&self.host, &self.node.ssh_options).is_err()
    }
}

impl Content {
    /// Reads the `bytes` of a release.
    ///
    /// # Errors
    /// `Refused` for another version, and for what is no release of this version.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let invalid = |error| failure!(Refused, "it is no release: {error}"; hint: "make it with `cargo xtask release`");
        let Version { schema } = serde_json::from_slice(bytes).map_err(invalid)?;
        if schema != u64::from(SCHEMA) {
            bail!(
                Refused, "it has the schema {schema}, and this program reads {SCHEMA}";
                hint: "make it again with `cargo xtask release`, or use the version of this program that made it"
            );
        }
        let content = serde_json::from_slice::<Self>(bytes).map_err(invalid)?;
        content.check()?;
        Ok(content)
    }

    /// The text of the file.
    ///
    /// # Errors
    /// Where a value cannot be serialized.
    pub fn to_text(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Refuses what no release has: no host, a host twice, names and times that are none.
    fn check(&self) -> Result<()> {
        let refuse = |what: String| {
            Err(
                failure!(Refused, "it is no release: {what}"; hint: "make it again with `cargo xtask release`"),
            )
        };
        if self.hosts.is_empty() || self.hosts.len() > MAX_HOSTS {
            return refuse(format!("it has {} hosts", self.hosts.len()));
        }
        let mut seen = BTreeSet::new();
        for host in &self.hosts {
            let name = host.host.as_str();
            if name.is_empty() || name.len() > MAX_NAME || name.contains(char::is_control) {
                return refuse(format!("{name:?} is no name of a host"));
            }
            if !seen.insert(name) {
                return refuse(format!("it has {name} twice"));
            }
            host.image.as_ref().map_or(Ok(()), ReleasedImage::check).or_else(&refuse)?;
        }
        for time in [Some(&self.time), self.expires.as_ref()].into_iter().flatten() {
            if !time.is_valid() {
                return refuse(format!("{:?} is no time such as 2026-11-25T12:00:00Z", time.as_str()));
            }
        }
        Ok(())
    }

    /// The host of this name.
    pub fn host(&self, name: &HostName) -> Option<&ReleasedHost> {
        self.hosts.iter().find(|host| host.host == *name)
    }

    /// The names of all hosts.
    pub fn names(&self) -> Vec<HostName> {
        self.hosts.iter().map(|host| host.host.clone()).collect()
    }

    /// The tags of all hosts.
    pub fn tags(&self) -> Tags {
        let tags = self.hosts.iter().map(|host| (host.host.to_string(), host.tags.clone()));
        Tags::of(tags.collect::<BTreeMap<_, _>>())
    }
}

impl ReleasedImage {
    /// Why this is no image of a release.
    fn check(&self) -> Result<(), String> {
        let Self { store_path, file, sha256, .. } = self;
        let is_in_store_path = StorePath::containing(file).as_ref() == Some(store_path);
        if !is_in_store_path || file.contains("/../") || file.contains(char::is_control) {
            return Err(format!("{file:?} is no file in {store_path}"));
        }
        let is_sum = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_sum { Ok(()) } else { Err(format!("{sha256:?} is no SHA-256")) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::base::failure::{ExitKind, kind};

    type Change = fn(&mut Value);

    const PATH: &str = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-x";

    /// A release with one host, changed by `change`.
    fn text(change: impl FnOnce(&mut Value)) -> Vec<u8> {
        let mut release = json!({
            "schema": 1, "time": "2026-11-25T12:00:00Z", "expires": null,
            "revision": {"rev": "0".repeat(40), "dirty": false, "url": null},
            "hosts": [{
                "host": "pi", "platform": "aarch64-linux", "tags": ["lab"], "system": PATH, "profile": PATH,
                "node": {"hostname": "pi.lan", "ssh_options": ["-p", "22"]},
                "image": {"store_path": PATH, "file": format!("{PATH}/pi.img.zst"), "bytes": 7,
                          "sha256": "a".repeat(64)},
            }],
        });
        change(&mut release);
        release.to_string().into_bytes()
    }

    #[test]
    fn options_that_run_programs_need_trust() {
        for (options, expected) in [
            (json!([]), false),
            (json!(["-p", "22"]), false),
            (json!(["-F", "ssh_config"]), true),
            (json!(["-o", "ProxyCommand=nc %h %p"]), true),
        ] {
            let content = Content::parse(&text(|release| {
                release["hosts"][0]["node"]["ssh_options"] = options.clone();
            }));
            assert_eq!(content.unwrap().hosts[0].needs_trust(), expected, "{options}");
        }
    }

    #[test]
    fn a_release_is_read_as_it_was_written() {
        let content = Content::parse(&text(|_| ())).unwrap();
        assert_eq!(Content::parse(content.to_text().unwrap().as_bytes()).unwrap(), content);
        assert_eq!(content.names(), [HostName::from("pi")]);
        assert!(content.tags().has(&"pi".into(), "lab"));
        // A later version within the schema has more fields.
        let more = text(|release| {
            release["signed_by"] = "x".into();
            release["hosts"][0]["node"]["port"] = 22.into();
        });
        assert_eq!(Content::parse(&more).unwrap(), content);
    }

    #[test]
    fn what_is_no_release_is_refused() {
        let changes: [(&str, Change); 15] = [
            ("it has the schema 2, and", |it| it["schema"] = 2.into()),
            ("missing field `schema`", |it| drop(it.as_object_mut().unwrap().remove("schema"))),
            ("it has 0 hosts", |it| it["hosts"] = json!([])),
            ("it has pi twice", |it| it["hosts"] = json!([it["hosts"][0], it["hosts"][0]])),
            (r#""" is no name"#, |it| it["hosts"][0]["host"] = "".into()),
            (r#""\u{1b}" is no name"#, |it| it["hosts"][0]["host"] = "\u{1b}".into()),
            ("is no name", |it| it["hosts"][0]["host"] = "x".repeat(256).into()),
            ("`/etc` is no store path", |it| it["hosts"][0]["profile"] = "/etc".into()),
            ("is no store path", |it| it["hosts"][0]["system"] = format!("{PATH}/../../../etc").into()),
            ("invalid type: null", |it| it["hosts"][0]["profile"] = Value::Null),
            ("is no revision of git", |it| it["revision"]["rev"] = "--upload-pack=x".into()),
            ("is no file in", |it| it["hosts"][0]["image"]["file"] = format!("{PATH}/../../etc/x").into()),
            ("is no SHA-256", |it| it["hosts"][0]["image"]["sha256"] = "x".repeat(64).into()),
            ("is no time such as", |it| it["expires"] = "tomorrow".into()),
            ("missing field `hostname`", |it| it["hosts"][0]["node"] = json!({})),
        ];
        for (expected, change) in changes {
            let error = Content::parse(&text(change)).unwrap_err();
            assert_eq!(kind(&error), ExitKind::Refused, "{error}");
            assert!(error.to_string().contains(expected), "{error}: {expected}");
        }
        for bytes in [&b""[..], b"[]", b"\xff", &b"[".repeat(1 << 20)] {
            assert_eq!(kind(&Content::parse(bytes).unwrap_err()), ExitKind::Refused);
        }
    }

    #[test]
    fn fuzz() {
        let sample = String::from_utf8(text(|_| ())).unwrap();
        crate::base::fuzz::check_text(&[&sample], |text| Content::parse(text.as_bytes()).ok());
    }
}
