//! One downloaded package.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Package;
use crate::base::failure::ExitKind;
use crate::base::process::Launcher;

/// A package file on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deb {
    pub package: Package,
    path: PathBuf,
}

impl Deb {
    /// The file that apt has downloaded for `package` into `dir`.
    ///
    /// # Errors
    /// If there is none, or it is not of the size the lists promise.
    pub(super) fn new(package: &Package, dir: &Path) -> Result<Self> {
        let path = dir.join(&package.file);
        let found = fs::metadata(&path).with_context(|| format!("looking for {}", path.display()))?.len();
        if found == package.size {
            return Ok(Self { package: package.clone(), path });
        }
        let promised = package.size;
        Err(ExitKind::Io.error(format!("{} has {found} bytes and should have {promised}", path.display())))
    }

    /// Unpacks all files into `root`, owned by the user who runs this.
    pub fn unpack(&self, launcher: &Launcher, root: &Path) -> Result<()> {
        self.tar(launcher, root, &[])
    }

    /// Unpacks the files that match `patterns` (`usr/sbin/mke2fs`, `boot/vmlinuz-*`; `*` matches `/` too).
    ///
    /// # Errors
    /// If a pattern matches nothing.
    pub fn unpack_only(&self, launcher: &Launcher, root: &Path, patterns: &[String]) -> Result<()> {
        let members = patterns.iter().map(|pattern| format!("./{pattern}").into()).collect::<Vec<_>>();
        self.tar(launcher, root, &members)
    }

    fn tar(&self, launcher: &Launcher, root: &Path, members: &[OsString]) -> Result<()> {
        fs::create_dir_all(root).with_context(|| format!("creating {}", root.display()))?;
        let from = ["--fsys-tarfile".into(), self.path.clone().into_os_string()];
        let mut into =
            ["--extract", "--no-same-owner", "--wildcards", "--directory"].map(OsString::from).to_vec();
        into.push(root.into());
        into.extend_from_slice(members);
        launcher
            .pipe(("dpkg-deb", &from), ("tar", &into))
            .with_context(|| format!("unpacking {} into {}", self.path.display(), root.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package built here: `DEBIAN/control` and three files.
    fn built(dir: &Path) -> Deb {
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

    fn check(patterns: &[&str], expected: &[&str]) {
        let dir = tempfile::tempdir().unwrap();
        let (deb, root) = (built(dir.path()), dir.path().join("root"));
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
    fn unpacking() {
        check(&[], &["boot/vmlinuz-6", "usr/lib/a.ko", "usr/lib/b.ko"]);
        check(&["boot/vmlinuz-*"], &["boot/vmlinuz-6"]);
        check(&["boot/*", "*/b.ko"], &["boot/vmlinuz-6", "usr/lib/b.ko"]);
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let deb = built(dir.path());
        let error =
            deb.unpack_only(&Launcher::new("/"), &dir.path().join("r"), &["etc/*".into()]).unwrap_err();
        assert!(format!("{error:#}").contains("./etc/*: Not found in archive"), "{error:#}");
        let short = Package { size: 1, ..deb.package };
        let error = Deb::new(&short, dir.path()).unwrap_err();
        assert!(error.to_string().ends_with("bytes and should have 1"), "{error}");
    }
}
