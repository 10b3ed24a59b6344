//! The jobs of the worker. Each examines the card again, and refuses a card that is not the one of the job.

use std::fs::File;
use std::io::Read;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::claim::ClaimedCard;
use super::needs::{Access, Needs};
use crate::base::{Event, Reporter};
use crate::card::disk::Disk;
use crate::card::ext4::{Ext4Payload, ProgramSource};
use crate::card::feed::FedReader;
use crate::card::flash::{
    self, Comparison, FileCard, ImageContent, PayloadWriter, Plan, Report, WrittenPayload,
};
use crate::card::image::Image;
use crate::card::inspect::{self, Budget, Inspection};

/// A kind of job, and its answer.
pub trait WorkerJob: Clone + Into<Job> + Serialize {
    type Answer: Serialize + DeserializeOwned;
    const ACCESS: Access;
    /// What the job has not done where the worker ends midway: the end of a sentence that begins "the worker ended
    /// with exit code 1".
    const UNFINISHED: &'static str;
    /// The remedy where the worker ends midway.
    const UNFINISHED_HINT: &'static str = "run the same command again";

    fn needs(&self) -> Needs<'_>;
    /// Runs the job on the claimed `card`.
    fn run(&self, card: ClaimedCard, cx: &JobContext) -> Result<Self::Answer>;
}

/// What the worker gives to every job.
pub struct JobContext<'a> {
    pub reporter: &'a dyn Reporter,
    /// Reports that the card is claimed, and will be read or written from now on.
    pub report_begun: &'a (dyn Fn() + Sync),
    /// Set when the worker is asked to stop.
    pub cancel: &'a AtomicBool,
    /// The image that came with the job, open for reading.
    pub image: Option<&'a File>,
    /// The feed of the image that came with the job, until it is used.
    pub feed: Mutex<Option<File>>,
    /// Where to find the programs that change file systems.
    pub programs: ProgramSource<'a>,
}

impl JobContext<'_> {
    /// Opens the decompressed content of `image`: the first time from its feed, where there is one.
    fn stream(&self, image: &Image) -> Result<Box<dyn Read + Send>> {
        let file = self.image.context("no image came with the job")?;
        let feed = self.feed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(feed) = feed else { return image.source.stream_of(file) };
        let source = image.source.clone();
        let file = file.try_clone().context("opening the image a second time")?;
        Ok(Box::new(FedReader::new(feed, image.size, move || source.stream_of(&file))))
    }
}

/// Any job, as the worker receives it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    Flash(Box<Plan>),
    Compare(CompareJob),
    Capacity(CapacityJob),
    Inspect(InspectJob),
}

impl Job {
    pub fn needs(&self) -> Needs<'_> {
        match self {
            Self::Flash(plan) => plan.needs(),
            Self::Compare(job) => job.needs(),
            Self::Capacity(job) => job.needs(),
            Self::Inspect(job) => job.needs(),
        }
    }
}

/// Compares a card with an image, without writing anything.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CompareJob {
    pub disk: Disk,
    pub against: Against,
    /// The payload that the card got beside the image, if a receipt records one.
    #[serde(default)]
    pub payload: Option<WrittenPayload>,
}

/// What a card is compared with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    Image(Box<Image>),
    /// The size and the hash of an image whose file is gone.
    Hash {
        /// In bytes.
        size: u64,
        #[serde(with = "crate::card::image::digest")]
        hash: blake3::Hash,
    },
}

/// Checks the capacity of a card, and nothing else.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CapacityJob {
    pub disk: Disk,
}

/// Reads what is on a card.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InspectJob {
    pub disk: Disk,
}

impl WorkerJob for Plan {
    type Answer = Report;
    const ACCESS: Access = Access::Write;
    const UNFINISHED: &'static str = "before the card was complete";

    fn needs(&self) -> Needs<'_> {
        Needs { disk: &self.disk, access: Self::ACCESS, image: Some(&self.image), unmount: &self.unmount }
    }

    fn run(&self, card: ClaimedCard, cx: &JobContext) -> Result<Report> {
        let image = &self.image;
        let ClaimedCard { locked, view } = card;
        let ext4_payload = |plan| Ext4Payload::new(plan, &view, cx.programs, cx.reporter, cx.cancel);
        let payload = self.payload.as_ref().map(ext4_payload).transpose()?;
        let payload_writer = payload.as_ref().map(|payload| payload as &dyn PayloadWriter);
        let card = FileCard::from_locked(locked, self.disk.size)?;
        (cx.report_begun)();
        let content = ImageContent { size: image.size, hash: image.hash, open: &|| cx.stream(image) };
        let report = flash::write_image(&card, &content, payload_writer, self.mode, cx.reporter, cx.cancel)?;
        // The card is complete by now: what keeps its files from being read does not make the flash fail.
        let found = inspect::inspect(&view, self.disk.size, &Budget::without_stop());
        let system = found.as_ref().ok().and_then(|found| found.verdict.system()).map(str::to_owned);
        let boards = inspect::proofs(found).unwrap_or_else(|why| {
            let text = format!("whether boards boot from the card is unknown: {why}");
            cx.reporter.report(&Event::warning(text));
            Vec::new()
        });
        Ok(Report { boards, system, ..report })
    }
}

impl WorkerJob for CompareJob {
    type Answer = Comparison;
    const ACCESS: Access = Access::Read;
    const UNFINISHED: &'static str = "before the card was compared";

    fn needs(&self) -> Needs<'_> {
        let image = match &self.against {
            Against::Image(image) => Some(&**image),
            Against::Hash { .. } => None,
        };
        Needs { disk: &self.disk, access: Self::ACCESS, image, unmount: &[] }
    }

    fn run(&self, card: ClaimedCard, cx: &JobContext) -> Result<Comparison> {
        let card = FileCard::from_locked(card.locked, self.disk.size)?;
        (cx.report_begun)();
        match &self.against {
            Against::Image(image) => {
                let content = ImageContent { size: image.size, hash: image.hash, open: &|| cx.stream(image) };
                flash::compare(&card, &content, self.payload.as_ref(), cx.reporter, cx.cancel)
            }
            Against::Hash { size, hash } => flash::compare_hash(&card, *size, *hash, cx.reporter, cx.cancel),
        }
    }
}

impl WorkerJob for CapacityJob {
    /// The number of capacity probes.
    type Answer = usize;
    const ACCESS: Access = Access::Write;
    const UNFINISHED: &'static str =
        "before it had restored the card: up to 110 blocks of 4 KiB may hold capacity probes";
    const UNFINISHED_HINT: &'static str = "flash the card before you use it";

    fn needs(&self) -> Needs<'_> {
        Needs { disk: &self.disk, access: Self::ACCESS, image: None, unmount: &[] }
    }

    fn run(&self, card: ClaimedCard, cx: &JobContext) -> Result<usize> {
        let card = FileCard::from_locked(card.locked, self.disk.size)?;
        (cx.report_begun)();
        flash::check_capacity(&card, cx.reporter, cx.cancel)
    }
}

impl WorkerJob for InspectJob {
    type Answer = Inspection;
    const ACCESS: Access = Access::Read;
    const UNFINISHED: &'static str = "before the card was inspected";

    fn needs(&self) -> Needs<'_> {
        Needs { disk: &self.disk, access: Self::ACCESS, image: None, unmount: &[] }
    }

    fn run(&self, card: ClaimedCard, cx: &JobContext) -> Result<Inspection> {
        (cx.report_begun)();
        inspect::inspect(card.locked.file(), self.disk.size, &Budget::new(cx.cancel))
    }
}

impl From<Plan> for Job {
    fn from(plan: Plan) -> Self {
        Self::Flash(plan.into())
    }
}

impl From<CompareJob> for Job {
    fn from(job: CompareJob) -> Self {
        Self::Compare(job)
    }
}

impl From<CapacityJob> for Job {
    fn from(job: CapacityJob) -> Self {
        Self::Capacity(job)
    }
}

impl From<InspectJob> for Job {
    fn from(job: InspectJob) -> Self {
        Self::Inspect(job)
    }
}
