//! The outputs of a flake, evaluated all at once, or part by part where one of them fails.

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;

use super::HOSTS;
use crate::base::process::Launcher;
use crate::base::{FlakeRef, Reporter, failure};
use crate::nix;

/// An output that cannot be evaluated, and why.
#[derive(Debug)]
pub struct BrokenOutput {
    /// The name of the output, and that of a system where only the part for this system fails.
    pub path: Vec<String>,
    pub error: anyhow::Error,
}

impl BrokenOutput {
    /// What the user should know: what is missing, and why.
    pub fn warning(&self) -> String {
        format!("the output `{}` is left out: {}", self.path.join("."), failure::with_hint(&self.error))
    }
}

/// Evaluates functions of the outputs of a flake.
pub struct Outputs<'a> {
    pub launcher: &'a Launcher,
    pub flake: &'a FlakeRef,
    /// Options for Nix.
    pub options: &'a [String],
    /// Gets the warnings of the evaluation.
    pub reporter: &'a dyn Reporter,
}

impl Outputs<'_> {
    /// The Nix function `function` of all outputs.
    ///
    /// # Errors
    /// That of Nix. For Nix 2.18, which cannot evaluate all outputs at once, that of a missing attribute.
    pub fn eval_all(&self, function: &str) -> Result<Value> {
        self.eval(nix::ALL_OUTPUTS, function)
    }

    /// The Nix function `function` of the value at `path`. Other outputs may be broken: Nix would search them for a
    /// path that does not begin with a dot.
    ///
    /// # Errors
    /// That of Nix.
    pub fn eval_at<T: AsRef<str>>(&self, path: &[T], function: &str) -> Result<Value> {
        let at = |path: &[T]| {
            path.iter().map(|name| format!(".{}", nix::quote(name.as_ref()))).collect::<String>()
        };
        match self.eval_all(&format!("outputs: ({function}) (outputs{})", at(path))) {
            Err(error) if nix::is_missing_attribute(&error) && !path.is_empty() => {
                self.eval(path[0].as_ref(), &format!("it: ({function}) (it{})", at(&path[1..])))
            }
            answer => answer,
        }
    }

    /// The Nix function `function` of the value at `path`; `None` where the flake has none there.
    ///
    /// # Errors
    /// That of Nix.
    pub fn eval_if_there(&self, path: &[&str], function: &str) -> Result<Option<Value>> {
        let function = |it: &str, path: &[&str]| {
            let at = path.iter().map(|name| format!(".{}", nix::quote(name))).collect::<String>();
            format!("{it}: let it = {it}{at} or null; in if it == null then null else ({function}) it")
        };
        let found = match self.eval_all(&function("outputs", path)) {
            Err(error) if nix::is_missing_attribute(&error) => {
                self.eval(path[0], &function("output", &path[1..]))
            }
            answer => answer,
        };
        match found {
            Err(error) if nix::is_missing_attribute(&error) => Ok(None),
            found => found.map(|value| Some(value).filter(|value| !value.is_null())),
        }
    }

    fn eval(&self, attribute: &str, apply: &str) -> Result<Value> {
        nix::eval(self.launcher, self.flake, attribute, apply, self.options, self.reporter)
    }

    /// The parts of the outputs, after `error` ended the evaluation of all; `None` where no part is at fault, but the
    /// flake, or where the user or a limit stopped Nix.
    pub fn parts(&self, error: &anyhow::Error) -> Option<Parts<'_>> {
        if nix::is_missing_attribute(error) {
            return Some(Parts { outputs: self, prefix: "" });
        }
        let is_flake_fine = || self.eval_all("_: true").is_ok();
        (nix::is_evaluation_failure(error) && is_flake_fine()).then_some(Parts { outputs: self, prefix: "." })
    }
}

/// Evaluates functions of one output after the other.
pub struct Parts<'a> {
    outputs: &'a Outputs<'a>,
    /// What stands before the name of an output: a dot keeps Nix from searching the packages for it, which may fail.
    /// Nix 2.18 does not know it.
    prefix: &'static str,
}

impl Parts<'_> {
    /// The Nix function `function` of a set of outputs, for each of the outputs `names` alone. Returns the answers, and
    /// what fails: the part of an output for one system, where the others do not.
    ///
    /// # Errors
    /// `Interrupted` if the user stops Nix; an evaluation that exceeds its limit.
    pub fn eval_each(&self, names: &[&str], function: &str) -> Result<(Vec<Value>, Vec<BrokenOutput>)> {
        let mut answers = Vec::new();
        let mut broken = Vec::new();
        for name in names {
            let whole = format!("{{ {name} = it; }}");
            let Some(error) = self.add(&mut answers, name, &whole, function)? else { continue };
            let systems = self.eval(name, &whole, &format!("outputs: (({HOSTS}) outputs).systems"));
            let systems = systems.ok().flatten().and_then(|found| Vec::<String>::deserialize(found).ok());
            let Some(systems) = systems.filter(|systems| !systems.is_empty()) else {
                broken.push(BrokenOutput { path: vec![(*name).to_owned()], error });
                continue;
            };
            for system in &systems {
                let quoted = nix::quote(system);
                let part = format!("{{ {name}.{quoted} = it.{quoted}; }}");
                if let Some(error) = self.add(&mut answers, name, &part, function)? {
                    broken.push(BrokenOutput { path: vec![(*name).to_owned(), system.clone()], error });
                }
            }
            let rest = format!("{{ {name} = builtins.removeAttrs it [ {} ]; }}", quoted(&systems));
            if let Some(error) = self.add(&mut answers, name, &rest, function)? {
                broken.push(BrokenOutput { path: vec![(*name).to_owned()], error });
            }
        }
        Ok((answers, broken))
    }

    /// Adds the answer for one `part` to `answers`, or returns why there is none.
    fn add(
        &self,
        answers: &mut Vec<Value>,
        name: &str,
        part: &str,
        function: &str,
    ) -> Result<Option<anyhow::Error>> {
        match self.eval(name, part, function) {
            Ok(answer) => answers.extend(answer),
            Err(error) if nix::is_evaluation_failure(&error) => return Ok(Some(error)),
            Err(error) => return Err(error),
        }
        Ok(None)
    }

    /// The Nix function `function` of the set `part`, in which `it` is the output `name`; `None` where the flake lacks
    /// that output.
    fn eval(&self, name: &str, part: &str, function: &str) -> Result<Option<Value>> {
        let attribute = format!("{}{name}", self.prefix);
        match self.outputs.eval(&attribute, &format!("it: ({function}) {part}")) {
            Err(error) if nix::is_missing_attribute(&error) => Ok(None),
            answer => answer.map(Some),
        }
    }
}

/// The Nix function `function` of the outputs without what is `broken`.
pub fn without(function: &str, broken: &[BrokenOutput]) -> String {
    if broken.is_empty() {
        return function.to_owned();
    }
    let whole = broken.iter().filter(|it| it.path.len() == 1).map(|it| it.path[0].clone());
    let mut outputs = format!("builtins.removeAttrs outputs [ {} ]", quoted(&whole.collect::<Vec<_>>()));
    for name in ["packages", "nixosConfigurations"] {
        let systems = broken.iter().filter(|it| it.path.len() > 1 && it.path[0] == name);
        let systems = systems.map(|it| it.path[1].clone()).collect::<Vec<_>>();
        if !systems.is_empty() {
            let rest =
                format!("{{ {name} = builtins.removeAttrs outputs.{name} [ {} ]; }}", quoted(&systems));
            outputs = format!("{outputs} // {rest}");
        }
    }
    format!("outputs: ({function}) ({outputs})")
}

/// `names` as strings of the Nix language, for a list.
fn quoted(names: &[String]) -> String {
    names.iter().map(|name| nix::quote(name)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_parts_are_removed_from_the_outputs() {
        let broken = |paths: &[&str]| {
            let path = |path: &&str| path.split('/').map(str::to_owned).collect();
            let broken = |path| BrokenOutput { path, error: anyhow::anyhow!("no") };
            paths.iter().map(path).map(broken).collect::<Vec<_>>()
        };
        for (paths, expected) in [
            (&[][..], "f"),
            (&["images"], r#"outputs: (f) (builtins.removeAttrs outputs [ "images" ])"#),
            (
                &["packages/a", "image", "packages/b"],
                "outputs: (f) (builtins.removeAttrs outputs [ \"image\" ] // { packages = builtins.removeAttrs \
                 outputs.packages [ \"a\" \"b\" ]; })",
            ),
        ] {
            assert_eq!(without("f", &broken(paths)), expected);
        }
    }
}
