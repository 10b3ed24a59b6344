//! Writing a payload into the ext4 file system of a card. Nothing can have mounted the file system, because the
//! partition table of the card is still blank.
//!
//! `e2image` copies the metadata into memory, `debugfs` changes the copy, and the engine writes the changed blocks.
//! Then the project's own ext4 reader, which shares no code with `debugfs`, reads the files back from the card and
//! compares them, and `e2fsck` checks the file system.

mod debugfs_script;
mod layout;
mod metadata_copy;
mod programs;
mod reader;
mod replaced_files;

use std::fs::File;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

use crate::base::failure::ExitKind;
use crate::base::memfd;
use crate::base::{Event, Plain, Reporter, RunningPhase};
use crate::card::flash::{Change, PayloadPlan, PayloadWriter};
use crate::card::image;
use crate::card::inspect::{Budget, MAX_MEMORY};
use crate::identity::Payload;
use metadata_copy::MetadataCopy;
use programs::MemoryLimit;

pub use debugfs_script::{DebugfsScript, can_write, check as check_entries};
pub use layout::{PayloadPlace, payload_place};
pub use programs::{E2fsprogs, Limits, ProgramSource, find_programs};
pub use reader::{Ext4Reader, PathState};
pub use replaced_files::replaced_files;

/// Writes a payload to one card.
pub struct Ext4Payload<'a> {
    plan: &'a PayloadPlan,
    programs: E2fsprogs,
    card: File,
    reporter: &'a dyn Reporter,
    cancel: &'a AtomicBool,
    /// The phase, once it has begun and until it has ended.
    phase: Mutex<Option<RunningPhase<'a>>>,
}

impl<'a> Ext4Payload<'a> {
    /// Prepares to write the payload of `plan` to the `card`, which children open anew. Once `cancel` is set, the
    /// programs are killed and the readers fail.
    ///
    /// # Errors
    /// A missing program, and an entry that debugfs cannot write, even in a plan that was checked before.
    pub fn new(
        plan: &'a PayloadPlan,
        card: &File,
        programs: ProgramSource,
        reporter: &'a dyn Reporter,
        cancel: &'a AtomicBool,
    ) -> Result<Self> {
        check_entries(&plan.content.root, &plan.content.entries)?;
        let card = memfd::inheritable(card).context("opening the card a second time")?;
        let programs = E2fsprogs::find(programs)?;
        Ok(Self { plan, programs, card, reporter, cancel, phase: Mutex::default() })
    }

    /// The path by which a child opens the card. The path names the open descriptor, even where another card has taken
    /// the device path by now.
    fn card_path(&self) -> String {
        memfd::path(&self.card)
    }

    /// Opens the card anew, with a file position and flags of its own.
    fn open_card(&self) -> Result<File> {
        File::open(self.card_path()).context("opening the card a second time")
    }

    /// The budget for one reading of the file system with the payload.
    fn budget(&self) -> Budget<'a> {
        Budget::new(self.cancel).with_more_bytes(reader::read_budget(&self.payload().entries))
    }

    /// Fails where the file system on the card is not the one of the plan, whose numbers all later steps use.
    fn check_region(&self, card: &File) -> Result<()> {
        let found = image::reread_region(card, &self.plan.region, &self.budget())?;
        if found == self.plan.region {
            return Ok(());
        }
        Err(verification_error("the file system on the card is not the one of the image".to_owned()))
    }

    /// Reports the beginning of the phase.
    fn report_begin(&self) {
        let phase = RunningPhase::begin(self.reporter, self.payload().name());
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = Some(phase);
    }

    /// Reports what was written and how long it took, which ends the phase.
    fn report_end(&self) {
        let phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(phase) = phase {
            let seconds = phase.seconds();
            let summary = self.payload().summary();
            phase.end_with(format!("{summary}, read back and compared ({seconds:.1} s)"));
        }
    }

    fn payload(&self) -> &Payload {
        &self.plan.content
    }

    /// Reports the files of the image that the payload replaces, apart from those that the plan showed.
    fn report_replaced(&self, replaced: &[String]) {
        for path in replaced.iter().filter(|path| !self.plan.replaced.contains(path)) {
            let text = format!("the payload replaces {} of the image", self.payload().root.join(Plain(path)));
            self.reporter.report(&Event::note(text));
        }
    }

    /// Changes a copy of the file system in memory, verifies the copy, and returns the changes.
    fn changes_of_copy(&self) -> Result<Vec<Change>> {
        let region = &self.plan.region;
        let entries = &self.payload().entries;
        let card = self.open_card()?;
        self.check_region(&card)?;
        let before = Ext4Reader::open(&card, region, self.budget())?;
        let script = debugfs_script::build_script(&self.payload().root, entries, |path| before.state(path))?;
        self.report_replaced(&script.replaced);
        let copy = MetadataCopy::copy(&self.programs, &self.card_path(), region, self.cancel)?;
        // The copy grows by the payload.
        let max_memory = MAX_MEMORY.saturating_add(reader::read_budget(entries));
        let limits =
            Limits { cancel: self.cancel, memory: Some(MemoryLimit { file: copy.file(), max: max_memory }) };
        let stderr = self.programs.debugfs(&script, &copy.path(), &limits)?;
        Ext4Reader::open(copy.file(), &metadata_copy::region_at_start(region), self.budget())
            .and_then(|after| after.verify(self.payload()))
            .and_then(|()| self.programs.e2fsck(&copy.path(), self.cancel))
            .with_context(|| format!("debugfs printed: {stderr}"))?;
        copy.changes(region)
    }
}

impl PayloadWriter for Ext4Payload<'_> {
    fn changes(&self) -> Result<Vec<Change>> {
        self.report_begin();
        self.changes_of_copy().with_context(|| format!("writing {} to the card", self.payload().summary()))
    }

    fn verify(&self) -> Result<()> {
        let card = self.open_card()?;
        let region = &self.plan.region;
        let file_system = format!("{}?offset={}", self.card_path(), region.start);
        Ext4Reader::open(&card, region, self.budget())
            .and_then(|reader| reader.verify(self.payload()))
            .and_then(|()| self.programs.e2fsck(&file_system, self.cancel))
            .with_context(|| format!("verifying {}", self.payload().summary()))?;
        self.report_end();
        Ok(())
    }
}

/// The error for a card that does not hold what was written to it.
fn verification_error(text: String) -> anyhow::Error {
    ExitKind::Verification.error(text)
}
