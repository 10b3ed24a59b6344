//! Downloaded packages: checking their size and unpacking them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Package;
use crate::bail;
use crate::base::process::Launcher;

/// A downloaded package file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deb {
    pub package: Package,
    path: PathBuf,
}

impl Deb {
    /// The file that apt has downloaded for `package` into `dir`.
    ///
    /// # Errors
    /// `Io` where the file is missing, or has another size than in the package lists.
    pub(super) fn new(package: &Package, dir: &Path) -> Result<Self> {
        let path = dir.join(&package.file);
        let found = fs::metadata(&path).with_context(|| format!("reading {}", path.display()))?.len();
        let expected = package.size;
        if found != expected {
            bail!(Io, "{} has {found} bytes instead of {expected}", path.display());
        }
        Ok(Self { package: package.clone(), path })
    }

    /// Unpacks all files into `root`, owned by the user of this process.
    pub fn unpack(&self, launcher: &Launcher, root: &Path) -> Result<()> {
        self.extract(launcher, root, &[])
    }

    /// Unpacks to `root` the files that match `patterns` (`usr/sbin/mke2fs`, `boot/vmlinuz-*`; `*` matches `/` too).
    ///
    /// # Errors
    /// Where a pattern matches no file.
    pub fn unpack_only(&self, launcher: &Launcher, root: &Path, patterns: &[String]) -> Result<()> {
        let members = patterns.iter().map(|pattern| format!("./{pattern}").into()).collect::<Vec<_>>();
        self.extract(launcher, root, &members)
    }

    /// Extracts the `members` of the package into `root`, or all files if `members` is empty.
    fn extract(&self, launcher: &Launcher, root: &Path, members: &[OsString]) -> Result<()> {
        fs::create_dir_all(root).with_context(|| format!("creating {}", root.display()))?;
        let dpkg_args = ["--fsys-tarfile".into(), self.path.clone().into_os_string()];
        let mut tar_args =
            ["--extract", "--no-same-owner", "--wildcards", "--directory"].map(OsString::from).to_vec();
        tar_args.push(root.into());
        tar_args.extend_from_slice(members);
        launcher
            .pipe(("dpkg-deb", &dpkg_args), ("tar", &tar_args))
            .with_context(|| format!("unpacking {} into {}", self.path.display(), root.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds a package with three files in `dir`.
    fn build_deb(dir: &Path) -> Deb {
        let tree = dir.join("tree");
        for (file, text) in [
            ("DEBIAN/control", "Package: t\nVersion: 1\nArchitecture: all\nMaintainer: t\nDescription: t\n"),
            ("boot/vmlinuz-6", "kernel"),
            ("usr/lib/a.ko", "a"),
            ("usr/lib/b.ko", "b"),
        ] {
            fs::create_dir_all(tree.join(file).parent().unwrap()).unwrap();
            fs::write(tree.join(file), text).unwrap();
        }
        let path = dir.join("t_1_all.deb");
        let args = ["--build".into(), tree.into_os_string(), path.clone().into_os_string()];
        Launcher::new("/").read("dpkg-deb", &args).unwrap();
        let size = fs::metadata(&path).unwrap().len();
        let package = Package { name: "t".into(), version: "1".into(), file: "t_1_all.deb".into(), size };
        Deb::new(&package, dir).unwrap()
    }

    /// Asserts that `patterns`, or all files without any, unpack exactly the `expected` files.
    fn check(patterns: &[&str], expected: &[&str]) {
        let dir = tempfile::tempdir().unwrap();
        let deb = build_deb(dir.path());
        let root = dir.path().join("root");
        let patterns = patterns.iter().map(|&pattern| pattern.to_owned()).collect::<Vec<_>>();
        if patterns.is_empty() {
            deb.unpack(&Launcher::new("/"), &root).unwrap();
        } else {
            deb.unpack_only(&Launcher::new("/"), &root, &patterns).unwrap();
        }
        for file in ["boot/vmlinuz-6", "usr/lib/a.ko", "usr/lib/b.ko"] {
            assert_eq!(root.join(file).exists(), expected.contains(&file), "{file}");
        }
    }

    #[test]
    fn only_files_that_match_a_pattern_are_unpacked() {
        check(&[], &["boot/vmlinuz-6", "usr/lib/a.ko", "usr/lib/b.ko"]);
        check(&["boot/vmlinuz-*"], &["boot/vmlinuz-6"]);
        check(&["boot/*", "*/b.ko"], &["boot/vmlinuz-6", "usr/lib/b.ko"]);
    }

    #[test]
    fn a_missing_file_or_another_size_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let deb = build_deb(dir.path());
        let error =
            deb.unpack_only(&Launcher::new("/"), &dir.path().join("r"), &["etc/*".into()]).unwrap_err();
        assert!(format!("{error:#}").contains("./etc/*: Not found in archive"), "{error:#}");
        let short = Package { size: 1, ..deb.package };
        let error = Deb::new(&short, dir.path()).unwrap_err();
        assert!(error.to_string().ends_with("bytes instead of 1"), "{error}");
    }
}
