//! Opening the release of `deploy` and `status`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;

use crate::bail;
use crate::base::{Context, shell};
use crate::cli::ReleaseArgs;
use crate::deploy::{Accept, Release, SIGNERS_FILE};

/// The release of the command line, which counts; `None` without one.
///
/// # Errors
/// Those of [`Release::open`]; `Refused` where nothing says who may sign.
pub fn open(cx: &Context, args: &ReleaseArgs) -> Result<Option<Arc<Release>>> {
    let Some(path) = &args.release else { return Ok(None) };
    let accept = if args.unsigned { Accept::Unsigned } else { Accept::SignedBy(signers(cx, args)?) };
    let release = Release::open(cx, path, &accept)?;
    let summary = release.summary();
    if args.unsigned {
        cx.warn(summary);
    } else {
        cx.note(summary);
    }
    Ok(Some(Arc::new(release)))
}

/// The file of allowed signers.
///
/// # Errors
/// `Refused` for a flake that is not in a folder of this machine, where the user names no file.
fn signers(cx: &Context, args: &ReleaseArgs) -> Result<PathBuf> {
    if let Some(named) = &args.signers {
        return Ok(named.clone());
    }
    match cx.flake.folder() {
        Some(folder) => Ok(folder.join(SIGNERS_FILE)),
        None => bail!(
            Refused, "nothing says who may sign releases of {}", cx.flake;
            hint: "pass a file of allowed signers with --signers"
        ),
    }
}

/// The options of `args`, each with a space before it, for a command that takes the same release; empty without one.
pub fn options(args: &ReleaseArgs) -> String {
    let option = |(name, file): (&str, &Option<PathBuf>)| {
        let file = file.as_ref()?.to_string_lossy();
        Some(format!(" {name} {}", shell::quote(&file)))
    };
    let files = [("--release", &args.release), ("--signers", &args.signers)].into_iter().filter_map(option);
    files.chain(args.unsigned.then(|| " --unsigned".to_owned())).collect()
}
