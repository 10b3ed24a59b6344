//! Building the image of a host.

use std::path::PathBuf;

use anyhow::Result;

use super::find::{self, Wanted};
use crate::base::{Context, HostName, ImageSource};
use crate::nix;
use crate::nix::BuildPlan;
use crate::nix::emulation;
use crate::nix::flake::{HostImage, HostLayout};

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

/// What a build of the image of `source` would do.
///
/// # Errors
/// Those of [`HostImage::find`], and those of [`nix::plan`].
pub fn plan(cx: &Context, source: &ImageSource, nix_args: &[String]) -> Result<BuildPlan> {
    nix::require(&cx.launcher)?;
    let image = cx.in_phase("evaluate", || HostImage::find(cx, source, &nix::eval_args(nix_args)))?;
    image.remark(source).into_iter().for_each(|text| cx.note(text));
    cx.in_phase("plan", || nix::plan(cx, &[image.installable(cx)], nix_args))
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

/// Builds the image of `host`; `None` for a host without an image.
///
/// # Errors
/// Those of [`HostImage::find_of_host`] and of [`build`].
pub fn build_of_host(cx: &Context, host: &HostName, nix_args: &[String]) -> Result<Option<Built>> {
    let version = nix::require(&cx.launcher)?;
    let found = cx.in_phase("evaluate", || HostImage::find_of_host(cx, host, &nix::eval_args(nix_args)))?;
    found.map(|image| build_found(cx, version, image, None, nix_args)).transpose()
}

/// Builds `image`, and finds its file in the output.
fn build_found(
    cx: &Context,
    version: nix::Version,
    image: HostImage,
    file: Option<&str>,
    nix_args: &[String],
) -> Result<Built> {
    let installable = image.installable(cx);
    if let Some(system) = &image.system {
        let builds_nothing = || nix::builds_nothing(&cx.launcher, &installable, nix_args);
        emulation::require_unless(cx, version, system, nix_args, builds_nothing)?;
    }
    let built = nix::build(cx, &installable, nix_args);
    let built = built.map_err(|error| nix::with_untracked_hint(&cx.launcher, &cx.flake, error))?;
    let file = find::find(&built.out, Wanted { declared: image.file.as_deref(), chosen: file })?;
    Ok(Built { file, layout: image.layout })
}
