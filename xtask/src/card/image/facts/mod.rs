//! What the file systems of an image tell before it is written: who logs in, and which boards boot. An image that is
//! not compressed is read where it is. Of another one, the check keeps the parts that tell.

mod kept_parts;
mod kept_sectors;

use serde::{Deserialize, Serialize};

use super::Image;
use crate::base::Format;
use crate::base::bounded::{self, Links};
use crate::boot::BoardProof;
use crate::card::inspect::{Budget, LoginFiles, PartitionTable, ReadAt, prove_boards, read_login_files};
use kept_sectors::KeptSectors;

pub use kept_parts::KeptParts;

/// What the file systems of an image tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFacts {
    pub logins: ImageLogins,
    /// The proof of each board; `None` where too little of the image is known.
    pub boards: Option<Vec<BoardProof>>,
}

/// The login keys in an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageLogins {
    Found(LoginFiles),
    /// The image has no NixOS that can be read.
    NoSystem,
    /// The image is compressed, and too little of it was kept.
    #[default]
    NotKept,
}

impl ImageFacts {
    /// Reads the facts of an image with this `layout` from `disk`.
    fn read(disk: &dyn ReadAt, layout: &PartitionTable) -> Self {
        Self { logins: ImageLogins::read(disk, layout), boards: read_boards(disk, layout) }
    }

    /// Reads the facts of a compressed image with this `layout` from its `kept` sectors. What one fact lacks does not
    /// make the other unknown.
    fn of_kept(kept: &KeptSectors, layout: &PartitionTable) -> Self {
        let logins = ImageLogins::read(kept, layout);
        let logins = if kept.take_is_missed() { ImageLogins::NotKept } else { logins };
        let boards = read_boards(kept, layout).filter(|_| !kept.take_is_missed());
        Self { logins, boards }
    }
}

impl ImageLogins {
    fn read(disk: &dyn ReadAt, layout: &PartitionTable) -> Self {
        let logins = read_login_files(disk, layout, &Budget::without_stop()).ok().flatten();
        logins.map_or(Self::NoSystem, Self::Found)
    }
}

fn read_boards(disk: &dyn ReadAt, layout: &PartitionTable) -> Option<Vec<BoardProof>> {
    prove_boards(disk, layout, &Budget::without_stop()).ok()
}

impl Image {
    /// The facts of the image: those of its check if it is compressed, and those of its file otherwise.
    pub fn facts(&self) -> ImageFacts {
        match &self.kept_facts {
            Some(facts) => facts.clone(),
            None if self.source.format == Format::Raw => {
                let file = bounded::open(&self.source.path, Links::Refuse);
                file.map_or_else(|_| ImageFacts::default(), |file| ImageFacts::read(&file, &self.layout))
            }
            None => ImageFacts::default(),
        }
    }
}

#[cfg(test)]
mod tests;
