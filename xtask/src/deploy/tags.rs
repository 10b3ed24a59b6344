//! Tags of hosts, by which a deploy chooses some of them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde_json::Value;

use crate::bail;
use crate::base::{Context, HostName, Plain, Reporter, Silent, parallel};
use crate::nix;
use crate::nix::flake::Outputs;

/// The tag of the hosts that are deployed first.
const CANARY: &str = "canary";

/// The nodes of the flake, whose attribute `tags` has the tags of a host.
const NODES: &[&str] = &["deploy", "nodes"];
/// The output of the flake that has a list of tags for each host.
const OUTPUT: &[&str] = &["xtask", "tags"];

/// The tags of each host.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tags(BTreeMap<String, BTreeSet<String>>);

impl Tags {
    /// Reads the tags of the flake: `deploy.nodes.HOST.tags` and `xtask.tags.HOST`. Where they do not evaluate at once,
    /// those of each of `hosts` are read alone: a host that does not evaluate has no tags, and a warning says so.
    ///
    /// # Errors
    /// `Refused` for tags that are no list of texts; `Interrupted` if the user stops it.
    pub fn read(cx: &Context, hosts: &[HostName], nix_args: &[String]) -> Result<Self> {
        let mut tags = Self::default();
        let of_nodes = "builtins.mapAttrs (_: node: node.tags or [ ])";
        tags.add_place(cx, hosts, nix_args, (NODES, of_nodes), |host| {
            format!("nodes: {{ ${{{host}}} = nodes.${{{host}}}.tags or [ ]; }}")
        })?;
        tags.add_place(cx, hosts, nix_args, (OUTPUT, "tags: tags"), |host| {
            format!("tags: {{ ${{{host}}} = tags.${{{host}}} or [ ]; }}")
        })?;
        Ok(tags)
    }

    /// Adds the tags at `path` of the flake, by a Nix function for all hosts, or else by `function_of` each host's
    /// name.
    fn add_place(
        &mut self,
        cx: &Context,
        hosts: &[HostName],
        nix_args: &[String],
        (path, function): (&[&str], &str),
        function_of: impl Fn(&str) -> String + Sync,
    ) -> Result<()> {
        let read = |function: &str, reporter: &dyn Reporter| {
            let outputs = Outputs { launcher: &cx.launcher, flake: &cx.flake, options: nix_args, reporter };
            outputs.eval_if_there(path, function)
        };
        let place = path.join(".");
        let place = place.as_str();
        match read(function, cx.reporter.as_ref()) {
            Ok(found) => return found.map_or(Ok(()), |found| self.add(place, &found)),
            Err(error) if !nix::is_evaluation_failure(&error) => return Err(error),
            Err(_) => {}
        }
        let each = parallel::map(parallel::max_evaluations(), hosts, |host| {
            read(&function_of(&nix::quote(host)), &Silent)
        });
        for (host, found) in hosts.iter().zip(each) {
            match found {
                Ok(found) => found.iter().try_for_each(|found| self.add(place, found))?,
                Err(error) if nix::is_evaluation_failure(&error) => {
                    cx.for_host(host).warn_of(&error.context(format!("the tags in {place} are unknown")));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The tags `tags` of each host.
    pub fn of(tags: BTreeMap<String, BTreeSet<String>>) -> Self {
        Self(tags)
    }

    /// The tags of `host`.
    pub fn of_host(&self, host: &HostName) -> BTreeSet<String> {
        self.0.get(host.as_str()).cloned().unwrap_or_default()
    }

    fn add(&mut self, place: &str, found: &Value) -> Result<()> {
        let hosts = found.as_object().into_iter().flatten();
        for (host, list) in hosts {
            let texts =
                list.as_array().map(|list| list.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
            let Some(Some(texts)) = texts else {
                bail!(
                    Refused, "the tags of {host} in {place} are no list of texts";
                    hint: "write them as in `[ \"canary\" \"kitchen\" ]`"
                );
            };
            self.0.entry(host.clone()).or_default().extend(texts.into_iter().map(str::to_owned));
        }
        Ok(())
    }

    /// Whether `host` has `tag`.
    pub fn has(&self, host: &HostName, tag: &str) -> bool {
        self.0.get(host.as_str()).is_some_and(|tags| tags.contains(tag))
    }

    /// Those of `hosts` that have one of `wanted`; all of them where nothing is wanted.
    ///
    /// # Errors
    /// `Usage` for a tag that none of `hosts` has: it may be another one, misspelt, whose hosts would be left out.
    pub fn choose(&self, mut hosts: Vec<HostName>, wanted: &[String]) -> Result<Vec<HostName>> {
        if let Some(unknown) = wanted.iter().find(|tag| !hosts.iter().any(|host| self.has(host, tag))) {
            let known = hosts.iter().flat_map(|host| self.of_host(host)).collect::<BTreeSet<_>>();
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { "none".to_owned() } else { known };
            bail!(
                Usage, "no host has the tag {} (tags: {known})", Plain(unknown);
                hint: "tags are lists of texts: `deploy.nodes.HOST.tags` or `xtask.tags.HOST` of the flake"
            );
        }
        if !wanted.is_empty() {
            hosts.retain(|host| wanted.iter().any(|tag| self.has(host, tag)));
        }
        Ok(hosts)
    }

    /// Moves the hosts with the tag [`CANARY`] to the front.
    pub fn canaries_first(&self, hosts: &mut [HostName]) {
        hosts.sort_by_key(|host| !self.has(host, CANARY));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hosts(names: &[&str]) -> Vec<HostName> {
        names.iter().map(|name| (*name).into()).collect()
    }

    #[test]
    fn hosts_are_chosen_by_their_tags_of_both_places() {
        let mut tags = Tags::default();
        tags.add("deploy.nodes", &json!({"a": ["lab"], "b": [], "c": ["hall", "canary"]})).unwrap();
        tags.add("xtask.tags", &json!({"b": ["lab"]})).unwrap();
        let choose = |wanted: &[&str]| {
            tags.choose(hosts(&["a", "b", "c"]), &wanted.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(choose(&["lab"]).unwrap(), hosts(&["a", "b"]));
        assert_eq!(choose(&["hall", "lab"]).unwrap(), hosts(&["a", "b", "c"]));
        assert_eq!(choose(&[]).unwrap(), hosts(&["a", "b", "c"]));
        for wanted in [&["attic"][..], &["lab", "attic"], &["attic", "lab"]] {
            let error = choose(wanted).unwrap_err().to_string();
            assert_eq!(error, "no host has the tag attic (tags: canary, hall, lab)");
        }
        let mut order = hosts(&["a", "b", "c"]);
        tags.canaries_first(&mut order);
        assert_eq!(order, hosts(&["c", "a", "b"]));
    }

    #[test]
    fn tags_of_another_type_are_refused() {
        for found in [json!({"a": "lab"}), json!({"a": [1]}), json!({"a": null})] {
            let error = Tags::default().add("xtask.tags", &found).unwrap_err().to_string();
            assert_eq!(error, "the tags of a in xtask.tags are no list of texts");
        }
    }
}
