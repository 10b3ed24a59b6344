//! The hosts of a flake, listed with any version of Nix and in spite of broken siblings.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

use super::inventory::{self, Packages};
use super::suggest;
use crate::base::process::Launcher;
use crate::base::{FlakeRef, HostName};
use crate::failure;
use crate::nix::{self, Installable};

/// The suffix of the package that is a host's SD image.
const IMAGE_SUFFIX: &str = "-sdImage";

/// A host that has an image, a deploy node, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Host {
    pub name: HostName,
    /// The systems for which the flake has a package that builds the image.
    pub image_systems: Vec<String>,
    /// Whether `deploy.nodes` has the host.
    pub deploy_node: bool,
}

/// All hosts of a flake, by name.
#[derive(Debug)]
pub struct Catalogue {
    flake: FlakeRef,
    hosts: BTreeMap<String, Host>,
    /// Why listing the deploy nodes failed, if it did; they are then not among the hosts.
    pub nodes_error: Option<anyhow::Error>,
}

impl Catalogue {
    /// Reads the inventory of the flake (`nix flake show`), and evaluates the names where the inventory leaves them out.
    ///
    /// # Errors
    /// That of the evaluation, which names the cause where the whole flake is broken.
    pub fn load(launcher: &Launcher, flake: &FlakeRef) -> Result<Self> {
        Self::load_with(launcher, flake, || {
            let show = nix::flake_show(launcher, flake).ok();
            match show.as_ref().and_then(inventory::packages).filter(has_images) {
                Some(packages) => Ok(packages),
                None => packages_by_name(launcher, flake),
            }
        })
    }

    /// Evaluates only names, no packages: this takes a fraction of the time of [`Self::load`].
    pub fn names(launcher: &Launcher, flake: &FlakeRef) -> Result<Self> {
        Self::load_with(launcher, flake, || packages_by_name(launcher, flake))
    }

    /// Evaluates the deploy nodes while `packages` runs. An error in the nodes does not keep the images from being listed.
    fn load_with(
        launcher: &Launcher,
        flake: &FlakeRef,
        packages: impl FnOnce() -> Result<Packages>,
    ) -> Result<Self> {
        let (packages, nodes) = std::thread::scope(|scope| {
            let spawned = std::thread::Builder::new().spawn_scoped(scope, || nodes(launcher, flake));
            let packages = packages();
            let join = |thread: std::thread::ScopedJoinHandle<_>| thread.join();
            // Where no thread can be started, one evaluation follows the other.
            (packages, spawned.map_or_else(|_| Ok(nodes(launcher, flake)), join))
        });
        let packages = packages?;
        match nodes.unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
            Ok(nodes) => Ok(Self::new(flake, &packages, &nodes)),
            Err(error) => Ok(Self { nodes_error: Some(error), ..Self::new(flake, &packages, &[]) }),
        }
    }

    fn new(flake: &FlakeRef, packages: &Packages, nodes: &[String]) -> Self {
        let mut hosts = BTreeMap::<String, Host>::new();
        for (system, names) in packages {
            let named = names.iter().filter_map(|name| name.strip_suffix(IMAGE_SUFFIX));
            for name in named.filter(|name| !name.is_empty()) {
                hosts.entry(name.to_owned()).or_default().image_systems.push(system.clone());
            }
        }
        for name in nodes {
            hosts.entry(name.clone()).or_default().deploy_node = true;
        }
        for (name, host) in &mut hosts {
            host.name = name.as_str().into();
        }
        Self { flake: flake.clone(), hosts, nodes_error: None }
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
        self.hosts.get(name.as_str()).ok_or_else(|| self.no_host(name))
    }

    fn no_host(&self, name: &str) -> anyhow::Error {
        let flake = &self.flake;
        if self.hosts.is_empty() {
            return failure!(
                Usage, "{flake} has no hosts";
                hint: "add packages.<system>.<host>{IMAGE_SUFFIX} or deploy.nodes.<host> to the flake"
            );
        }
        let names = self.hosts.keys().map(String::as_str);
        let message = format!("{flake} has no host '{name}' (hosts: {})", join_names(names.clone()));
        unknown_name(&message, suggest::nearest(name, names))
    }
}

impl Host {
    /// The system whose image package is built on a machine of system `here`: `here` where the flake has a package for it,
    /// since that needs no emulation, otherwise `aarch64-linux`, otherwise the first.
    ///
    /// # Errors
    /// `Usage` where the host has no image.
    pub fn image_system(&self, here: &str) -> Result<&str> {
        let has = |system: &str| self.image_systems.iter().find(|known| *known == system);
        let any = || self.image_systems.first();
        let none = || {
            failure!(
                Usage, "host '{}' has no SD image, only a deploy node", self.name;
                hint: "add packages.<system>.{}{IMAGE_SUFFIX} to the flake, or run `cargo xtask deploy {}`",
                self.name, self.name
            )
        };
        has(here).or_else(|| has("aarch64-linux")).or_else(any).map(String::as_str).ok_or_else(none)
    }

    /// The installable of the image.
    ///
    /// # Errors
    /// Those of [`Installable::attribute`].
    pub fn image_installable(&self, flake: &FlakeRef, system: &str) -> Result<Installable> {
        Installable::attribute(flake, &["packages", system, &format!("{}{IMAGE_SUFFIX}", self.name)])
    }
}

/// The error for a host without a deploy node; `nodes` are the names of the nodes there are.
pub fn no_node(flake: &FlakeRef, name: &str, nodes: &[String]) -> anyhow::Error {
    if nodes.is_empty() {
        return failure!(Usage, "{flake} has no deploy nodes"; hint: "add deploy.nodes.{name} to the flake");
    }
    let names = nodes.iter().map(String::as_str);
    let message = format!("{flake} has no deploy node '{name}' (nodes: {})", join_names(names.clone()));
    unknown_name(&message, suggest::nearest(name, names))
}

/// The error `message` for an unknown name, with the name that is `nearest` to it as the hint.
fn unknown_name(message: &str, nearest: Option<&str>) -> anyhow::Error {
    match nearest {
        Some(nearest) => failure!(Usage, "{message}"; hint: "did you mean '{nearest}'?"),
        None => failure!(Usage, "{message}"),
    }
}

/// The first `MAX_NAMES` of `names`, and how many more there are.
fn join_names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const MAX_NAMES: usize = 40;
    let names = names.collect::<Vec<_>>();
    let more = names.len().saturating_sub(MAX_NAMES);
    let shown = names.iter().take(MAX_NAMES).copied().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

fn packages_by_name(launcher: &Launcher, flake: &FlakeRef) -> Result<Packages> {
    let apply = "builtins.mapAttrs (_: builtins.attrNames)";
    let names = output(launcher, flake, "packages", apply)?;
    Ok(names.as_ref().map(inventory::packages_from_names).unwrap_or_default())
}

fn nodes(launcher: &Launcher, flake: &FlakeRef) -> Result<Vec<String>> {
    let apply = "deploy: builtins.attrNames (deploy.nodes or { })";
    let names = output(launcher, flake, "deploy", apply)?;
    Ok(names.as_ref().map(inventory::strings).unwrap_or_default())
}

/// The function `apply` applied to the output `name` of the flake; `None` where the flake has no such output.
fn output(launcher: &Launcher, flake: &FlakeRef, name: &str, apply: &str) -> Result<Option<Value>> {
    match nix::eval(launcher, flake, name, apply, &[]) {
        Ok(value) => Ok(Some(value)),
        Err(error) if nix::is_missing_attribute(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn has_images(packages: &Packages) -> bool {
    packages.values().flatten().any(|name| name.ends_with(IMAGE_SUFFIX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::{hint, with_hint};

    fn flake() -> FlakeRef {
        FlakeRef::of_url("F")
    }

    fn catalogue() -> Catalogue {
        let names = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let packages = Packages::from([
            ("aarch64-linux".into(), names(&["stinky-sdImage", "hello"])),
            ("x86_64-linux".into(), names(&["stinky-sdImage"])),
        ]);
        Catalogue::new(&flake(), &packages, &names(&["server", "stinky"]))
    }

    #[test]
    fn hosts_are_joined_from_images_and_nodes() {
        let catalogue = catalogue();
        let hosts =
            catalogue.hosts().map(|host| (host.name.as_str(), host.image_systems.len(), host.deploy_node));
        assert_eq!(hosts.collect::<Vec<_>>(), [("server", 0, true), ("stinky", 2, true)]);
    }

    #[test]
    fn unknown_hosts_get_the_nearest_name_as_a_hint() {
        let error = catalogue().host(&"stinkey".into()).unwrap_err();
        assert_eq!(error.to_string(), "F has no host 'stinkey' (hosts: server, stinky)");
        assert_eq!(hint(&error), Some("did you mean 'stinky'?"));
        let error = catalogue().host(&"zebra".into()).unwrap_err();
        assert_eq!(with_hint(&error), "F has no host 'zebra' (hosts: server, stinky)");
    }

    #[test]
    fn a_long_list_of_names_is_cut() {
        let nodes = (0..10_000).map(|number| format!("pi{number}")).collect::<Vec<_>>();
        let error = no_node(&flake(), "zebra", &nodes).to_string();
        assert!(error.ends_with("pi39 and 9960 more)") && error.len() < 400, "{error}");
    }

    #[test]
    fn the_native_package_is_preferred() {
        let catalogue = catalogue();
        let stinky = catalogue.host(&"stinky".into()).unwrap();
        assert_eq!(stinky.image_system("x86_64-linux").unwrap(), "x86_64-linux");
        assert_eq!(stinky.image_system("riscv64-linux").unwrap(), "aarch64-linux");
        let installable = stinky.image_installable(&flake(), "aarch64-linux").unwrap();
        assert_eq!(installable.as_str(), "F#packages.aarch64-linux.stinky-sdImage");
        let error = catalogue.host(&"server".into()).unwrap().image_system("x86_64-linux").unwrap_err();
        assert_eq!(
            hint(&error),
            Some("add packages.<system>.server-sdImage to the flake, or run `cargo xtask deploy server`")
        );
    }

    #[test]
    fn a_host_without_a_name_is_none() {
        let packages = Packages::from([("s".into(), vec!["-sdImage".to_owned()])]);
        assert_eq!(Catalogue::new(&flake(), &packages, &[]).hosts().count(), 0);
    }

    #[test]
    fn fuzz() {
        let names = r#"{"aarch64-linux":["stinky-sdImage"],"x86_64-linux":["hello"]}"#;
        crate::base::fuzz::check_text(
            &[names, r#"{"aarch64-linux":["a.b\"${x}-sdImage","-sdImage"]}"#],
            |text| {
                let value = serde_json::from_str::<Value>(text).unwrap_or_default();
                let packages = inventory::packages_from_names(&value);
                let found = Catalogue::new(&flake(), &packages, &inventory::strings(&value));
                let installable = |host: &Host| {
                    let system = host.image_system("x86_64-linux").ok()?;
                    host.image_installable(&flake(), system).ok()
                };
                let installables =
                    found.hosts().filter_map(installable).map(|it| it.to_string()).collect::<String>();
                (found.host(&"stinki".into()).is_ok(), installables)
            },
        );
    }
}
