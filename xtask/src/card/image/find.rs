//! Finding the image in the output of a build.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::bail;
use crate::base::failure::ExitKind;

/// The endings of image files, in the order in which one is preferred.
const ENDINGS: &[&str] = &[".img.zst", ".img.xz", ".img.gz", ".img"];

/// The image in the output of a build, `$out/sd-image/*.img[.zst|.xz|.gz]`. It may be a link to another path in the store,
/// and to nothing outside.
///
/// # Errors
/// No image, or more than one. [`ExitKind::Refused`] where the output leads out of the store, as a builder can make a link
/// to any file of this machine, or where the image is not a regular file.
pub fn find(out: &Path) -> Result<PathBuf> {
    let dir = out.join("sd-image");
    if dir.symlink_metadata().is_err() {
        bail!(Other, "the build made no SD image: there is no folder {}", dir.display());
    }
    let dir = within_store(out, &dir)?;
    let entries = dir.read_dir().with_context(|| format!("listing the images in {}", dir.display()))?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut images = files.filter(|file| is_image(file)).collect::<Vec<_>>();
    match (images.pop(), images.is_empty()) {
        (Some(image), true) => regular(within_store(out, &image)?),
        (None, _) => bail!(Other, "there is no image in {}", dir.display()),
        (Some(_), false) => bail!(Other, "there is more than one image in {}", dir.display()),
    }
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

fn regular(image: PathBuf) -> Result<PathBuf> {
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn exactly_one_image_is_found() {
        let store = tempfile::tempdir().unwrap();
        let out = store.path().join("hash-image");
        std::fs::create_dir(&out).unwrap();
        assert!(find(&out).unwrap_err().to_string().starts_with("the build made no SD image"));
        let dir = out.join("sd-image");
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("notes.txt"), "").unwrap();
        assert!(find(&out).unwrap_err().to_string().starts_with("there is no image in"));
        std::fs::write(dir.join("a.img.zst"), "").unwrap();
        assert_eq!(find(&out).unwrap(), dir.join("a.img.zst"));
        std::fs::write(dir.join("b.img"), "").unwrap();
        assert!(find(&out).unwrap_err().to_string().starts_with("there is more than one image"));
    }

    #[test]
    fn an_output_that_leads_out_of_the_store_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store");
        let [out, other] = ["hash-image", "hash-other"].map(|name| store.join(name));
        for folder in [&out.join("sd-image"), &other.join("sd-image"), &dir.path().join("sd-image")] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let [secret, good] = [dir.path().join("sd-image/a.img"), other.join("sd-image/a.img")];
        std::fs::write(&secret, "secret").unwrap();
        std::fs::write(&good, "image").unwrap();
        let folder = out.join("sd-image");
        let image = folder.join("a.img");
        let check = |expected: Result<&Path, &str>| {
            let found = find(&out).map_err(|error| error.to_string());
            match expected {
                Ok(place) => assert_eq!(found.unwrap(), place),
                Err(text) => {
                    assert!(found.as_ref().is_err_and(|error| error.contains(text)), "{found:?} {text}");
                }
            }
        };
        let leads_out = Err("leads out of the store");
        for (target, expected) in [
            (secret.as_path(), leads_out),
            (Path::new("../../../sd-image/a.img"), leads_out),
            (Path::new("/dev/null"), leads_out),
            (Path::new("/nowhere"), leads_out),
            (Path::new("a.img"), leads_out),
            (good.as_path(), Ok(good.as_path())),
            (&other, Err("is not a regular file")),
            (&store, leads_out),
        ] {
            symlink(target, &image).unwrap();
            check(expected);
            std::fs::remove_file(&image).unwrap();
        }
        rustix::fs::mkfifoat(rustix::fs::CWD, &image, 0o600.into()).unwrap();
        check(Err("is not a regular file"));
        std::fs::remove_file(&image).unwrap();
        std::fs::remove_dir(&folder).unwrap();
        symlink(dir.path().join("sd-image"), &folder).unwrap();
        check(leads_out);
        std::fs::remove_file(&folder).unwrap();
        symlink(other.join("sd-image"), &folder).unwrap();
        check(Ok(&good));
    }
}
