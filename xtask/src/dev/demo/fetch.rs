//! Fills `inputs/`: resolves and downloads the packages, and unpacks the files that the image needs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::parts::{
    self, GUEST, GUEST_PARTS, KERNEL, KERNEL_META, KERNEL_SUITE, Names, Part, TOOLS, TOOLS_SUITE,
};
use crate::base::{Context, state};
use crate::failure;
use crate::setup::debian::{Arch, Archive, Package};

/// The sources of a staged folder. A folder with a manifest is complete.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    /// The fingerprint of the list of parts.
    parts: String,
    /// `NAME=VERSION` of every package.
    packages: Vec<String>,
}

/// The maximum size of a manifest, in bytes.
const MAX_MANIFEST_SIZE: u64 = 1 << 20;

/// Whether `dir` is complete and made from the current list of parts.
pub fn is_current(dir: &Path) -> bool {
    let text = state::read(&dir.join("manifest.json"), MAX_MANIFEST_SIZE).ok().flatten().unwrap_or_default();
    serde_json::from_slice::<Manifest>(&text).is_ok_and(|manifest| manifest.parts == fingerprint())
}

fn fingerprint() -> String {
    let text = format!("{KERNEL_SUITE} {KERNEL:?} {TOOLS_SUITE} {TOOLS:?} {GUEST:?} {GUEST_PARTS:?}");
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

/// The architecture of the demo.
const PI: Arch = Arch::Arm64;

/// Makes `inputs` in a temporary folder under `home`, and renames it when it is complete.
pub fn fetch(cx: &Context, home: &Path, inputs: &Path) -> Result<()> {
    let staging = StagingFolder::begin(cx, home, inputs)?;
    let kernel = staging.add_kernel()?;
    let tools = staging.add(&TOOLS.iter().collect::<Vec<_>>(), PI)?;
    let upstream = kernel.version.split('-').next().unwrap_or(&kernel.version);
    write(&staging.fresh.join("version"), upstream)?;
    staging.commit(std::iter::once(&kernel).chain(&tools))
}

/// Makes `dir` from the programs for `arch`; `finish` completes it before it is renamed.
pub fn fetch_tools(
    cx: &Context,
    home: &Path,
    dir: &Path,
    arch: Arch,
    finish: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let staging = StagingFolder::begin(cx, home, dir)?;
    let parts = TOOLS.iter().filter(|part| part.is_tool()).collect::<Vec<_>>();
    let packages = staging.add(&parts, arch)?;
    finish(&staging.fresh)?;
    staging.commit(&packages)
}

/// Makes `dir` as [`fetch`] does, with the packages of a guest in its folder `root`.
pub fn fetch_guest(cx: &Context, home: &Path, dir: &Path) -> Result<()> {
    let staging = StagingFolder::begin(cx, home, dir)?;
    let kernel = staging.add_kernel()?;
    let tools = staging.add(&TOOLS.iter().chain(GUEST_PARTS).collect::<Vec<_>>(), PI)?;
    let archive = Archive::open(cx, &home.join("apt"), TOOLS_SUITE, PI)?;
    archive.install(GUEST, &staging.fresh.join("root"))?;
    drop(archive);
    staging.commit(std::iter::once(&kernel).chain(&tools))
}

/// A folder that is filled under a temporary name and then renamed.
struct StagingFolder<'a> {
    cx: &'a Context,
    home: &'a Path,
    dir: &'a Path,
    /// The temporary folder that is filled.
    fresh: PathBuf,
    /// The folder in which packages are unpacked.
    work: PathBuf,
}

impl<'a> StagingFolder<'a> {
    fn begin(cx: &'a Context, home: &'a Path, dir: &'a Path) -> Result<Self> {
        let work = home.join("work");
        let fresh = dir.with_extension("new");
        remove(&work)?;
        remove(&fresh)?;
        fs::create_dir_all(&fresh).with_context(|| format!("creating {}", fresh.display()))?;
        Ok(Self { cx, home, dir, fresh, work })
    }

    /// Adds the kernel and returns its package.
    fn add_kernel(&self) -> Result<Package> {
        let archive = Archive::open(self.cx, &self.home.join("apt"), KERNEL_SUITE, PI)?;
        let found = archive.resolve(&[KERNEL_META])?;
        let (kernel, release) = parts::kernel_among(&found)
            .ok_or_else(|| failure!(Other, "{KERNEL_META} of {KERNEL_SUITE} depends on no kernel"))?;
        let parts = KERNEL.iter().collect::<Vec<_>>();
        self.unpack(&archive, std::slice::from_ref(kernel), &parts, Names { release, arch: PI })?;
        Ok(kernel.clone())
    }

    /// Adds `parts`, and returns their packages.
    fn add(&self, parts: &[&Part], arch: Arch) -> Result<Vec<Package>> {
        let archive = Archive::open(self.cx, &self.home.join("apt"), TOOLS_SUITE, arch)?;
        let names = parts::package_names(parts);
        let mut found = archive.resolve(&names)?;
        found.retain(|package| names.contains(&package.name.as_str()));
        self.unpack(&archive, &found, parts, Names { release: "", arch })?;
        Ok(found)
    }

    /// Downloads `packages` and copies the files of `parts` from them.
    fn unpack(
        &self,
        archive: &Archive,
        packages: &[Package],
        parts: &[&Part],
        names: Names<'_>,
    ) -> Result<()> {
        let root = self.work.join("root");
        for deb in archive.download(packages, &self.work.join("debs"))? {
            let parts_of_deb = parts.iter().filter(|part| part.is_of(&deb.package.name));
            // Two parts may include the same file.
            let unique = parts_of_deb.flat_map(|part| part.patterns(names)).collect::<BTreeSet<_>>();
            let patterns = unique.into_iter().collect::<Vec<_>>();
            deb.unpack_only(&self.cx.launcher, &root, &patterns)?;
        }
        parts.iter().try_for_each(|part| copy_part(part, names, &root, &self.fresh))
    }

    /// Writes the manifest and renames the folder to its final name.
    fn commit<'p>(self, packages: impl IntoIterator<Item = &'p Package>) -> Result<()> {
        let packages = packages.into_iter().map(Package::pinned).collect();
        let manifest = Manifest { parts: fingerprint(), packages };
        write(&self.fresh.join("manifest.json"), &serde_json::to_string_pretty(&manifest)?)?;
        remove(&self.work)?;
        remove(self.dir)?;
        fs::rename(&self.fresh, self.dir)
            .with_context(|| format!("renaming {} to {}", self.fresh.display(), self.dir.display()))
    }
}

/// Copies the files of `part` from the unpacked packages below `root` to `inputs`. Links become files.
fn copy_part(part: &Part, names: Names<'_>, root: &Path, inputs: &Path) -> Result<()> {
    let to = inputs.join(part.to);
    fs::create_dir_all(&to).with_context(|| format!("creating {}", to.display()))?;
    for (source, name) in part.sources(names) {
        let source = root.join(source);
        fs::copy(&source, to.join(name)).with_context(|| format!("copying {}", source.display()))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", dir.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_folder_of_the_current_list_is_current() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_current(dir.path()));
        for (parts, expected) in [("older".to_owned(), false), (fingerprint(), true)] {
            let manifest = Manifest { parts, packages: vec!["dash=1".into()] };
            write(&dir.path().join("manifest.json"), &serde_json::to_string(&manifest).unwrap()).unwrap();
            assert_eq!(is_current(dir.path()), expected);
        }
    }

    #[test]
    fn links_become_files() {
        let dir = tempfile::tempdir().unwrap();
        let libs = dir.path().join("root/usr/lib");
        fs::create_dir_all(&libs).unwrap();
        write(&libs.join("libx.so.1.2"), "code").unwrap();
        std::os::unix::fs::symlink("libx.so.1.2", libs.join("libx.so.1")).unwrap();
        let part = Part { package: "x", from: "usr/lib", files: &["libx.so.1"], to: "lib" };
        copy_part(&part, Names { release: "", arch: PI }, &dir.path().join("root"), &dir.path().join("in"))
            .unwrap();
        let copy = dir.path().join("in/lib/libx.so.1");
        assert!(!copy.is_symlink());
        assert_eq!(fs::read_to_string(copy).unwrap(), "code");
    }
}
