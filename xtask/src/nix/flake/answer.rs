//! What `hosts.nix` answers to the question for the image of a host.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::HOSTS;
use super::attribute_path::attribute_path;
use super::host_image::HostImage;
use super::names;
use super::outputs::{BrokenOutput, Outputs, without};
use crate::base::failure::Reason;
use crate::base::{Context, HostName, Reporter};
use crate::nix::{self, EvalCache};

/// The outputs that can have images, in the order in which a Nix that cannot evaluate all at once is asked.
const OUTPUTS: &[&str] = &["packages", "images", "image", "nixosConfigurations"];

/// What `hosts.nix` found.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    pub images: Vec<HostImage>,
    /// The attribute paths of images that are no images of disks.
    pub isos: Vec<Vec<String>>,
    /// The attribute paths of images that throw.
    pub thrown: Vec<Vec<String>>,
    /// What the first of these throws where there is no image, or the error that ended the evaluation.
    pub failure: Option<Reason>,
    pub is_configured: bool,
    /// The attribute paths of packages with the name of the host.
    pub packages: Vec<Vec<String>>,
}

/// The Nix function from the outputs of a flake to the image of `host`.
pub fn function(host: &HostName) -> String {
    let here = nix::quote(&nix::this_system());
    format!("outputs: (({HOSTS}) outputs).imageOf {{ host = {}; here = {here}; }}", nix::quote(host))
}

impl Answer {
    /// Looks for the image of `host`, in a flake of which the outputs `broken` cannot be evaluated. Takes the answer of
    /// an earlier evaluation of the same flake if `options` allow a cached result and the derivation that the earlier
    /// evaluation found, if it found one, still exists.
    pub fn of_host(
        cx: &Context,
        host: &HostName,
        broken: &[BrokenOutput],
        options: &[String],
    ) -> Result<Self> {
        let function = function(host);
        let evaluate = |reporter: &dyn Reporter| {
            let outputs = Outputs { launcher: &cx.launcher, flake: &cx.flake, options, reporter };
            match Self::evaluate(&outputs, &function, broken) {
                Err(error) if nix::is_fault_of_flake(&error) => Self::of_failure(&error).to_value(),
                answer => answer?.with_failure(&outputs).to_value(),
            }
        };
        let is_valid = |answer: &Value| {
            let derivation = answer["images"][0]["derivation"].as_str();
            derivation.is_none_or(|path| std::path::Path::new(path).exists())
        };
        let reporter = cx.reporter.as_ref();
        let answer = if nix::is_cacheable(options) {
            let cache = EvalCache::new(&cx.state);
            cache.get_or_evaluate(&cx.launcher, &cx.flake, &function, is_valid, reporter, evaluate)
        } else {
            evaluate(reporter)
        };
        Self::parse(answer?, host)
    }

    pub fn parse(answer: Value, host: &str) -> Result<Self> {
        Self::deserialize(answer).with_context(|| format!("reading the image of {host}"))
    }

    /// Calls `function` on all outputs but the `broken` ones. Where Nix fails on an output that nobody knew to be
    /// broken, calls `function` again without all outputs that are, and warns of them. For Nix 2.18, which cannot
    /// evaluate all outputs at once, calls `function` on one output after the other.
    fn evaluate(outputs: &Outputs, function: &str, broken: &[BrokenOutput]) -> Result<Self> {
        let parse = |answer: Value| Self::deserialize(answer).context("reading the image");
        let error = match outputs.eval_all(&without(function, broken)) {
            Ok(answer) => return parse(answer),
            Err(error) => error,
        };
        let Some(parts) = outputs.parts(&error).filter(|_| broken.is_empty()) else { return Err(error) };
        if nix::is_missing_attribute(&error) {
            // Nix 2.18 cannot evaluate all outputs at once.
            let (answers, broken) = parts.eval_each(OUTPUTS, function)?;
            return Self::first_of(answers.into_iter().map(parse).collect::<Result<_>>()?, broken);
        }
        let (evaluated, broken) = parts.eval_each(OUTPUTS, &names::names_function())?;
        // Where no output evaluates, as without a network, the flake is at fault, and one error says so.
        if broken.is_empty() || evaluated.is_empty() {
            return Err(error);
        }
        let answer = outputs.eval_all(&without(function, &broken))?;
        for output in &broken {
            outputs.reporter.warn_once(&output.warning());
        }
        parse(answer)
    }

    /// Joins the `answers` for single outputs: the images are those of the first output that has any.
    ///
    /// # Errors
    /// That of the first `broken` output where no other has an image.
    fn first_of(answers: Vec<Self>, broken: Vec<BrokenOutput>) -> Result<Self> {
        let mut joined = Self::default();
        for answer in answers {
            if joined.images.is_empty() {
                joined.images = answer.images;
            }
            joined.isos.extend(answer.isos);
            joined.thrown.extend(answer.thrown);
            joined.packages.extend(answer.packages);
            joined.is_configured |= answer.is_configured;
        }
        match broken.into_iter().next() {
            Some(broken) if joined.images.is_empty() => Err(broken.error),
            _ => Ok(joined),
        }
    }

    /// The answer with what the image throws, if that is why there is none.
    fn with_failure(mut self, outputs: &Outputs) -> Self {
        if self.images.is_empty()
            && let Some(path) = self.thrown.first()
        {
            let thrown = outputs.eval_at(path, "image: image.drvPath").err();
            self.failure = thrown.map(|error| {
                let flake = outputs.flake.to_string();
                let attribute = format!("{flake}#{}", attribute_path(path));
                let message = format!("{error:#}").replacen(&flake, &attribute, 1);
                Reason { message, ..Reason::of_error(&error) }
            });
        }
        self
    }

    /// The answer for a host whose evaluation ends with `error`.
    fn of_failure(error: &anyhow::Error) -> Self {
        Self { failure: Some(Reason::of_error(error)), ..Self::default() }
    }

    fn to_value(&self) -> Result<Value> {
        serde_json::to_value(self).context("keeping the image")
    }

    /// Whether the answer shows that the flake has the host or an image of that name, or has the failure that keeps it
    /// from showing this.
    pub fn names_host(&self) -> bool {
        self.is_configured
            || self.failure.is_some()
            || !(self.images.is_empty() && self.isos.is_empty() && self.thrown.is_empty())
    }
}
