//! The names of an image, and how well a path in a checksum file fits them.

use std::path::{Component, Path, PathBuf};

use super::super::{Coverage, spelling};

/// The endings of compressed files, without the dot.
const COMPRESSIONS: &[&str] = &["zst", "zstd", "xz", "gz", "bz2"];

/// The names under which an image can be listed.
#[derive(Clone, Debug)]
pub struct Names {
    /// The absolute path of the image.
    pub image: PathBuf,
    /// The path of the decompressed content: that of the image without the ending of the compression. `None` for an
    /// image that is not compressed, or whose name has no such ending.
    content: Option<PathBuf>,
    pub is_compressed: bool,
}

/// How well a listed path fits the image. The best fit comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// The listed path leads from the folder of the list to the image.
    Exact,
    /// The path of the image ends with the whole listed path.
    End,
    /// The last part of the listed path is the name of the image.
    LastPart,
}

impl Names {
    /// The names of the file `image`.
    pub fn new(image: &Path, is_compressed: bool) -> Self {
        let has_ending =
            image.extension().is_some_and(|ending| COMPRESSIONS.iter().any(|known| ending == *known));
        let content = (is_compressed && has_ending).then(|| image.with_extension(""));
        Self { image: image.to_owned(), content, is_compressed }
    }

    /// The beginnings of names of checksum files that are for this image alone, in lower case: the names of the image,
    /// of its content, and of the content without an ending.
    pub fn own_prefixes(&self) -> [String; 3] {
        let content = self.content.as_deref().unwrap_or(&self.image);
        let without_ending = content.with_extension("");
        let paths: [&Path; 3] = [&self.image, content, &without_ending];
        paths.map(|path| file_name(path).to_ascii_lowercase())
    }

    /// The file name of the image.
    pub fn image_name(&self) -> String {
        file_name(&self.image)
    }

    /// The paths of the image and of its content, each with the coverage of a sum with this path.
    pub fn paths(&self) -> impl Iterator<Item = (Coverage, &Path)> {
        let content = self.content.iter().map(|path| (Coverage::Content, path.as_path()));
        std::iter::once((Coverage::File, self.image.as_path())).chain(content)
    }

    /// Whether `line` contains the name of the image or of its content.
    pub fn are_in(&self, line: &str) -> bool {
        self.paths().any(|(_, path)| spelling::mentions(line, &file_name(path)))
    }
}

/// How well `listed`, a path in a checksum file in `folder`, fits the path `file` in the spelling that fits best;
/// `None` where none fits.
pub fn path_fit(listed: &str, folder: &Path, file: &Path) -> Option<Fit> {
    spelling::spellings(listed).iter().filter_map(|path| spelling_fit(path, folder, file)).min()
}

/// How well `listed` fits the path `file`, without another spelling.
fn spelling_fit(listed: &str, folder: &Path, file: &Path) -> Option<Fit> {
    let path = normalize(Path::new(listed));
    if normalize(&folder.join(&path)) == file {
        return Some(Fit::Exact);
    }
    if path.is_relative() && file.ends_with(&path) {
        return Some(Fit::End);
    }
    let name = file_name(file);
    let is_last_part = |separators: &[char]| listed.rsplit(separators).next().map(str::trim) == Some(&name);
    // A backslash separates in Windows, and is a part of the name elsewhere.
    (is_last_part(&['/']) || is_last_part(&['/', '\\'])).then_some(Fit::LastPart)
}

/// `path` without `.`, and without `..` where the folder before it is known.
fn normalize(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if normal.file_name().is_some() => drop(normal.pop()),
            part => normal.push(part),
        }
    }
    normal
}

/// The last part of `path`; empty where there is none.
fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
