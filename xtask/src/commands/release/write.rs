//! Writing and signing the file of a release.

use std::fs::{self, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Error, Result};
use tempfile::NamedTempFile;

use crate::bail;
use crate::base::{Context, interrupt, room, shell};
use crate::cli::MakeRelease;
use crate::deploy::{self, Content};

/// The mode of the files: they are for other machines, and have no secret.
const MODE: u32 = 0o644;

/// What was written beside the file itself.
pub struct Written {
    pub sha256: String,
    /// The file of the signature; `None` without one.
    pub signature: Option<PathBuf>,
}

/// Checks, before hours of building, that the file can be written and signed.
///
/// # Errors
/// `Refused`.
pub fn check(cx: &Context, args: &MakeRelease) -> Result<()> {
    check_place(&args.out)?;
    check_replaced(&args.out)?;
    stage(&args.out)?;
    let Some(key) = &args.sign else { return Ok(()) };
    deploy::require_keygen(&cx.launcher)?;
    if !key.is_file() {
        bail!(
            Refused, "there is no key in {}", key.display();
            hint: "pass the file of an ssh key, such as ~/.ssh/id_ed25519"
        );
    }
    Ok(())
}

/// Refuses a file that has no folder to be written in, and a folder in place of the file.
fn check_place(out: &Path) -> Result<()> {
    let folder = folder_of(out);
    if !folder.is_dir() {
        let hint = format!(
            "`mkdir -p {}`, or name another file with --out",
            shell::quote(&folder.to_string_lossy())
        );
        bail!(Refused, "{} cannot be written: there is no folder {}", out.display(), folder.display(); hint: "{hint}");
    }
    if out.is_dir() {
        bail!(Refused, "{} is a folder, not the file to write", out.display(); hint: "name a file in it with --out");
    }
    Ok(())
}

/// Refuses to replace a file that is neither empty nor a release: a slip overwrites nothing.
fn check_replaced(out: &Path) -> Result<()> {
    let Ok(stat) = out.metadata() else { return Ok(()) };
    let is_replaced = stat.is_file() && (stat.len() == 0 || deploy::is_release(out));
    if !is_replaced {
        bail!(Refused, "{} is there already, and no release", out.display(); hint: "name a new file with --out");
    }
    Ok(())
}

/// Signs `content` and writes it, the signature first: whoever sees the file sees its signature.
///
/// # Errors
/// Those of the signature and of the files.
pub fn write(cx: &Context, args: &MakeRelease, content: &Content) -> Result<Written> {
    let text = content.to_text()?;
    interrupt::set_undone(None);
    let signature = deploy::signature_path(&args.out);
    let sha256 = deploy::hex_sha256(text.as_bytes());
    if let Some(key) = &args.sign {
        let signed = deploy::sign(&cx.launcher, key, text.as_bytes())?;
        if let Some(fault) = deploy::signing_fault(cx, &signed, text.as_bytes()) {
            cx.warn(format!("`deploy --release` refuses {} as yet: {fault}", args.out.display()));
        }
        replace(&signature, signed.as_bytes())?;
    } else {
        cx.warn(format!("{} is not signed: `deploy` takes it only with --unsigned", args.out.display()));
        remove(&signature)?;
    }
    replace(&args.out, text.as_bytes())?;
    Ok(Written { sha256, signature: args.sign.is_some().then_some(signature) })
}

/// An empty file beside `path`, which is removed unless it takes that place.
fn stage(path: &Path) -> Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".release.").suffix(".part").permissions(Permissions::from_mode(MODE));
    builder.tempfile_in(folder_of(path)).map_err(|error| write_error(path, error))
}

/// The error for a `path` that could not be written.
fn write_error(path: &Path, error: std::io::Error) -> Error {
    let doing = format!("writing {}", path.display());
    room::write_error(error, &doing, folder_of(path), room::ANOTHER_FILE)
}

/// Writes `bytes` to `path` atomically.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |error| write_error(path, error);
    let mut file = stage(path)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist(path).map_err(|persist| failed(persist.error))?;
    Ok(())
}

/// Removes the signature of an earlier file at the same place.
fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// The folder of `path`.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
