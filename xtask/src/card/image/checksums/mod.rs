//! The checksums of an image: in files beside it, in files that the user names, and on the command line.

mod file;
mod hasher;
mod line;
mod places;
mod sum;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use self::file::{ChecksumFile, Names, Scope};
use crate::bail;

pub use hasher::{Hasher, HashingReader};
pub use line::parse_sha256;
pub use sum::{Algorithm, Sum};

/// The checksums that the user passes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenSums {
    pub sha256: Option<Sum>,
    /// A checksum file, which must have a sum of the image.
    pub file: Option<PathBuf>,
}

/// The bytes that a sum covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Covers {
    /// The image file as it is stored.
    File,
    /// The decompressed content.
    Content,
    /// One of both: nothing says which.
    Either,
}

impl Covers {
    /// What a sum covers that names no file: for a compressed image nothing says which bytes.
    fn of_unnamed(is_compressed: bool) -> Self {
        if is_compressed { Self::Either } else { Self::File }
    }
}

/// Where a sum comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    Option,
    File(PathBuf),
}

/// A sum that the image must have.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Expected {
    origin: Origin,
    covers: Covers,
    sum: Sum,
}

/// All sums that an image must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checksums(Vec<Expected>);

/// The sums that an image has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSums {
    /// Of the file as it is stored.
    pub file: Vec<Sum>,
    /// Of the decompressed content.
    pub content: Vec<Sum>,
}

impl Checksums {
    /// Reads the checksums of `image` from the files beside it and beside the `link` that leads to it, and from what
    /// the user passes.
    ///
    /// # Errors
    /// A checksum file that cannot be read, names the image in a form that is not understood, or has no sum for it
    /// though it should; and contradictory sums.
    pub fn find(image: &Path, link: Option<&Path>, is_compressed: bool, given: &GivenSums) -> Result<Self> {
        let mut all = Vec::new();
        if let Some(sum) = given.sha256.clone() {
            let covers = Covers::of_unnamed(is_compressed);
            all.push(Expected { origin: Origin::Option, covers, sum });
        }
        if let Some(path) = &given.file {
            let opening = || format!("opening the checksum file {}", path.display());
            let path = path.canonicalize().with_context(opening)?;
            let file = ChecksumFile { algorithm: places::algorithm(&path), path, scope: Scope::One };
            all.extend(file.sums(&Names::new(image, is_compressed))?);
        }
        for image in link.into_iter().chain([image]) {
            let names = Names::new(image, is_compressed);
            for file in places::beside(&names)? {
                all.extend(file.sums(&names)?);
            }
        }
        refuse_contradiction(image, &all)?;
        Ok(Self(all))
    }

    /// The algorithms of the sums of the stored file.
    pub fn of_file(&self) -> BTreeSet<Algorithm> {
        self.algorithms_without(Covers::Content)
    }

    /// The algorithms of the sums of the decompressed content.
    pub fn of_content(&self) -> BTreeSet<Algorithm> {
        self.algorithms_without(Covers::File)
    }

    /// The algorithms of all sums but those that cover `other`.
    fn algorithms_without(&self, other: Covers) -> BTreeSet<Algorithm> {
        let sums = self.0.iter().filter(|expected| expected.covers != other);
        sums.map(|expected| expected.sum.algorithm).collect()
    }

    /// Compares all sums with those that `image` has. Returns what fits, for the user.
    ///
    /// # Errors
    /// [`ExitKind::Refused`](crate::base::failure::ExitKind::Refused) for a different sum.
    pub fn compare(&self, image: &Path, found: &ImageSums) -> Result<BTreeSet<String>> {
        self.0.iter().map(|expected| expected.compare(image, found)).collect()
    }
}

impl ImageSums {
    /// The SHA-256 of the stored file in hexadecimal digits.
    pub fn file_sha256(&self) -> Option<String> {
        self.file.iter().find(|sum| sum.algorithm == Algorithm::Sha256).map(|sum| sum.hex.clone())
    }
}

impl Expected {
    fn compare(&self, image: &Path, found: &ImageSums) -> Result<String> {
        let Self { origin, sum, covers } = self;
        let algorithm = sum.algorithm;
        if *covers != Covers::Content && found.file.contains(sum) {
            return Ok(format!("the {algorithm} is that of {origin}"));
        }
        if *covers != Covers::File && found.content.contains(sum) {
            return Ok(format!("the {algorithm} of the decompressed image is that of {origin}"));
        }
        let (whose, sums) = match covers {
            Covers::Content => ("the content of ", &found.content),
            _ => ("", &found.file),
        };
        let other = sums.iter().find(|found| found.algorithm == algorithm).map_or("nothing", Sum::short);
        bail!(
            Refused,
            "{whose}the image {} does not match {origin}: its {algorithm} begins with {other}, not {}",
            image.display(),
            sum.short();
            hint: "{}", origin.remedy()
        )
    }
}

/// Refuses two different sums of the same algorithm for the same thing: neither is trusted.
fn refuse_contradiction(image: &Path, all: &[Expected]) -> Result<()> {
    let mut known = BTreeMap::new();
    for two in all {
        let one = *known.entry((two.covers, two.sum.algorithm)).or_insert(two);
        if one.sum != two.sum {
            bail!(
                Refused,
                "there are two different {} for {}: one in {} begins with {}, one in {} with {}",
                one.sum.algorithm,
                image.display(),
                one.origin,
                one.sum.short(),
                two.origin,
                two.sum.short();
                hint: "remove the wrong one"
            );
        }
    }
    Ok(())
}

impl Origin {
    fn remedy(&self) -> String {
        match self {
            Self::Option => "download the image again, or correct the sum".to_owned(),
            Self::File(path) => {
                format!("download both again, or remove {} if it is for another image", path.display())
            }
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option => f.write_str("--sha256"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests;
