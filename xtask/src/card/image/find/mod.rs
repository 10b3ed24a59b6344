//! Finding the image in the output of a build.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};

use crate::base::bounded::{self, Links};
use crate::base::failure::ExitKind;
use crate::{bail, failure};

/// The endings of image files.
const ENDINGS: &[&str] = &[
    ".img.zst", ".img.xz", ".img.gz", ".img.bz2", ".img", ".raw.zst", ".raw.xz", ".raw.gz", ".raw.bz2",
    ".raw",
];
/// The folder in which NixOS puts images of SD cards.
const SD_IMAGE: &str = "sd-image";
/// The list of what a build made, for Hydra: `TYPE SUBTYPE PATH` in each line.
const PRODUCTS: &str = "nix-support/hydra-build-products";
/// The most bytes that are read of that list.
const MAX_PRODUCTS: u64 = 64 << 10;

/// Which of several files of an output is the image.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// The path in the output that the derivation names.
    pub declared: Option<&'a str>,
    /// The file that the user names, by its path in the output or its name alone.
    pub chosen: Option<&'a str>,
}

/// The image in `out`, the output of a build: at the declared path, else in the list for Hydra, else in `sd-image`,
/// else in the folder itself; `out` may be the image too. It may be a link to another path in the store, and to nothing
/// outside.
///
/// # Errors
/// No image, or more than one. [`ExitKind::Refused`] where the output leads out of the store, as a builder can make a
/// link to any file of this machine, or where the image is not a regular file.
pub fn find(out: &Path, wanted: Wanted) -> Result<PathBuf> {
    let images = images(out, wanted)?;
    let mut files = BTreeSet::new();
    for image in &images {
        files.insert(require_regular(within_store(out, image)?)?);
    }
    let names = images.iter().map(|image| name_in(out, image)).collect::<Vec<_>>();
    match (files.pop_first(), files.is_empty()) {
        (Some(image), true) => Ok(image),
        (Some(_), false) => bail!(
            Usage, "there are {} images in {}: {}", files.len() + 1, out.display(), names.join(", ");
            hint: "choose one with --file NAME"
        ),
        (None, _) => Err(no_image_error(out, wanted)),
    }
}

/// The images at the first place that has any.
fn images(out: &Path, wanted: Wanted) -> Result<Vec<PathBuf>> {
    if let Some(chosen) = wanted.chosen {
        let all = all_images(out)?;
        let is_chosen = |image: &PathBuf| {
            name_in(out, image) == chosen || image.file_name().is_some_and(|name| *name == *chosen)
        };
        return Ok(all.into_iter().filter(is_chosen).collect());
    }
    let declared = wanted.declared.map(|path| out.join(relative(path))).filter(|path| path.is_file());
    if let Some(declared) = declared {
        return Ok(vec![declared]);
    }
    for place in [products(out)?, in_folder(out, &out.join(SD_IMAGE))?] {
        if !place.is_empty() {
            return Ok(place);
        }
    }
    if is_image(out) && !out.is_dir() {
        return Ok(vec![out.to_owned()]);
    }
    in_folder(out, out)
}

/// All images of the output, at all places.
fn all_images(out: &Path) -> Result<Vec<PathBuf>> {
    let places = [products(out)?, in_folder(out, &out.join(SD_IMAGE))?, in_folder(out, out)?];
    Ok(places.into_iter().flatten().collect::<BTreeSet<_>>().into_iter().collect())
}

/// The images in the list for Hydra.
fn products(out: &Path) -> Result<Vec<PathBuf>> {
    let list = out.join(PRODUCTS);
    if list.symlink_metadata().is_err() {
        return Ok(Vec::new());
    }
    let text = bounded::read(&within_store(out, &list)?, MAX_PRODUCTS, Links::Refuse)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let paths = text.lines().filter_map(|line| line.splitn(3, ' ').nth(2));
    let paths = paths.map(|path| path.trim().trim_matches('"')).map(|path| out.join(path));
    Ok(paths.filter(|path| path.starts_with(out) && is_image(path)).collect())
}

/// The images in `folder`, which may be missing.
fn in_folder(out: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    if folder.symlink_metadata().is_err() || folder.is_file() {
        return Ok(Vec::new());
    }
    within_store(out, folder)?;
    let entries =
        fs::read_dir(folder).with_context(|| format!("listing the images in {}", folder.display()))?;
    let mut files = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| is_image(file))
        .collect::<Vec<_>>();
    files.sort_unstable();
    Ok(files)
}

fn no_image_error(out: &Path, wanted: Wanted) -> anyhow::Error {
    let found = all_images(out).unwrap_or_default();
    let names = found.iter().map(|image| name_in(out, image)).collect::<Vec<_>>().join(", ");
    match wanted.chosen {
        Some(chosen) if names.is_empty() => {
            failure!(Usage, "there is no image `{chosen}` in {}, and no other", out.display())
        }
        Some(chosen) => {
            failure!(Usage, "there is no image `{chosen}` in {}", out.display(); hint: "choose one of: {names}")
        }
        None => failure!(
            Other,
            "the build made no image: {} has no file that ends in .img or .raw, compressed or not",
            out.display()
        ),
    }
}

/// `path` without a root and without `..`.
fn relative(path: &str) -> PathBuf {
    Path::new(path).components().filter(|part| matches!(part, Component::Normal(_))).collect()
}

/// The name of `image` for the user: its path in the output.
fn name_in(out: &Path, image: &Path) -> String {
    let inside = image.strip_prefix(out).ok().filter(|path| !path.as_os_str().is_empty());
    inside
        .map_or_else(|| image.file_name().unwrap_or_default().into(), Path::to_path_buf)
        .display()
        .to_string()
}

/// `path` without links; an error where it leads out of the store that contains `out`.
fn within_store(out: &Path, path: &Path) -> Result<PathBuf> {
    let store =
        out.parent().unwrap_or(out).canonicalize().with_context(|| format!("finding {}", out.display()))?;
    let leads_out = |place: &Path| {
        let text = format!(
            "the output {} leads out of the store: {} is {}",
            out.display(),
            path.display(),
            place.display()
        );
        ExitKind::Refused.error(text)
    };
    match path.canonicalize() {
        Ok(place) if place != store && place.starts_with(&store) => Ok(place),
        Ok(place) => Err(leads_out(&place)),
        Err(_) => Err(leads_out(Path::new("a link to nowhere"))),
    }
}

fn require_regular(image: PathBuf) -> Result<PathBuf> {
    let metadata =
        image.symlink_metadata().with_context(|| format!("reading the metadata of {}", image.display()))?;
    if metadata.is_file() {
        return Ok(image);
    }
    bail!(Refused, "the build made no SD image: {} is not a regular file", image.display())
}

fn is_image(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}
