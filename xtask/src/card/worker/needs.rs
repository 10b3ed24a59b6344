//! What a job takes before it can be done.

use std::path::PathBuf;

use crate::card::disk::Disk;
use crate::card::image::Image;

/// What a job does with the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

/// What a job takes.
#[derive(Clone, Copy, Debug)]
pub struct Needs<'a> {
    pub disk: &'a Disk,
    pub access: Access,
    /// The image that is read for it.
    pub image: Option<&'a Image>,
    /// The places from which the card is unmounted first. Whoever may write a card may still not unmount it.
    pub unmount: &'a [PathBuf],
}
