//! Fills staged folders: resolves and downloads Debian's packages, and unpacks the files that are needed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::parts::{
    self, GUEST_PACKAGES, GUEST_PARTS, KERNEL, KERNEL_META, KERNEL_SUITE, Part, Placeholders, TOOLS,
    TOOLS_SUITE,
};
use crate::base::{Context, state};
use crate::failure;
use crate::setup::debian::{Arch, Archive, Package};

/// The file `manifest.json` of a staged folder: what the folder was made from. A folder with a manifest is complete.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    /// The fingerprint of the lists of parts.
    parts: String,
    /// `NAME=VERSION` of every package.
    packages: Vec<String>,
}

/// The maximum size of a manifest, in bytes.
const MAX_MANIFEST_SIZE: u64 = 1 << 20;

/// Whether the staged folder `dir` is complete and made from the current lists of parts.
pub fn is_current(dir: &Path) -> bool {
    let text = state::read(&dir.join("manifest.json"), MAX_MANIFEST_SIZE).ok().flatten().unwrap_or_default();
    serde_json::from_slice::<Manifest>(&text).is_ok_and(|manifest| manifest.parts == fingerprint())
}

/// The fingerprint of the current lists of parts.
fn fingerprint() -> String {
    let text =
        format!("{KERNEL_SUITE} {KERNEL:?} {TOOLS_SUITE} {TOOLS:?} {GUEST_PACKAGES:?} {GUEST_PARTS:?}");
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

/// The architecture of the demo.
const DEMO_ARCH: Arch = Arch::Arm64;

/// Makes the folder `inputs` of the demo's flake. The folder is filled under a temporary name, and renamed when it is
/// complete; other temporary files are in `home`.
pub fn fetch_inputs(cx: &Context, home: &Path, inputs: &Path) -> Result<()> {
    let staging = StagingFolder::begin(cx, home, inputs)?;
    let kernel = staging.add_kernel()?;
    let tools = staging.add_parts(&TOOLS.iter().collect::<Vec<_>>(), DEMO_ARCH)?;
    let upstream = kernel.version.split('-').next().unwrap_or(&kernel.version);
    write(&staging.fresh.join("version"), upstream)?;
    staging.commit(std::iter::once(&kernel).chain(&tools))
}

/// Makes the folder `dir` of the assembler's programs for `arch`, as [`fetch_inputs`] does. `finish` completes the
/// temporary folder before it is renamed.
pub fn fetch_tools(
    cx: &Context,
    home: &Path,
    dir: &Path,
    arch: Arch,
    finish: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let staging = StagingFolder::begin(cx, home, dir)?;
    let parts = TOOLS.iter().filter(|part| part.is_tool()).collect::<Vec<_>>();
    let packages = staging.add_parts(&parts, arch)?;
    finish(&staging.fresh)?;
    staging.commit(&packages)
}

/// Makes the folder `dir` of a guest as [`fetch_inputs`] does, with the packages of the guest in its folder `root`.
pub fn fetch_guest(cx: &Context, home: &Path, dir: &Path) -> Result<()> {
    let staging = StagingFolder::begin(cx, home, dir)?;
    let kernel = staging.add_kernel()?;
    let tools = staging.add_parts(&TOOLS.iter().chain(GUEST_PARTS).collect::<Vec<_>>(), DEMO_ARCH)?;
    Archive::open(cx, &home.join("apt"), TOOLS_SUITE, DEMO_ARCH)?
        .install(GUEST_PACKAGES, &staging.fresh.join("root"))?;
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
    unpacking: PathBuf,
}

impl<'a> StagingFolder<'a> {
    /// Creates the empty temporary folder; removes what an interrupted run has left.
    fn begin(cx: &'a Context, home: &'a Path, dir: &'a Path) -> Result<Self> {
        let unpacking = home.join("work");
        let fresh = dir.with_extension("new");
        remove_if_present(&unpacking)?;
        remove_if_present(&fresh)?;
        fs::create_dir_all(&fresh).with_context(|| format!("creating {}", fresh.display()))?;
        Ok(Self { cx, home, dir, fresh, unpacking })
    }

    /// Adds the kernel and returns its package.
    fn add_kernel(&self) -> Result<Package> {
        let archive = Archive::open(self.cx, &self.home.join("apt"), KERNEL_SUITE, DEMO_ARCH)?;
        let packages = archive.resolve(&[KERNEL_META])?;
        let (kernel, release) = parts::kernel_among(&packages).ok_or_else(|| {
            failure!(Other, "the package {KERNEL_META} of {KERNEL_SUITE} depends on no kernel")
        })?;
        let parts = KERNEL.iter().collect::<Vec<_>>();
        self.unpack(
            &archive,
            std::slice::from_ref(kernel),
            &parts,
            Placeholders { release, arch: DEMO_ARCH },
        )?;
        Ok(kernel.clone())
    }

    /// Adds the files of `parts`, and returns the packages that they are from.
    fn add_parts(&self, parts: &[&Part], arch: Arch) -> Result<Vec<Package>> {
        let archive = Archive::open(self.cx, &self.home.join("apt"), TOOLS_SUITE, arch)?;
        let names = parts::package_names(parts);
        let mut packages = archive.resolve(&names)?;
        // Not their dependencies.
        packages.retain(|package| names.contains(&package.name.as_str()));
        self.unpack(&archive, &packages, parts, Placeholders { release: "", arch })?;
        Ok(packages)
    }

    /// Downloads `packages`, and copies the files of `parts` from them into the temporary folder.
    fn unpack(
        &self,
        archive: &Archive,
        packages: &[Package],
        parts: &[&Part],
        placeholders: Placeholders<'_>,
    ) -> Result<()> {
        let root = self.unpacking.join("root");
        for deb in archive.download(packages, &self.unpacking.join("debs"))? {
            let parts_of_deb = parts.iter().filter(|part| part.is_in_package(&deb.package.name));
            // Two parts may include the same file.
            let unique = parts_of_deb.flat_map(|part| part.patterns(placeholders)).collect::<BTreeSet<_>>();
            let patterns = unique.into_iter().collect::<Vec<_>>();
            deb.unpack_only(&self.cx.launcher, &root, &patterns)?;
        }
        parts.iter().try_for_each(|part| copy_part(part, placeholders, &root, &self.fresh))
    }

    /// Writes the manifest and renames the folder to its final name.
    fn commit<'p>(self, packages: impl IntoIterator<Item = &'p Package>) -> Result<()> {
        let packages = packages.into_iter().map(Package::pinned).collect();
        let manifest = Manifest { parts: fingerprint(), packages };
        write(&self.fresh.join("manifest.json"), &serde_json::to_string_pretty(&manifest)?)?;
        remove_if_present(&self.unpacking)?;
        remove_if_present(self.dir)?;
        fs::rename(&self.fresh, self.dir)
            .with_context(|| format!("renaming {} to {}", self.fresh.display(), self.dir.display()))
    }
}

/// Copies the files of `part` from the unpacked packages below `root` to the folder `dir`. Links become files.
fn copy_part(part: &Part, placeholders: Placeholders<'_>, root: &Path, dir: &Path) -> Result<()> {
    let to = dir.join(part.to);
    fs::create_dir_all(&to).with_context(|| format!("creating {}", to.display()))?;
    for (source, name) in part.sources(placeholders) {
        let source = root.join(source);
        fs::copy(&source, to.join(name)).with_context(|| format!("copying {}", source.display()))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

fn remove_if_present(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed.with_context(|| format!("removing {}", dir.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_current_if_its_manifest_has_the_current_fingerprint() {
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
        copy_part(
            &part,
            Placeholders { release: "", arch: DEMO_ARCH },
            &dir.path().join("root"),
            &dir.path().join("in"),
        )
        .unwrap();
        let copy = dir.path().join("in/lib/libx.so.1");
        assert!(!copy.is_symlink());
        assert_eq!(fs::read_to_string(copy).unwrap(), "code");
    }
}
