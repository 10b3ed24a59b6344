//! What a job needs before it can run.

use std::path::PathBuf;

use crate::card::disk::Disk;
use crate::card::image::Image;

/// What a job does with the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

/// The card that a job works on, and what the job does with it.
#[derive(Clone, Copy, Debug)]
pub struct Needs<'a> {
    pub disk: &'a Disk,
    pub access: Access,
    /// The image that the job reads.
    pub image: Option<&'a Image>,
    /// The mount points from which the card is unmounted first. A user who may write the card may still lack the right
    /// to unmount it.
    pub unmount: &'a [PathBuf],
}
