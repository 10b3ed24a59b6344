//! Finding the image in the output of a build.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};

use crate::base::bounded::{self, Links};
use crate::nix::flake::iso_error;
use crate::{bail, failure};

/// The endings of image files.
const ENDINGS: &[&str] = &[
    ".img.zst", ".img.xz", ".img.gz", ".img.bz2", ".img", ".raw.zst", ".raw.xz", ".raw.gz", ".raw.bz2",
    ".raw",
];
/// The endings of images for PCs.
const ISO_ENDINGS: &[&str] = &[".iso", ".iso.zst", ".iso.xz", ".iso.gz", ".iso.bz2"];
/// The folder in which NixOS puts images of SD cards.
const SD_IMAGE: &str = "sd-image";
/// The list of the files that a build made, for Hydra: `TYPE SUBTYPE PATH` in each line.
const PRODUCTS: &str = "nix-support/hydra-build-products";
/// The size of the largest such list that is read, in bytes.
const MAX_PRODUCTS: u64 = 64 << 10;

/// The file of an output that is wanted as the image, where there are several.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// The path in the output that the derivation declares.
    pub declared: Option<&'a str>,
    /// The file that the user names, by its path, its path in the output or its name alone; an output that is the
    /// image itself also by its name without the hash. The file may have any ending but that of an ISO image.
    pub chosen: Option<&'a str>,
}

/// Finds the image in `out`, the output of a build: the chosen one; else that at the declared path, in the list for
/// Hydra, in the folder `sd-image`, or `out` itself, a file or a folder with the image. The image may be a link to
/// another path in the store, but not out of the store.
///
/// # Errors
/// No image, or more than one. `Refused` where the output leads out of the store, because a builder can make
/// a link to any file of this machine, or where the image is not a regular file.
pub fn find(out: &Path, wanted: Wanted) -> Result<PathBuf> {
    // Several names of one file, by links of any kind, are one image.
    let mut ids = BTreeSet::new();
    let mut names = Vec::new();
    let mut found = None;
    for image in candidates(out, wanted)? {
        let file = require_regular(resolve_in_store(out, &image)?)?;
        let metadata = file.metadata().with_context(|| format!("reading {}", file.display()))?;
        if ids.insert((metadata.dev(), metadata.ino())) {
            names.push(image);
            found = found.or(Some(file));
        }
    }
    if names.len() > 1 {
        bail!(
            Usage, "there are several images in {}: {}", out.display(), join_names(out, &names);
            hint: "choose one with --file NAME"
        );
    }
    found.ok_or_else(|| no_image_error(out, wanted))
}

/// The images among which [`find`] decides: the chosen ones, else all at the first place that has any.
fn candidates(out: &Path, wanted: Wanted) -> Result<Vec<PathBuf>> {
    if let Some(chosen) = wanted.chosen {
        let mut images = all_images(out)?;
        images.retain(|image| has_name(out, image, chosen));
        if images.is_empty() {
            images.extend(file_of_any_ending(out, chosen));
        }
        return Ok(images);
    }
    if let Some(declared) = wanted.declared {
        let image = out.join(normal_parts(Path::new(declared)));
        if image.is_file() {
            return Ok(vec![image]);
        }
    }
    for images in [listed_images(out)?, images_in_folder(out, &out.join(SD_IMAGE))?] {
        if !images.is_empty() {
            return Ok(images);
        }
    }
    if is_image_itself(out) {
        return Ok(vec![out.to_owned()]);
    }
    images_in_folder(out, out)
}

/// The file that the user calls `name`, whatever its ending: the output itself, or a file at the root of the output or
/// in its folder `sd-image`.
fn file_of_any_ending(out: &Path, name: &str) -> Option<PathBuf> {
    let path = Path::new(name);
    let mut files = Vec::new();
    if has_name(out, out, name) {
        files.push(out.to_owned());
    }
    // A path outside of the output is none in it.
    if let Some(inner) = path.strip_prefix(out).ok().or(path.is_relative().then_some(path)) {
        let inner = normal_parts(inner);
        files.extend([out.join(&inner), out.join(SD_IMAGE).join(inner)]);
    }
    files.into_iter().find(|file| file.is_file() && !has_ending(file, ISO_ENDINGS))
}

/// The images in the list for Hydra, in the folder `sd-image` and in the output folder, sorted and without duplicates,
/// or the output itself.
fn all_images(out: &Path) -> Result<Vec<PathBuf>> {
    if is_image_itself(out) {
        return Ok(vec![out.to_owned()]);
    }
    let in_sd_image = images_in_folder(out, &out.join(SD_IMAGE))?;
    let mut images = [listed_images(out)?, in_sd_image, images_in_folder(out, out)?].concat();
    images.sort_unstable();
    images.dedup();
    Ok(images)
}

/// The images in the list for Hydra that lie in the output; none where the output has no list.
fn listed_images(out: &Path) -> Result<Vec<PathBuf>> {
    let list = out.join(PRODUCTS);
    if list.symlink_metadata().is_err() {
        return Ok(Vec::new());
    }
    let bytes = bounded::read(&resolve_in_store(out, &list)?, MAX_PRODUCTS, Links::Refuse)?;
    let text = String::from_utf8_lossy(&bytes);
    let paths = text.lines().filter_map(|line| line.splitn(3, ' ').nth(2));
    let images = paths.map(|path| out.join(path.trim().trim_matches('"')));
    Ok(images.filter(|image| image.starts_with(out) && has_image_ending(image)).collect())
}

/// The images in `folder` of the output `out`, sorted; none where the folder is missing or is a file.
fn images_in_folder(out: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    if folder.symlink_metadata().is_err() || folder.is_file() {
        return Ok(Vec::new());
    }
    resolve_in_store(out, folder)?;
    let entries =
        fs::read_dir(folder).with_context(|| format!("listing the images in {}", folder.display()))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut images = paths.filter(|path| has_image_ending(path)).collect::<Vec<_>>();
    images.sort_unstable();
    Ok(images)
}

/// An ISO image: the output itself, a file in it, or a file in its folder `iso`, where NixOS puts it.
fn iso(out: &Path) -> Option<PathBuf> {
    let listed =
        |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files = std::iter::once(out.to_owned())
        .chain(listed(out))
        .chain(listed(&out.join("iso")))
        .collect::<Vec<_>>();
    files.sort_unstable();
    files.into_iter().find(|file| has_ending(file, ISO_ENDINGS) && !file.is_dir())
}

/// The error for an output without an image, or without the chosen one.
fn no_image_error(out: &Path, wanted: Wanted) -> anyhow::Error {
    if let (None, Some(iso)) = (wanted.chosen, iso(out)) {
        return iso_error(&iso.display().to_string());
    }
    let names = join_names(out, &all_images(out).unwrap_or_default());
    match wanted.chosen {
        Some(chosen) if names.is_empty() => {
            failure!(Usage, "there is no image `{chosen}` in {}, and no other image", out.display())
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

/// The names in `path`, without a root and without `..`.
fn normal_parts(path: &Path) -> PathBuf {
    path.components().filter(|part| matches!(part, Component::Normal(_))).collect()
}

/// The name of `image` for the user: its path in the output, or its file name where `image` is the output itself.
fn name_in_output(out: &Path, image: &Path) -> String {
    match image.strip_prefix(out) {
        Ok(path) if !path.as_os_str().is_empty() => path.display().to_string(),
        _ => image.file_name().unwrap_or_default().display().to_string(),
    }
}

/// Whether the user may call `image` by `name`: its path, also without links, its path in the output, its file name, or
/// where `image` is the output itself, its file name without the hash.
fn has_name(out: &Path, image: &Path, name: &str) -> bool {
    let file_name = image.file_name().unwrap_or_default().to_string_lossy();
    let without_hash = file_name.split_once('-').map(|(_hash, rest)| rest);
    let path = Path::new(name);
    let is_path = image == path || image.canonicalize().is_ok_and(|file| file == path);
    is_path
        || name_in_output(out, image) == name
        || file_name == name
        || image == out && without_hash == Some(name)
}

/// The names of `images` for the user, in one line.
fn join_names(out: &Path, images: &[PathBuf]) -> String {
    images.iter().map(|image| name_in_output(out, image)).collect::<Vec<_>>().join(", ")
}

/// Returns `path` without links, and fails where `path` leads out of the store that contains `out`.
fn resolve_in_store(out: &Path, path: &Path) -> Result<PathBuf> {
    let store =
        out.parent().unwrap_or(out).canonicalize().with_context(|| format!("finding {}", out.display()))?;
    match path.canonicalize() {
        Ok(target) if target != store && target.starts_with(&store) => Ok(target),
        Ok(target) => Err(outside_store_error(out, path, &target)),
        Err(error) => Err(missing_file_error(out, path, &error)),
    }
}

/// The error for a `path` of the output `out` that cannot be resolved: a link to nothing, or a file that is missing,
/// although the list for Hydra names it.
fn missing_file_error(out: &Path, path: &Path, error: &std::io::Error) -> anyhow::Error {
    let shown = path.display();
    match path.read_link() {
        Ok(target) => failure!(
            Refused,
            "the output {} is incomplete: {shown} is a link to {}: {error}",
            out.display(),
            target.display()
        ),
        Err(_) => failure!(
            Refused,
            "the output {} is incomplete: its {PRODUCTS} names {shown}: {error}",
            out.display()
        ),
    }
}

/// The error for a `path` of the output `out` that leads to `target`, outside the store.
fn outside_store_error(out: &Path, path: &Path, target: &Path) -> anyhow::Error {
    failure!(
        Refused,
        "the output {} leads out of the store: {} leads to {}",
        out.display(),
        path.display(),
        target.display()
    )
}

/// Returns `image` where it is a regular file, else fails.
fn require_regular(image: PathBuf) -> Result<PathBuf> {
    let metadata =
        image.symlink_metadata().with_context(|| format!("reading the metadata of {}", image.display()))?;
    if metadata.is_file() {
        return Ok(image);
    }
    bail!(Refused, "the build made no SD image: {} is not a regular file", image.display())
}

/// Whether the output `out` is an image file, not a folder.
fn is_image_itself(out: &Path) -> bool {
    has_image_ending(out) && !out.is_dir()
}

/// Whether the name of `file` has an ending of image files.
fn has_image_ending(file: &Path) -> bool {
    has_ending(file, ENDINGS)
}

/// Whether the name of `file` has one of the `endings`, in lower or upper case.
fn has_ending(file: &Path, endings: &[&str]) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    endings.iter().any(|ending| name.ends_with(ending))
}
