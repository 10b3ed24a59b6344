//! Building the image of a host.

use std::path::PathBuf;

use anyhow::Result;

use super::find::{self, Wanted};
use crate::bail;
use crate::base::failure::{ExitKind, kind};
use crate::base::{Context, HostName, ImageSource, checks, parallel};
use crate::nix;
use crate::nix::emulation;
use crate::nix::flake::{HostImage, HostLayout};
use crate::nix::{BuildPlan, Unplanned};

/// The built image of a host.
#[derive(Debug)]
pub struct Built {
    pub file: PathBuf,
    /// The folders in which the host of the image reads its key; `None` where its configuration is unknown.
    pub layout: Option<HostLayout>,
}

/// Finds the image of `source` in the flake, builds it, and finds the file of the image in the output: where the output
/// has several, `file` names one. Nix gets `nix_args` unchanged.
///
/// # Errors
/// Those of [`HostImage::find`], of the build and of [`find::find`]; `Refused` where this machine cannot build it.
pub fn build(cx: &Context, source: &ImageSource, file: Option<&str>, nix_args: &[String]) -> Result<Built> {
    build_checked(cx, source, file, nix_args, |_| Ok(()))
}

/// The images that a command builds together.
#[derive(Debug)]
pub enum Batch {
    /// The user names them: each must be there.
    Named(Vec<ImageSource>),
    /// Those of all these hosts that have one.
    OfHosts(Vec<HostName>),
}

impl Batch {
    /// The hosts; of an image that the user names by an attribute without a host, that attribute.
    pub fn names(&self) -> Vec<HostName> {
        match self {
            Self::Named(sources) => sources.iter().map(ImageSource::name).collect(),
            Self::OfHosts(hosts) => hosts.clone(),
        }
    }

    /// Finds the images in the flake, of which several are evaluated at once. Returns one item for each, in their
    /// order; `None` for a host without an image.
    fn find(&self, cx: &Context, nix_args: &[String]) -> Result<Vec<Result<Option<HostImage>>>> {
        let options = nix::eval_args(nix_args);
        let limit = parallel::max_evaluations();
        let find = |source: &ImageSource| {
            let image = HostImage::find(cx, source, &options)?;
            image.remark(source).into_iter().for_each(|text| cx.note(text));
            Ok(Some(image))
        };
        let find_of_host = |host: &HostName| HostImage::find_of_host(cx, host, &options);
        cx.in_phase("evaluate", || {
            Ok(match self {
                Self::Named(sources) => parallel::map(limit, sources, find),
                Self::OfHosts(hosts) => parallel::map(limit, hosts, find_of_host),
            })
        })
    }
}

/// Builds the images of `batch` in one run of Nix, which continues where one fails. Returns one item for each, in their
/// order; `None` for a host without an image.
///
/// # Errors
/// That of a machine without Nix, and before a build those of all hosts and images that the flake does not have.
pub fn build_all(cx: &Context, batch: &Batch, nix_args: &[String]) -> Result<Vec<Result<Option<Built>>>> {
    let version = nix::require(&cx.launcher)?;
    let found = refuse_unknown(batch.find(cx, nix_args)?)?.into_iter().map(|found| {
        let Some(image) = found? else { return Ok(None) };
        require_buildable(cx, version, &image, nix_args)?;
        Ok(Some(image))
    });
    let found = found.collect::<Vec<Result<Option<HostImage>>>>();
    let images = found.iter().flatten().flatten();
    let installables = images.map(|image| image.installable(cx)).collect::<Vec<_>>();
    let built = if installables.is_empty() { vec![] } else { nix::build_each(cx, &installables, nix_args) };
    let mut built = built.into_iter();
    let files = found.into_iter().map(|found| {
        let Some(image) = found? else { return Ok(None) };
        let built = built.next().unwrap_or_else(|| bail!(Other, "nix did not build {image}"));
        find_file(cx, image, built, None).map(Some)
    });
    Ok(files.collect())
}

/// Returns `found`, unless some of it are mistakes of the user.
///
/// # Errors
/// These mistakes, of the kind `Usage`.
fn refuse_unknown<T>(found: Vec<Result<T>>) -> Result<Vec<Result<T>>> {
    let is_mistake =
        |found: &Result<T>| found.as_ref().err().is_some_and(|error| kind(error) == ExitKind::Usage);
    if !found.iter().any(is_mistake) {
        return Ok(found);
    }
    checks::all(found.into_iter().filter(is_mistake)).map(|_| Vec::new())
}

/// What a build of the images of `batch` would do, and the images that cannot be evaluated.
///
/// # Errors
/// Those of all hosts and images that the flake does not have, and those of [`nix::plan`].
pub fn plan(cx: &Context, batch: &Batch, nix_args: &[String]) -> Result<(BuildPlan, Vec<Unplanned>)> {
    nix::require(&cx.launcher)?;
    let mut installables = Vec::new();
    let mut unplanned = Vec::new();
    for (host, found) in batch.names().into_iter().zip(refuse_unknown(batch.find(cx, nix_args)?)?) {
        match found {
            Ok(image) => installables.extend(image.map(|image| image.installable(cx))),
            Err(error) => unplanned.push(Unplanned { host, error }),
        }
    }
    let plan = cx.in_phase("plan", || nix::plan(cx, &installables, nix_args))?;
    Ok((plan, unplanned))
}

/// As [`build`], once `check` accepts the layout of the host: a refusal comes before a build of minutes.
///
/// # Errors
/// Those of [`build`] and of `check`.
pub fn build_checked(
    cx: &Context,
    source: &ImageSource,
    file: Option<&str>,
    nix_args: &[String],
    check: impl FnOnce(Option<&HostLayout>) -> Result<()>,
) -> Result<Built> {
    let version = nix::require(&cx.launcher)?;
    let image = cx.in_phase("evaluate", || HostImage::find(cx, source, &nix::eval_args(nix_args)))?;
    image.remark(source).into_iter().for_each(|text| cx.note(text));
    check(image.layout.as_ref())?;
    build_found(cx, version, image, file, nix_args)
}

/// As [`build_checked`], for the images of `sources`, which one run of Nix builds: all refusals come before it. `check`
/// gets the place of the image in `sources`, and the layout of its host. Returns the images in the order of `sources`.
///
/// # Errors
/// As those of [`build_checked`]; where several images fail, one error for all of them.
pub fn build_all_checked(
    cx: &Context,
    sources: Vec<ImageSource>,
    file: Option<&str>,
    nix_args: &[String],
    mut check: impl FnMut(usize, Option<&HostLayout>) -> Result<()>,
) -> Result<Vec<Built>> {
    let version = nix::require(&cx.launcher)?;
    let found = checks::all(Batch::Named(sources).find(cx, nix_args)?)?;
    let images = found.into_iter().flatten().collect::<Vec<_>>();
    checks::all(images.iter().enumerate().map(|(index, image)| {
        check(index, image.layout.as_ref())?;
        require_buildable(cx, version, image, nix_args)
    }))?;
    let installables = images.iter().map(|image| image.installable(cx)).collect::<Vec<_>>();
    let built = nix::build_each(cx, &installables, nix_args);
    let files = images.into_iter().zip(built).map(|(image, built)| find_file(cx, image, built, file));
    checks::all_of(files, "images cannot be built")
}

/// Builds `image`, and finds its file in the output.
fn build_found(
    cx: &Context,
    version: nix::Version,
    image: HostImage,
    file: Option<&str>,
    nix_args: &[String],
) -> Result<Built> {
    require_buildable(cx, version, &image, nix_args)?;
    let built = nix::build(cx, &image.installable(cx), nix_args);
    find_file(cx, image, built, file)
}

/// Refuses an `image` that this machine cannot build, unless there is nothing to build.
fn require_buildable(
    cx: &Context,
    version: nix::Version,
    image: &HostImage,
    nix_args: &[String],
) -> Result<()> {
    let Some(system) = &image.system else { return Ok(()) };
    let builds_nothing = || nix::builds_nothing(&cx.launcher, &image.installable(cx), nix_args);
    emulation::require_unless(cx, version, system, nix_args, builds_nothing)
}

/// Finds the file of `image` in what was `built`: where the output has several, `file` names one.
fn find_file(cx: &Context, image: HostImage, built: Result<nix::Built>, file: Option<&str>) -> Result<Built> {
    let built = built.map_err(|error| nix::with_untracked_hint(&cx.launcher, &cx.flake, error))?;
    let file = find::find(&built.out, Wanted { declared: image.file.as_deref(), chosen: file })?;
    Ok(Built { file, layout: image.layout })
}
