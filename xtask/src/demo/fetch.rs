//! Fills `inputs/`: finds the packages, downloads them, and takes out of them what the image needs.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::parts::{self, KERNEL, KERNEL_META, KERNEL_SUITE, Part, TOOLS, TOOLS_SUITE};
use crate::context::Context;
use crate::debian::{Archive, Package};
use crate::failure::Kind;

/// What `inputs/` was made of. It stands for a complete folder.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    /// Changes with the list of parts.
    parts: String,
    /// `NAME=VERSION` of every package.
    packages: Vec<String>,
}

/// Whether `inputs` is complete and of the current list of parts.
pub fn is_current(inputs: &Path) -> bool {
    let text = fs::read(inputs.join("manifest.json")).unwrap_or_default();
    serde_json::from_slice::<Manifest>(&text).is_ok_and(|manifest| manifest.parts == fingerprint())
}

fn fingerprint() -> String {
    let text = format!("{KERNEL_SUITE} {KERNEL:?} {TOOLS_SUITE} {TOOLS:?}");
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

/// Makes `inputs` beside its place under `home`, and moves it there when it is whole.
pub fn fetch(cx: &Context, home: &Path, inputs: &Path) -> Result<()> {
    let (work, fresh) = (home.join("work"), home.join("inputs.new"));
    remove(&work)?;
    remove(&fresh)?;
    let (kernel, release) = kernel(cx, home, &work)?;
    let mut packages = vec![kernel.exact()];
    packages.extend(tools(cx, home, &work)?.iter().map(Package::exact));
    for part in KERNEL.iter().chain(TOOLS) {
        place(part, &release, &work.join("root"), &fresh)?;
    }
    let upstream = kernel.version.split('-').next().unwrap_or(&kernel.version);
    write(&fresh.join("version"), upstream)?;
    let manifest = Manifest { parts: fingerprint(), packages };
    write(&fresh.join("manifest.json"), &serde_json::to_string_pretty(&manifest)?)?;
    remove(&work)?;
    remove(inputs)?;
    fs::rename(&fresh, inputs).with_context(|| format!("moving {} to its place", fresh.display()))
}

/// Unpacks the kernel and returns its package and its release, such as `6.1.0-50-arm64`.
fn kernel(cx: &Context, home: &Path, work: &Path) -> Result<(Package, String)> {
    let archive = Archive::open(cx, &home.join("apt"), KERNEL_SUITE, "arm64")?;
    let found = archive.resolve(&[KERNEL_META])?;
    let (kernel, release) = parts::kernel_among(&found)
        .ok_or_else(|| Kind::Other.error(format!("{KERNEL_META} of {KERNEL_SUITE} depends on no kernel")))?;
    unpack(cx, &archive, std::slice::from_ref(kernel), KERNEL, release, work)?;
    Ok((kernel.clone(), release.to_owned()))
}

/// Unpacks the programs, their libraries and U-Boot, and returns their packages.
fn tools(cx: &Context, home: &Path, work: &Path) -> Result<Vec<Package>> {
    let archive = Archive::open(cx, &home.join("apt"), TOOLS_SUITE, "arm64")?;
    let names = parts::package_names(TOOLS);
    let mut found = archive.resolve(&names)?;
    found.retain(|package| names.contains(&package.name.as_str()));
    unpack(cx, &archive, &found, TOOLS, "", work)?;
    Ok(found)
}

/// Downloads `packages` and unpacks what `parts` take of them into `work/root`.
fn unpack(
    cx: &Context,
    archive: &Archive,
    packages: &[Package],
    parts: &[Part],
    release: &str,
    work: &Path,
) -> Result<()> {
    for deb in archive.download(packages, &work.join("debs"))? {
        let own = parts.iter().filter(|part| part.is_of(&deb.package.name));
        let patterns = own.flat_map(|part| part.patterns(release)).collect::<Vec<_>>();
        deb.unpack_only(&cx.launcher, &work.join("root"), &patterns)?;
    }
    Ok(())
}

/// Copies the files of `part` from the unpacked packages to their place. Links become what they point to.
fn place(part: &Part, release: &str, root: &Path, inputs: &Path) -> Result<()> {
    let to = inputs.join(part.to);
    fs::create_dir_all(&to).with_context(|| format!("creating {}", to.display()))?;
    for (source, name) in part.sources(release) {
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
    fn only_a_folder_of_todays_list_is_current() {
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
        place(&part, "", &dir.path().join("root"), &dir.path().join("in")).unwrap();
        let copy = dir.path().join("in/lib/libx.so.1");
        assert!(!copy.is_symlink());
        assert_eq!(fs::read_to_string(copy).unwrap(), "code");
    }
}
