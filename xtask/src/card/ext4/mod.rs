//! Putting files into the ext4 file system of a card that nothing has mounted, and nothing could: its partition table
//! is still blank.
//!
//! The metadata is copied into memory by `e2image`, `debugfs` changes that copy, and what it has changed is
//! what the engine writes. Then the files are read back through the file system of the card, by another
//! implementation than the one that wrote them, and `e2fsck` looks at it.

mod debugfs_script;
mod metadata_copy;
mod programs;
mod reader;
mod replaced_files;

use std::fs::File;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::base::failure::ExitKind;
use crate::base::memfd;
use crate::base::{Event, Plain, Reporter};
use crate::card::flash::{Change, PayloadPlan, PayloadWriter};
use crate::card::image::{self};
use crate::card::inspect::{Budget, MEMORY};
use crate::identity::{PAYLOAD_ROOT, Payload};
use metadata_copy::MetadataCopy;
use programs::{Callable, Guard};
use reader::View;

pub use debugfs_script::check as check_entries;
pub use programs::{Programs, check as check_programs};
pub use replaced_files::replaced;

/// What is put on one card.
pub struct Ext4Payload<'a> {
    carried: &'a PayloadPlan,
    programs: Callable,
    card: File,
    reporter: &'a dyn Reporter,
    stop: &'a AtomicBool,
    begun: OnceLock<Instant>,
}

impl<'a> Ext4Payload<'a> {
    /// Prepares to put `carried` on the card that is open as `card`, which children open anew. `stop` ends the reading of it.
    ///
    /// # Errors
    /// Programs that are not there, and entries that these cannot be given, whoever let them come this far.
    pub fn new(
        carried: &'a PayloadPlan,
        card: &File,
        programs: Programs,
        reporter: &'a dyn Reporter,
        stop: &'a AtomicBool,
    ) -> Result<Self> {
        check_entries(&carried.payload.entries)?;
        let card = memfd::inherited(card).context("opening the card a second time")?;
        let programs = Callable::find(programs)?;
        Ok(Self { carried, programs, card, reporter, stop, begun: OnceLock::new() })
    }

    /// The card for a child of this process. Its name says which open file is meant, whatever has become of the
    /// path by which it was opened.
    fn path(&self) -> String {
        memfd::path(&self.card)
    }

    /// The card, opened once more: what is read comes from it and not from what somebody else has open.
    fn open(&self) -> Result<File> {
        File::open(self.path()).context("opening the card a second time")
    }

    /// What reading the file system may cost, with what is put there.
    fn budget(&self) -> Budget<'a> {
        Budget::new(self.stop).with(reader::cost(&self.payload().entries))
    }

    /// Fails where the file system on the card is not the one of the plan: all that computes with its numbers relies on
    /// that.
    fn check_root(&self, card: &File) -> Result<()> {
        let found = image::root_on(card, &self.carried.root, &self.budget())?;
        if found == self.carried.root {
            return Ok(());
        }
        Err(wrong("the file system on the card is not the one of the image".to_owned()))
    }

    /// Says that the work begins.
    fn begin(&self) {
        self.begun.get_or_init(Instant::now);
        let name = self.payload().name().to_owned();
        self.reporter.report(&Event::Phase { name, total: None, bytes: false });
    }

    /// Says what the work has come to.
    fn end(&self) {
        let (payload, seconds) =
            (self.payload(), self.begun.get_or_init(Instant::now).elapsed().as_secs_f64());
        let text = format!("{}, read back and compared ({seconds:.1} s)", payload.summary());
        self.reporter.report(&Event::Found { name: payload.name().to_owned(), text });
    }

    fn payload(&self) -> &Payload {
        &self.carried.payload
    }

    /// What is said of an error, whatever it is.
    fn doing(&self) -> String {
        format!("putting {} on the card", self.payload().summary())
    }
}

impl PayloadWriter for Ext4Payload<'_> {
    fn changes(&self) -> Result<Vec<Change>> {
        self.begin();
        let (root, entries) = (&self.carried.root, &self.payload().entries);
        let doing = || self.doing();
        let card = self.open()?;
        self.check_root(&card).with_context(doing)?;
        let there = View::open(&card, root, self.budget()).with_context(doing)?;
        let script = debugfs_script::write(entries, |path| there.look(path)).with_context(doing)?;
        // Those that nobody was told of before.
        for replaced in script.replaced.iter().filter(|path| !self.carried.replaced.contains(path)) {
            let text = format!("replaces {PAYLOAD_ROOT}/{} of the image", Plain(replaced));
            self.reporter.report(&Event::note(text));
        }
        let scratch =
            MetadataCopy::copy(&self.programs, &self.path(), root, self.stop).with_context(doing)?;
        // What is put there comes on top of what is there.
        let most = MEMORY.saturating_add(reader::cost(entries));
        let guard = Guard { stop: self.stop, memory: Some((scratch.file(), most)) };
        let said = self.programs.debugfs(&script, &scratch.path(), &guard).with_context(doing)?;
        View::open(scratch.file(), &metadata_copy::place(root), self.budget())
            .and_then(|view| view.has(entries))
            .and_then(|()| self.programs.e2fsck(&scratch.path(), self.stop))
            .with_context(|| format!("debugfs said: {said}"))
            .with_context(doing)?;
        scratch.changes(root).with_context(doing)
    }

    fn prove(&self) -> Result<()> {
        let (card, root) = (self.open()?, &self.carried.root);
        let start = root.start;
        let read = View::open(&card, root, self.budget());
        let read = read.and_then(|view| view.has(&self.payload().entries));
        let sound =
            read.and_then(|()| self.programs.e2fsck(&format!("{}?offset={start}", self.path()), self.stop));
        sound.with_context(|| format!("reading back {}", self.payload().summary()))?;
        self.end();
        Ok(())
    }
}

/// What is wrong with a card on which something is not as it was put there.
fn wrong(text: String) -> anyhow::Error {
    ExitKind::Verification.error(text)
}
