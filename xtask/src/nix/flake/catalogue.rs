//! The hosts of a flake, by the names in its outputs.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use super::names::Names;
use super::outputs::BrokenOutput;
use super::unknown_name::{join_names, unknown_name_error};
use crate::base::process::Launcher;
use crate::base::{FlakeRef, HostName, nearest_name};
use crate::failure;
use crate::nix::{EvalCache, Fingerprint};

/// The suffix of the package that is a host's SD image, by the convention of this tool.
const IMAGE_SUFFIX: &str = "-sdImage";

/// Further suffixes of packages that are images for cards. Those ending in `-image` and `-img` may be any images, and
/// do not name a host.
const CARD_SUFFIXES: &[&str] = &["-sd-image", "-sdimage", "-sd"];

/// A host of a flake, as far as the names in the flake show: only an evaluation shows whether the configuration of the
/// host makes an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Host {
    #[serde(rename = "host")]
    pub name: HostName,
    /// The systems with a package `HOST-sdImage`.
    pub image_systems: Vec<String>,
    /// Whether the flake's output `images` has the host.
    pub in_images: bool,
    /// The packages with the name of the host and one of the suffixes in [`CARD_SUFFIXES`].
    #[serde(skip)]
    pub card_packages: Vec<String>,
    /// Whether the flake has a NixOS configuration of that name.
    pub configured: bool,
    /// Whether `deploy.nodes` has the host.
    pub deploy_node: bool,
}

/// All hosts of a flake, by name.
#[derive(Debug)]
pub struct Catalogue {
    flake: FlakeRef,
    hosts: BTreeMap<String, Host>,
    /// The outputs that could not be read: the catalogue lacks their hosts.
    pub broken: Vec<BrokenOutput>,
}

impl Catalogue {
    /// Reads the hosts of `flake`, with `options` for Nix.
    ///
    /// # Errors
    /// Those of [`Names::read`].
    pub fn read(launcher: &Launcher, flake: &FlakeRef, options: &[String]) -> Result<Self> {
        let (names, broken) = Names::read(launcher, flake, options)?;
        Ok(Self { broken, ..Self::new(flake, &names) })
    }

    /// Reads the hosts of `flake` from `cache`, or by Nix where the cache does not have them; then the cache gets them,
    /// unless an output is broken. The flake has this `fingerprint` now.
    ///
    /// # Errors
    /// Those of [`Names::read`].
    pub fn get_or_read(
        launcher: &Launcher,
        flake: &FlakeRef,
        cache: &EvalCache,
        fingerprint: &Fingerprint,
    ) -> Result<Self> {
        if let Some(names) = Names::from_cache(cache, fingerprint) {
            return Ok(Self::new(flake, &names));
        }
        let (names, broken) = Names::read(launcher, flake, &[])?;
        if broken.is_empty() {
            names.store(launcher, flake, cache, fingerprint);
        }
        Ok(Self { broken, ..Self::new(flake, &names) })
    }

    /// Joins the hosts of all outputs by name.
    pub(super) fn new(flake: &FlakeRef, names: &Names) -> Self {
        let mut hosts = BTreeMap::new();
        for (system, packages) in &names.packages {
            for name in packages.iter().filter_map(|package| package.strip_suffix(IMAGE_SUFFIX)) {
                entry(&mut hosts, name).image_systems.push(system.clone());
            }
            for package in packages {
                let Some(name) = card_host(package) else { continue };
                entry(&mut hosts, name).card_packages.push(package.clone());
            }
        }
        for name in &names.images {
            entry(&mut hosts, name).in_images = true;
        }
        for name in names.configurations.iter().filter_map(|path| path.last()) {
            entry(&mut hosts, name).configured = true;
        }
        for name in &names.nodes {
            entry(&mut hosts, name).deploy_node = true;
        }
        // A package that is called as a suffix names no host.
        hosts.remove("");
        Self { flake: flake.clone(), hosts, broken: Vec::new() }
    }

    /// The hosts, by name.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values()
    }

    /// The host `name`.
    ///
    /// # Errors
    /// `Usage` where the flake does not have the host; the error lists those it has.
    pub fn host(&self, name: &HostName) -> Result<&Host> {
        self.hosts.get(name.as_str()).ok_or_else(|| self.no_host_error(name))
    }

    fn no_host_error(&self, name: &str) -> anyhow::Error {
        let flake = &self.flake;
        if self.hosts.is_empty() {
            return failure!(
                Usage(UnknownHost), "{flake} has no hosts";
                hint: "add nixosConfigurations.<host> or packages.<system>.<host>{IMAGE_SUFFIX} to the flake, or name an \
                       image as FLAKE#ATTRIBUTE"
            );
        }
        let names = self.hosts.keys().map(String::as_str);
        let message = format!("{flake} has no host '{name}' (hosts: {})", join_names(names.clone()));
        unknown_name_error(&message, name, nearest_name(name, names))
    }
}

/// The host whose card `package` is the image for, by one of the suffixes in [`CARD_SUFFIXES`].
fn card_host(package: &str) -> Option<&str> {
    CARD_SUFFIXES.iter().find_map(|suffix| package.strip_suffix(suffix))
}

/// The host `name` in `hosts`, which is added if it is missing.
fn entry<'a>(hosts: &'a mut BTreeMap<String, Host>, name: &str) -> &'a mut Host {
    let new = || Host { name: name.into(), ..Host::default() };
    hosts.entry(name.to_owned()).or_insert_with(new)
}

/// The error for a host `name` with neither a deploy node nor a NixOS configuration. `nodes` are the names of all
/// deploy nodes of the flake, `configurations` those of all NixOS configurations.
pub fn no_node_error(
    flake: &FlakeRef,
    name: &str,
    nodes: &[String],
    configurations: &[String],
) -> anyhow::Error {
    let has_made_nodes = configurations.iter().any(|configuration| !nodes.contains(configuration));
    if has_made_nodes {
        let hosts = nodes.iter().chain(configurations).map(String::as_str).collect::<BTreeSet<_>>();
        let listed = join_names(hosts.iter().copied());
        let message = format!("{flake} has no host '{name}' to deploy (hosts: {listed})");
        return unknown_name_error(&message, name, nearest_name(name, hosts.into_iter()));
    }
    if nodes.is_empty() {
        let message =
            format!("{flake} has no host to deploy: it has neither a deploy node nor a NixOS configuration");
        return failure!(Usage(NoNode), "{message}"; hint: "add deploy.nodes.HOST or nixosConfigurations.HOST to the flake");
    }
    let names = nodes.iter().map(String::as_str);
    let message = format!("{flake} has no deploy node '{name}' (nodes: {})", join_names(names.clone()));
    unknown_name_error(&message, name, nearest_name(name, names))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::base::failure::{hint, with_hint};

    fn flake() -> FlakeRef {
        FlakeRef::of_url("F")
    }

    fn catalogue(names: Value) -> Catalogue {
        Catalogue::new(&flake(), &serde_json::from_value(names).unwrap())
    }

    fn five_hosts() -> Catalogue {
        catalogue(json!({
            "packages": {
                "aarch64-linux": ["stinky-sdImage", "hello", "-sdImage", "-sd"],
                "x86_64-linux": ["stinky-sdImage", "garage-sd", "docker-image"],
            },
            "images": ["kiosk"],
            "configurations": [["nixosConfigurations", "stinky"], ["nixosConfigurations", "aarch64-linux", "inner"]],
            "nodes": ["server", "stinky"],
            "broken": []
        }))
    }

    #[test]
    fn the_image_of_a_listed_package_is_found() {
        for suffix in CARD_SUFFIXES {
            assert!(super::super::HOSTS.contains(&format!("\"{suffix}\"")), "{suffix}");
        }
    }

    #[test]
    fn hosts_are_joined_from_all_outputs() {
        let catalogue = five_hosts();
        let host = |name: &str| Host { name: name.into(), ..Host::default() };
        let systems = ["aarch64-linux", "x86_64-linux"].map(str::to_owned);
        let expected = [
            Host { card_packages: vec!["garage-sd".into()], ..host("garage") },
            Host { configured: true, ..host("inner") },
            Host { in_images: true, ..host("kiosk") },
            Host { deploy_node: true, ..host("server") },
            Host { image_systems: systems.into(), configured: true, deploy_node: true, ..host("stinky") },
        ];
        assert!(catalogue.hosts().eq(&expected), "{catalogue:?}");
    }

    #[test]
    fn unknown_hosts_get_the_nearest_name_as_a_hint() {
        for (name, nearest) in [
            ("stinkey", Some("did you mean 'stinky'?")),
            ("STINKY", Some("did you mean 'stinky'?")),
            ("stinky-sdImage", Some("did you mean 'stinky'?")),
            ("zebra", None),
            (
                "sdb1",
                Some(
                    "if you mean the card /dev/sdb1, name it like that; `cargo xtask devices` lists the cards",
                ),
            ),
            ("github:o/f", Some("name a host of another flake as FLAKE#HOST")),
            ("../f", Some("name a host of another flake as FLAKE#HOST")),
        ] {
            let error = five_hosts().host(&name.into()).unwrap_err();
            let expected = format!("F has no host '{name}' (hosts: garage, inner, kiosk, server, stinky)");
            assert_eq!((error.to_string(), hint(&error)), (expected, nearest));
        }
    }

    #[test]
    fn the_error_of_a_flake_without_hosts_has_a_hint() {
        let names = json!({ "packages": {}, "images": [], "configurations": [], "nodes": [], "broken": [] });
        let error = with_hint(&catalogue(names).host(&"pi".into()).unwrap_err());
        assert!(error.starts_with("F has no hosts; add nixosConfigurations.<host> or "), "{error}");
    }

    #[test]
    fn an_unknown_host_to_deploy_gets_the_nearest_name_as_a_hint() {
        const NO_HOST: &str = "F has no host to deploy: it has neither a deploy node nor a NixOS configuration; add \
                               deploy.nodes.HOST or nixosConfigurations.HOST to the flake";
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (nodes, configurations, expected) in [
            (&["pi"][..], &["pi"][..], "F has no deploy node 'pii' (nodes: pi); did you mean 'pi'?"),
            (&["a"], &["a", "pi"], "F has no host 'pii' to deploy (hosts: a, pi); did you mean 'pi'?"),
            (&[], &["pi"], "F has no host 'pii' to deploy (hosts: pi); did you mean 'pi'?"),
            (&[], &[], NO_HOST),
        ] {
            let error = no_node_error(&flake(), "pii", &owned(nodes), &owned(configurations));
            assert_eq!(with_hint(&error), expected);
        }
    }

    #[test]
    fn a_long_list_of_names_is_cut() {
        let nodes = (0..10_000).map(|number| format!("pi{number}")).collect::<Vec<_>>();
        let error = no_node_error(&flake(), "zebra", &nodes, &[]).to_string();
        assert!(error.ends_with("pi39 and 9960 more)") && error.len() < 400, "{error}");
    }

    #[test]
    fn fuzz() {
        let names = r#"{"packages":{"aarch64-linux":["stinky-sdImage"]},"images":["a"],"configurations":[["n","b"]],"nodes":["c"],"broken":[]}"#;
        crate::base::fuzz::check_text(&[names], |text| {
            let names = serde_json::from_str::<Names>(text).unwrap_or_default();
            let catalogue = Catalogue::new(&flake(), &names);
            (catalogue.hosts().count(), catalogue.host(&"stinki".into()).is_ok())
        });
    }
}
