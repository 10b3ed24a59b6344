//! The checksums of an image: in files beside it, in files that the user names, and on the command line.

mod algorithm;
mod digest;
mod file;
mod hasher;
mod line;
mod places;
mod spelling;
mod sum;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use self::file::{ChecksumFile, Names, Scope};
use crate::bail;

pub use algorithm::Algorithm;
pub use hasher::{Hasher, HashingReader};
pub use line::parse_sha256;
pub use sum::Sum;

/// The checksums that the user passes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenSums {
    /// The sum of the option `--sha256`.
    pub sha256: Option<Sum>,
    /// A checksum file, which must have a sum of the image.
    pub file: Option<PathBuf>,
}

/// The bytes that a sum covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Coverage {
    /// The image file as it is stored.
    File,
    /// The decompressed content.
    Content,
    /// The file or the content: nothing says which.
    Either,
}

impl Coverage {
    /// The coverage of a sum that names no file. For a compressed image, nothing says which bytes the sum covers.
    fn of_unnamed_sum(is_compressed: bool) -> Self {
        if is_compressed { Self::Either } else { Self::File }
    }
}

/// The origin of a sum.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// The option `--sha256`.
    Option,
    /// This checksum file.
    File(PathBuf),
}

/// A sum that the image must have.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ExpectedSum {
    origin: Origin,
    coverage: Coverage,
    sum: Sum,
}

/// All sums that an image must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checksums(Vec<ExpectedSum>);

/// The sums that an image has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSums {
    /// The sums of the file as it is stored.
    pub file: Vec<Sum>,
    /// The sums of the decompressed content.
    pub content: Vec<Sum>,
}

impl Checksums {
    /// Reads the checksums of `image` from the files beside `image` and beside the `link` that leads to it, and takes
    /// those that the user passes (`given`).
    ///
    /// # Errors
    /// A checksum file that cannot be read, that names the image in a form that is not understood, or that is for the
    /// image alone and has no sum of it; and contradictory sums.
    pub fn find(image: &Path, link: Option<&Path>, is_compressed: bool, given: &GivenSums) -> Result<Self> {
        let mut all = Vec::new();
        if let Some(sum) = given.sha256.clone() {
            let coverage = Coverage::of_unnamed_sum(is_compressed);
            all.push(ExpectedSum { origin: Origin::Option, coverage, sum });
        }
        if let Some(path) = &given.file {
            let opening = || format!("opening the checksum file {}", path.display());
            let path = path.canonicalize().with_context(opening)?;
            require_file(&path)?;
            let file = ChecksumFile { algorithm: places::algorithm_by_name(&path), path, scope: Scope::One };
            all.extend(file.read_sums(&Names::new(image, is_compressed))?);
        }
        for image in link.into_iter().chain([image]) {
            let names = Names::new(image, is_compressed);
            for file in places::checksum_files_beside(&names)? {
                all.extend(file.read_sums(&names)?);
            }
        }
        refuse_contradiction(image, &all)?;
        Ok(Self(all))
    }

    /// The algorithms of the sums that may cover the stored file.
    pub fn file_algorithms(&self) -> BTreeSet<Algorithm> {
        self.algorithms_except(Coverage::Content)
    }

    /// The algorithms of the sums that may cover the decompressed content.
    pub fn content_algorithms(&self) -> BTreeSet<Algorithm> {
        self.algorithms_except(Coverage::File)
    }

    /// The algorithms of all sums except those with the coverage `excluded`.
    fn algorithms_except(&self, excluded: Coverage) -> BTreeSet<Algorithm> {
        let sums = self.0.iter().filter(|expected| expected.coverage != excluded);
        sums.map(|expected| expected.sum.algorithm).collect()
    }

    /// Compares all sums with the sums `found` that `image` has. Returns a note for the user on each that is the same.
    ///
    /// # Errors
    /// [`ExitKind::Refused`](crate::base::failure::ExitKind::Refused) for a different sum.
    pub fn compare(&self, image: &Path, found: &ImageSums) -> Result<BTreeSet<String>> {
        self.0.iter().map(|expected| expected.compare(image, found)).collect()
    }
}

impl ImageSums {
    /// The SHA-256 of the stored file in hexadecimal digits; `None` where it was not computed.
    pub fn file_sha256(&self) -> Option<String> {
        self.file.iter().find(|sum| sum.algorithm == Algorithm::Sha256).map(|sum| sum.hex.clone())
    }
}

impl ExpectedSum {
    /// Compares this sum with the sums `found` that `image` has. Returns the note for the user that it is the same, and
    /// fails where it is not.
    fn compare(&self, image: &Path, found: &ImageSums) -> Result<String> {
        let Self { origin, sum, coverage } = self;
        let algorithm = sum.algorithm;
        if *coverage != Coverage::Content && found.file.contains(sum) {
            return Ok(format!("the {algorithm} is that of {origin}"));
        }
        if *coverage != Coverage::File && found.content.contains(sum) {
            return Ok(format!("the {algorithm} of the decompressed image is that of {origin}"));
        }
        let (part, sums) = match coverage {
            Coverage::Content => ("the content of ", &found.content),
            Coverage::File | Coverage::Either => ("", &found.file),
        };
        let same_algorithm = sums.iter().find(|sum| sum.algorithm == algorithm);
        bail!(
            Refused,
            "{part}the image {} does not match {origin}: its {algorithm} begins with {}, not {}",
            image.display(),
            same_algorithm.map_or("nothing", Sum::first_digits),
            sum.first_digits();
            hint: "{}", origin.remedy()
        )
    }
}

/// Refuses the checksum file at `path`, which the user names, where it is no file.
fn require_file(path: &Path) -> Result<()> {
    if path.is_dir() {
        bail!(
            Refused,
            "the checksum file {} is a folder", path.display();
            hint: "name a file with checksums, such as {}", path.join("SHA256SUMS").display()
        );
    }
    if !path.is_file() {
        bail!(
            Refused,
            "the checksum file {} is not a regular file", path.display();
            hint: "save what it contains to a file, and name that file"
        );
    }
    Ok(())
}

/// Refuses two different sums of the same algorithm for the same bytes: neither is trusted.
fn refuse_contradiction(image: &Path, all: &[ExpectedSum]) -> Result<()> {
    let mut first_sums = BTreeMap::new();
    for expected in all {
        let first = *first_sums.entry((expected.coverage, expected.sum.algorithm)).or_insert(expected);
        if first.sum != expected.sum {
            bail!(
                Refused,
                "there are two different {} for {}: one in {} begins with {}, one in {} with {}",
                first.sum.algorithm,
                image.display(),
                first.origin,
                first.sum.first_digits(),
                expected.origin,
                expected.sum.first_digits();
                hint: "remove the wrong one"
            );
        }
    }
    Ok(())
}

impl Origin {
    /// The hint for a sum of this origin that the image does not have.
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
