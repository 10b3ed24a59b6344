//! Programs in a root of their own: one with nothing but the program and the paths that it is shown.
//!
//! A process changes its root only as root, or in a user namespace of its own, which a process of several threads
//! cannot make. So the child begins as this program, which makes the root, and then becomes the other program. The root
//! is in a mount namespace of the child, so nothing of it is left.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Error, Result, ensure};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind_recursive, mount_change};
use rustix::thread::UnshareFlags;

use super::{Launcher, die_with_parent};

/// The first argument of a child that runs a program in a root of its own. The folder of the root follows, then the
/// shown paths, two words each.
const COMMAND: &str = "run-in-own-root";
/// The file with the program, in the folder before it is the root, and in the root.
const PROGRAM: &str = "program";
/// What the child prints when the root is made and only the program itself can fail.
const READY: &str = "ready";

/// A path of this machine that the program sees as `inside`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShownPath {
    pub inside: PathBuf,
    pub source: PathBuf,
}

/// How a program ran in a root of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnRootRun {
    /// With this exit code. Any code may also mean that the program did not start.
    Exited(i32),
    /// The root could not be made, for this reason.
    NoRoot(String),
}

impl Launcher {
    /// Runs the file `program` in a root that has nothing else but the `shown` paths. Those that do not exist, and
    /// those inside another one, are left out.
    ///
    /// # Errors
    /// `Io` where a temporary folder cannot be made.
    pub fn run_in_own_root(&self, program: &[u8], shown: &[ShownPath]) -> Result<OwnRootRun> {
        if !die_with_parent::is_tool() {
            return Ok(OwnRootRun::NoRoot("this program is not the tool".to_owned()));
        }
        let mut builder = tempfile::Builder::new();
        let folder = builder.prefix("xtask-root-").permissions(Permissions::from_mode(0o700)).tempdir()?;
        fs::write(folder.path().join(PROGRAM), program)?;
        let shown = shown.iter().flat_map(|path| [path.inside.as_os_str(), path.source.as_os_str()]);
        let args = [COMMAND.as_ref(), folder.path().as_os_str()].into_iter().chain(shown);
        let output = self.capture(die_with_parent::OWN_PROGRAM, &args.collect::<Vec<&OsStr>>())?;
        if output.stdout.starts_with(READY) {
            return Ok(OwnRootRun::Exited(output.code));
        }
        let reason = output.stderr.lines().next().unwrap_or_default();
        Ok(OwnRootRun::NoRoot(reason.trim_start_matches("error: ").to_owned()))
    }
}

/// Runs the program that `args` name, the arguments of this process without its own name. Returns `None` where they
/// name none, and the error where the program does not start.
pub fn become_program(mut args: impl Iterator<Item = OsString>) -> Option<Error> {
    args.next().filter(|word| word == COMMAND)?;
    Some(make_root_and_exec(args).unwrap_or_else(|error| error))
}

/// Returns only with an error, whichever it is.
fn make_root_and_exec(mut args: impl Iterator<Item = OsString>) -> Result<Error> {
    let folder = PathBuf::from(args.next().context("this command is internal")?);
    let program = fs::read(folder.join(PROGRAM)).context("this command is internal")?;
    let mut shown = Vec::new();
    while let (Some(inside), Some(source)) = (args.next(), args.next()) {
        shown.push(ShownPath { inside: inside.into(), source: source.into() });
    }
    leave_namespaces()?;
    // Nothing that is mounted from here on reaches another namespace.
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).context("making mounts private")?;
    mount("tmpfs", &folder, "tmpfs", MountFlags::empty(), None).context("mounting an empty folder")?;
    fs::write(folder.join(PROGRAM), program).context("writing the program")?;
    fs::set_permissions(folder.join(PROGRAM), Permissions::from_mode(0o755))?;
    show_paths(&folder, shown)?;
    rustix::process::chroot(&folder).context("changing the root")?;
    rustix::process::chdir("/").context("entering the root")?;
    rustix::io::write(rustix::stdio::stdout(), READY.as_bytes())?;
    let program = Path::new("/").join(PROGRAM);
    Ok(Error::new(die_with_parent::exec(program.as_os_str(), std::iter::empty()))
        .context("running the program"))
}

/// Gives this process a mount namespace of its own, and a user namespace if it needs one for that.
fn leave_namespaces() -> Result<()> {
    #[expect(
        deprecated,
        reason = "no table of file descriptors is unshared, for which the other one is unsafe"
    )]
    let unshare = rustix::thread::unshare;
    match unshare(UnshareFlags::NEWNS) {
        Err(Errno::PERM) => {}
        ended => return ended.context("making a mount namespace"),
    }
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS).context("making a user namespace")?;
    for (file, text) in [
        ("uid_map", format!("0 {} 1", user.as_raw())),
        ("setgroups", "deny".to_owned()),
        ("gid_map", format!("0 {} 1", group.as_raw())),
    ] {
        fs::write(Path::new("/proc/self").join(file), text).context("preparing a user namespace")?;
    }
    Ok(())
}

/// Shows the paths below `folder`.
fn show_paths(folder: &Path, mut shown: Vec<ShownPath>) -> Result<()> {
    // A path before those inside it.
    shown.sort();
    let mut done = Vec::<PathBuf>::new();
    for ShownPath { inside, source } in shown {
        let Ok(relative) = inside.strip_prefix("/") else { continue };
        let is_plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
        let Ok(metadata) = source.symlink_metadata() else { continue };
        // Below a shown path, the place for another one would be made on this machine.
        if !is_plain || relative == Path::new("") || done.iter().any(|path| inside.starts_with(path)) {
            continue;
        }
        let place = folder.join(relative);
        ensure!(place.starts_with(folder), "a shown path is outside of the root");
        show(&source, &metadata, &place).with_context(|| format!("showing {}", source.display()))?;
        done.push(inside);
    }
    Ok(())
}

/// Shows `source` as `place`.
fn show(source: &Path, metadata: &fs::Metadata, place: &Path) -> Result<()> {
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent)?;
    }
    if metadata.is_symlink() {
        return Ok(symlink(fs::read_link(source)?, place)?);
    }
    if metadata.is_dir() {
        fs::create_dir_all(place)?;
    } else {
        fs::File::create_new(place)?;
    }
    Ok(mount_bind_recursive(source, place)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn become_with(words: &[&str]) -> Option<String> {
        become_program(words.iter().map(OsString::from)).map(|error| format!("{error:#}"))
    }

    #[test]
    fn only_the_internal_command_makes_a_root() {
        assert_eq!(become_with(&[]), None);
        assert_eq!(become_with(&["boot", COMMAND]), None);
        assert_eq!(become_with(&[COMMAND]).unwrap(), "this command is internal");
        let missing = become_with(&[COMMAND, "/no/such/folder"]).unwrap();
        assert!(missing.starts_with("this command is internal: "), "{missing}");
    }

    #[test]
    fn a_program_that_is_not_the_tool_makes_no_root() {
        let run = Launcher::new("/").run_in_own_root(b"", &[]).unwrap();
        assert_eq!(run, OwnRootRun::NoRoot("this program is not the tool".into()));
    }

    #[test]
    fn links_are_shown_and_strange_paths_are_not() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let link = outside.path().join("link");
        symlink("/target", &link).unwrap();
        let shown = |inside: &str, source: &Path| ShownPath { inside: inside.into(), source: source.into() };
        let paths = [
            shown("/a/b", &link),
            shown("/a/b/c", &link),
            shown("/missing", &outside.path().join("missing")),
            shown("relative", &link),
            shown("/../up", &link),
            shown("/", &link),
        ];
        show_paths(root.path(), paths.into()).unwrap();
        assert_eq!(fs::read_link(root.path().join("a/b")).unwrap(), Path::new("/target"));
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }
}
