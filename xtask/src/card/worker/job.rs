//! The jobs of the worker. Each looks at the card again and refuses one that is not the card of the job.

use std::fs::File;
use std::io::Read;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::claim::Claimed;
use super::needs::{Access, Needs};
use crate::base::Reporter;
use crate::card::disk::Disk;
use crate::card::ext4::{Ext4Payload, Programs};
use crate::card::flash::{self, Added, Comparison, Content, FileCard, PayloadWriter, Plan, Report};
use crate::card::image::Image;
use crate::card::inspect::{self, Budget, Inspection};

/// One job, and what it answers.
pub trait Work: Clone + Into<Job> + Serialize {
    type Answer: Serialize + DeserializeOwned;
    const ACCESS: Access;
    /// What it means that the worker ended in the middle of it, as the end of a sentence.
    const CUT_SHORT: &'static str;

    fn needs(&self) -> Needs<'_>;
    /// Does it to the `card`, which is claimed.
    fn carry_out(&self, card: Claimed, job_context: &JobContext) -> Result<Self::Answer>;
}

/// What the worker has beside the job.
pub struct JobContext<'a> {
    pub reporter: &'a dyn Reporter,
    /// Says that the card is claimed, and that from here on it is read or written.
    pub begun: &'a (dyn Fn() + Sync),
    /// Set when the worker is to stop.
    pub cancel: &'a AtomicBool,
    /// The image, as it was handed over.
    pub image: Option<&'a File>,
    /// The programs that change file systems.
    pub programs: Programs<'a>,
}

impl JobContext<'_> {
    /// Opens the decompressed content of `image`.
    fn stream(&self, image: &Image) -> Result<Box<dyn Read + Send>> {
        image.source.stream_of(self.image.context("no image came with the job")?)
    }
}

/// A job on its way to the worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    Flash(Plan),
    Compare(Comparing),
    Capacity(Capacity),
    Inspect(Inspecting),
}

impl Job {
    pub fn needs(&self) -> Needs<'_> {
        match self {
            Self::Flash(plan) => plan.needs(),
            Self::Compare(comparing) => comparing.needs(),
            Self::Capacity(capacity) => capacity.needs(),
            Self::Inspect(inspecting) => inspecting.needs(),
        }
    }
}

/// Comparing a card with an image, without writing anything.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Comparing {
    pub disk: Disk,
    pub against: Against,
    /// What was put on the card beside the image, as far as a receipt tells.
    #[serde(default)]
    pub added: Option<Added>,
}

/// What a card is compared with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    Image(Image),
    /// The image is gone, and this is known of it.
    Hash {
        /// In bytes.
        size: u64,
        #[serde(with = "crate::card::image::digest")]
        hash: blake3::Hash,
    },
}

/// The check of the card's capacity alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Capacity {
    pub disk: Disk,
}

/// Reading what is on a card.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Inspecting {
    pub disk: Disk,
}

impl Work for Plan {
    type Answer = Report;
    const ACCESS: Access = Access::Write;
    const CUT_SHORT: &'static str = "before the card was complete; run the same command again";

    fn needs(&self) -> Needs<'_> {
        Needs { disk: &self.disk, access: Self::ACCESS, image: Some(&self.image), unmount: &self.unmount }
    }

    fn carry_out(&self, card: Claimed, job_context: &JobContext) -> Result<Report> {
        let (image, Claimed { locked, view }) = (&self.image, card);
        let placing = |carried| {
            Ext4Payload::new(carried, &view, job_context.programs, job_context.reporter, job_context.cancel)
        };
        let placing = self.carried.as_ref().map(placing).transpose()?;
        let addition = placing.as_ref().map(|placing| placing as &dyn PayloadWriter);
        let card = FileCard::locked(locked, self.disk.size)?;
        (job_context.begun)();
        let content = Content { size: image.size, hash: image.hash, open: &|| job_context.stream(image) };
        flash::write_image(&card, &content, addition, self.mode, job_context.reporter, job_context.cancel)
    }
}

impl Work for Comparing {
    type Answer = Comparison;
    const ACCESS: Access = Access::Read;
    const CUT_SHORT: &'static str = "before the card was compared; run the same command again";

    fn needs(&self) -> Needs<'_> {
        let image = match &self.against {
            Against::Image(image) => Some(image),
            Against::Hash { .. } => None,
        };
        Needs { disk: &self.disk, access: Self::ACCESS, image, unmount: &[] }
    }

    fn carry_out(&self, card: Claimed, job_context: &JobContext) -> Result<Comparison> {
        let card = FileCard::locked(card.locked, self.disk.size)?;
        (job_context.begun)();
        match &self.against {
            Against::Image(image) => {
                let content =
                    Content { size: image.size, hash: image.hash, open: &|| job_context.stream(image) };
                flash::compare(&card, &content, self.added.as_ref(), job_context.reporter, job_context.cancel)
            }
            Against::Hash { size, hash } => {
                flash::compare_hash(&card, *size, *hash, job_context.reporter, job_context.cancel)
            }
        }
    }
}

impl Work for Capacity {
    /// At how many places the card was tried.
    type Answer = usize;
    const ACCESS: Access = Access::Write;
    const CUT_SHORT: &'static str =
        "before it had put back what was there: the card may hold stamps of 4 KiB in up to 110 places";

    fn needs(&self) -> Needs<'_> {
        Needs { disk: &self.disk, access: Self::ACCESS, image: None, unmount: &[] }
    }

    fn carry_out(&self, card: Claimed, job_context: &JobContext) -> Result<usize> {
        let card = FileCard::locked(card.locked, self.disk.size)?;
        (job_context.begun)();
        flash::check_capacity(&card, job_context.reporter, job_context.cancel)
    }
}

impl Work for Inspecting {
    type Answer = Inspection;
    const ACCESS: Access = Access::Read;
    const CUT_SHORT: &'static str = "before the card was inspected; run the same command again";

    fn needs(&self) -> Needs<'_> {
        Needs { disk: &self.disk, access: Self::ACCESS, image: None, unmount: &[] }
    }

    fn carry_out(&self, card: Claimed, job_context: &JobContext) -> Result<Inspection> {
        (job_context.begun)();
        inspect::inspect(card.locked.file(), self.disk.size, &Budget::new(job_context.cancel))
    }
}

impl From<Plan> for Job {
    fn from(plan: Plan) -> Self {
        Self::Flash(plan)
    }
}

impl From<Comparing> for Job {
    fn from(comparing: Comparing) -> Self {
        Self::Compare(comparing)
    }
}

impl From<Capacity> for Job {
    fn from(capacity: Capacity) -> Self {
        Self::Capacity(capacity)
    }
}

impl From<Inspecting> for Job {
    fn from(inspecting: Inspecting) -> Self {
        Self::Inspect(inspecting)
    }
}
