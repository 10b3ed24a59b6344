//! Evaluating what the flake says about its hosts.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use super::node::Node;
use super::{Overrides, Trust};
use crate::base::process::Launcher;
use crate::deploy::target::Target;
use crate::nix::{self, EvalCache, StorePath};

/// The function that reads a node; see the file.
const READ: &str = include_str!("node.nix");

/// All outputs of a flake: what begins with a dot is not looked for under packages, and nothing is behind this one.
const OUTPUTS: &str = ".";

/// What the flake says of its hosts.
#[derive(Debug, Default, Deserialize)]
pub struct Nodes {
    /// The names of all nodes.
    pub names: Vec<String>,
    /// The node that was asked for, if there is one.
    node: Option<Node>,
    /// The toplevel of the NixOS system of its name, if there is one.
    system: Option<String>,
}

/// A question about one host of a flake.
struct Question<'a> {
    launcher: &'a Launcher,
    flake: &'a str,
    host: String,
    /// Options for Nix.
    options: &'a [String],
}

impl Nodes {
    /// Evaluates the nodes of `flake`, of which only that of `host` is looked into; or takes the answer from the last
    /// time, where the flake is the same and what was to be built is still known. `options` are for Nix: where there
    /// are any, they may change what is meant, and it is always evaluated.
    pub fn load(
        launcher: &Launcher,
        answers: &EvalCache,
        flake: &str,
        host: &str,
        options: &[String],
    ) -> Result<Self> {
        let question = Question { launcher, flake, host: nix::quote(host), options };
        let serves = |answer: &Value| {
            let derivation = answer["node"]["drvPath"].as_str();
            derivation.is_some_and(|path| Path::new(path).exists())
        };
        let answer = if options.is_empty() {
            answers.get_or_evaluate(launcher, flake, &question.apply(), serves, || question.ask())
        } else {
            question.ask()
        };
        serde_json::from_value(answer?).with_context(|| format!("reading deploy.nodes of {flake}"))
    }

    /// What `host` is meant to run, after the command line; `None` where the flake has no such node.
    ///
    /// # Errors
    /// Those of [`Node::target`].
    pub fn target(
        self,
        launcher: &Launcher,
        host: &str,
        over: &Overrides,
        trust: &Trust,
    ) -> Result<Option<Target>> {
        let Some(node) = self.node else { return Ok(None) };
        let unusable =
            |path: &str| format!("the toplevel of nixosConfigurations.{host} is no store path: {path}");
        let read = |path: String| StorePath::containing(&path).with_context(|| unusable(&path));
        node.target(launcher, host, self.system.map(read).transpose()?, over, trust).map(Some)
    }
}

impl Question<'_> {
    fn apply(&self) -> String {
        format!("({READ}) {}", self.host)
    }

    fn ask(&self) -> Result<Value> {
        match self.eval(OUTPUTS, &self.apply()) {
            // Nix 2.18 knows no such attribute path.
            Err(error) if nix::is_missing_attribute(&error) => self.ask_twice(),
            answer => answer,
        }
    }

    /// The node first and then its system, which evaluates most of it once more.
    fn ask_twice(&self) -> Result<Value> {
        let of = |output: &str, outputs: &str| {
            let apply = format!("it: {} {{ {outputs} }}", self.apply());
            match self.eval(output, &apply) {
                Err(error) if nix::is_missing_attribute(&error) => Ok(None),
                answer => answer.map(Some),
            }
        };
        let Some(mut nodes) = of("deploy", "deploy = it;")? else {
            return Ok(serde_json::json!({ "names": [], "node": null, "system": null }));
        };
        if !nodes["node"].is_null() {
            let alone = format!("deploy.nodes.{} = {{ }}; nixosConfigurations = it;", self.host);
            nodes["system"] =
                of("nixosConfigurations", &alone)?.map_or(Value::Null, |it| it["system"].clone());
        }
        Ok(nodes)
    }

    fn eval(&self, attribute: &str, apply: &str) -> Result<Value> {
        nix::eval(self.launcher, self.flake, attribute, apply, self.options)
    }
}
