//! Evaluating the deploy nodes of a flake.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::node::Node;
use super::{Overrides, Trust};
use crate::base::process::Launcher;
use crate::base::{Context as CommandContext, FlakeRef, HostName, Reporter};
use crate::deploy::target::Target;
use crate::failure;
use crate::nix::{self, Metadata, StorePath, flake};

/// The Nix function that reads a node, or makes one; see the file.
const READ_NODE: &str = include_str!("node.nix");

/// The Nix function that makes the profile of a node; see the file.
const MAKE_PROFILE: &str = include_str!("profile.nix");

/// The attributes of the answer that depend on the NixOS configurations, where the flake has no node for the host.
const MADE_NODE_ANSWERS: &[&str] = &["system", "node", "wrong", "configured", "configurations"];
/// The attributes of the answer that depend on the NixOS configurations, where the flake has a node for the host.
const OWN_NODE_ANSWERS: &[&str] = &["system"];

/// The deploy nodes of a flake, and one of them in full.
#[derive(Debug, Default, Deserialize)]
pub struct Nodes {
    /// The names of all nodes.
    names: Vec<String>,
    /// The names of all NixOS configurations.
    #[serde(default)]
    configured: Vec<String>,
    /// The attribute paths of the NixOS configurations with the name of the requested host.
    #[serde(default)]
    configurations: Vec<String>,
    /// The options of the requested node that have a wrong type.
    #[serde(default)]
    wrong: Vec<WrongType>,
    /// The requested node, of the flake or made of the configuration; `None` if there is neither.
    node: Option<Node>,
    /// The toplevel of the NixOS configuration of the same name; `None` if there is none.
    system: Option<String>,
}

/// An option of a node that has another type than deploy-rs expects.
#[derive(Debug, Deserialize)]
struct WrongType {
    /// Its attribute path, such as `deploy.nodes.pi.hostname`.
    option: String,
    /// Its type in the words of `builtins.typeOf`.
    found: String,
    /// The name of the expected type in `node.nix`.
    expected: String,
}

impl WrongType {
    /// The refusal of the option, in the words of people.
    fn refusal(&self) -> anyhow::Error {
        let Self { option, found, expected } = self;
        let expected = match expected.as_str() {
            "seconds" => "a number of whole seconds",
            "strings" => "a list of strings",
            "set" => "an attribute set",
            "package" => "a package",
            "boolean" => "true or false",
            "port" => "a port from 1 to 65535",
            _ => "a string",
        };
        let found = match found.as_str() {
            "set" => "an attribute set",
            "list" if expected.starts_with("a list") => "a list with something else in it",
            "list" => "a list",
            "int" => "an integer",
            "float" => "a decimal number",
            "bool" => "a boolean",
            "lambda" => "a function",
            "null" => "null",
            "missing" => "missing",
            "path" => "a path",
            _ => "a string",
        };
        failure!(Refused, "{option} is {found}, not {expected}"; hint: "set `{option}` to {expected} in the flake")
    }
}

/// How the nodes of a flake are evaluated: its list of nodes, and the nodes of some hosts in full. Without a node for a
/// host, one is made of the NixOS configuration of that name, if its address is known: by the configuration, or by the
/// user.
#[derive(Clone, Copy)]
pub struct NodesQuery<'a> {
    /// The metadata of the flake before the evaluation; `None` where Nix cannot read them.
    pub metadata: Option<&'a Metadata>,
    /// Whether the user gives the address of the host.
    pub is_address_given: bool,
    /// Options for Nix. Where they may change the result, the flake is always evaluated.
    pub options: &'a [String],
}

/// Whether the derivation of an `answer` still exists.
pub fn has_derivation(answer: &Value) -> bool {
    answer["node"]["drvPath"].as_str().is_some_and(|path| Path::new(path).exists())
}

/// An evaluation of one host of a flake.
struct Evaluation<'a> {
    launcher: &'a Launcher,
    flake: &'a FlakeRef,
    query: NodesQuery<'a>,
    host: &'a HostName,
}

impl Nodes {
    /// The target for `host`, with the `overrides` of the command line; `None` if the flake has no such node.
    ///
    /// # Errors
    /// Those of [`Node::target`], and `Refused` for an option of a wrong type.
    pub fn target(
        self,
        cx: &CommandContext,
        host: &HostName,
        overrides: &Overrides,
        trust: &Trust,
    ) -> Result<Option<Target>> {
        if let Some(wrong) = self.wrong.first() {
            return Err(wrong.refusal());
        }
        let Some(node) = self.node else { return Ok(None) };
        let system = match self.system {
            Some(path) => Some(StorePath::containing(&path).with_context(|| {
                format!("the toplevel of nixosConfigurations.{host} is not a store path: {path}")
            })?),
            None => None,
        };
        node.target(cx, host, system, overrides, trust).map(Some)
    }

    /// The error for a host that has no node, and of which none can be made.
    pub fn missing_error(&self, flake: &FlakeRef, host: &HostName, overrides: &Overrides) -> anyhow::Error {
        match &self.configurations[..] {
            [] => flake::no_node_error(flake, host, &self.names, &self.configured),
            [configuration] => failure!(
                Usage(NoNode), "{flake} has {configuration}, but no deploy node '{host}', and no address of the host";
                hint: "{}", overrides.address_remedies(&format!("add deploy.nodes.{host} to the flake"))
            ),
            several => failure!(
                Usage(NoNode), "{flake} has {} configurations of {host}: {}", several.len(), several.join(", ");
                hint: "add deploy.nodes.{host} to the flake, with one of them"
            ),
        }
    }
}

impl NodesQuery<'_> {
    /// The Nix function that reads the node of a host, the first argument, from the outputs of the flake, the second.
    pub fn reader(&self) -> String {
        let Self { is_address_given, .. } = self;
        format!("({READ_NODE}) {{ isAddressGiven = {is_address_given}; makeProfile = {MAKE_PROFILE}; }}")
    }

    /// The Nix function that is applied to the outputs of the flake for `host`.
    pub fn function(&self, host: &HostName) -> String {
        format!("{} {}", self.reader(), nix::quote(host))
    }

    /// Evaluates `host` of the flake of `cx`. `reporter` gets the warnings.
    ///
    /// # Errors
    /// That of Nix.
    pub fn evaluate(self, cx: &CommandContext, host: &HostName, reporter: &dyn Reporter) -> Result<Value> {
        Evaluation { launcher: &cx.launcher, flake: &cx.flake, query: self, host }.run(reporter)
    }
}

impl Evaluation<'_> {
    /// The Nix function that is applied to the outputs of the flake.
    fn function(&self) -> String {
        self.query.function(self.host)
    }

    /// Applies [`Self::function`] to all outputs of the flake at once; on a Nix that cannot, to one after the other.
    fn run(&self, reporter: &dyn Reporter) -> Result<Value> {
        match self.eval(nix::ALL_OUTPUTS, &self.function(), reporter) {
            // Nix 2.18 does not know this attribute path.
            Err(error) if nix::is_missing_attribute(&error) => self.run_twice(reporter),
            answer => answer,
        }
    }

    /// Evaluates first the node and then the configuration. Nix evaluates most of the flake twice for this.
    fn run_twice(&self, reporter: &dyn Reporter) -> Result<Value> {
        let nodes = self.eval_output("deploy", "deploy = it;", reporter)?;
        let mut nodes = nodes.unwrap_or_else(|| json!({ "names": [], "node": null }));
        let has_wrong_option = nodes["wrong"].get(0).is_some();
        if has_wrong_option {
            return Ok(nodes);
        }
        let (node, answers) = if nodes["node"].is_null() {
            (String::new(), MADE_NODE_ANSWERS)
        } else {
            // An empty node keeps the function from making one.
            (format!("deploy.nodes.{} = {{ }}; ", nix::quote(self.host)), OWN_NODE_ANSWERS)
        };
        let bindings = format!("{node}nixosConfigurations = it;");
        let Some(mut found) = self.eval_output("nixosConfigurations", &bindings, reporter)? else {
            return Ok(nodes);
        };
        for name in answers {
            if let Some(answer) = found.get_mut(*name) {
                nodes[*name] = answer.take();
            }
        }
        Ok(nodes)
    }

    /// Applies [`Self::function`] to the attribute set of `bindings` such as `deploy = it;`, in which `it` is the
    /// `output` of the flake. `None` if the flake has no such output.
    fn eval_output(&self, output: &str, bindings: &str, reporter: &dyn Reporter) -> Result<Option<Value>> {
        let function = format!("it: {} {{ {bindings} }}", self.function());
        match self.eval(output, &function, reporter) {
            Err(error) if nix::is_missing_attribute(&error) => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// Applies `function` to `attribute` of the flake.
    fn eval(&self, attribute: &str, function: &str, reporter: &dyn Reporter) -> Result<Value> {
        nix::eval(self.launcher, self.flake, attribute, function, self.query.options, reporter)
    }
}
