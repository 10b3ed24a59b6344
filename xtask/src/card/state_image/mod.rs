//! An image with the state of a host: the image is decompressed to a file, its last partition and the file system there
//! grow by what the state needs, and the state is written to it and read back. No root is needed, and no loop device.

mod content;
mod grow;
mod raw_file;
mod verify;
mod writer;

use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use crate::base::Bytes;
use crate::base::failure::ExitKind;
use crate::base::{Phase, Reporter};
use crate::card::ext4::{E2fsprogs, PayloadPlace, ProgramSource};
use crate::card::image::{self, Ext4Region, Image};
use crate::card::inspect::{Budget, Partition};
use crate::card::saved_state::{StateSource, Survey};
use crate::identity::Usage;
use grow::{extension, fits, grow, growing_partition};
use verify::verify;
use writer::StateWriter;

pub use raw_file::RawFile;

/// Writes images with states.
pub struct StateImage<'a> {
    /// The folder for files of this size, which only this user can read.
    pub folder: &'a std::path::Path,
    /// Set when the user asks to stop.
    pub cancel: &'a AtomicBool,
    pub reporter: &'a dyn Reporter,
}

impl StateImage<'_> {
    /// Makes the file of `image` with the state of `source`, which was measured as `survey`, at `place`.
    ///
    /// # Errors
    /// `Refused` without room in the folder, and for an image whose partition cannot grow. `Verification` where the
    /// file does not have the state in the end.
    pub fn make(
        &self,
        image: &Image,
        place: &PayloadPlace,
        source: &StateSource,
        survey: &Survey,
    ) -> Result<RawFile> {
        let programs = E2fsprogs::find(ProgramSource::OnPath)?;
        let usage = survey.max_usage(place.region.block_size);
        let growing = growing_partition(image, &place.region);
        let extension = growing.map_or(0, |_| extension(&place.region, usage));
        if growing.is_none() {
            require_space(&place.region, usage)?;
        }
        // The partition grows in a file of its own, which is gone before the state comes.
        let beside = if extension > 0 { image.size.max(survey.largest) } else { survey.largest };
        raw_file::require_room(self.folder, image.size + extension + beside, survey)?;
        let raw = RawFile::create(self.folder, self.reporter)?;
        let filled = self.unpack(&raw, image, place, growing.map(|own| (own, extension)), &programs);
        let filled = filled.and_then(|region| {
            require_space(&region, usage)?;
            self.fill(&raw, &region, place, source, survey, &programs)
        });
        // The file still takes its room here.
        filled.map_err(|error| raw.explain(error))?;
        Ok(raw)
    }

    /// Unpacks `image` to `raw`, and grows its partition, where `growing` names it with the bytes to grow by. Returns
    /// the region of `place` as it is then.
    fn unpack(
        &self,
        raw: &RawFile,
        image: &Image,
        place: &PayloadPlace,
        growing: Option<(&Partition, u64)>,
        programs: &E2fsprogs,
    ) -> Result<Ext4Region> {
        self.in_phase("unpack", image.size, |phase| raw.unpack(image, self.cancel, phase))?;
        match growing {
            Some((partition, extension)) => {
                grow(raw, image, partition, &place.region, extension, programs, self.cancel)
            }
            None => Ok(place.region.clone()),
        }
    }

    /// Writes the state to the file system `region` of `raw`, and reads it back.
    fn fill(
        &self,
        raw: &RawFile,
        region: &Ext4Region,
        place: &PayloadPlace,
        source: &StateSource,
        survey: &Survey,
        programs: &E2fsprogs,
    ) -> Result<()> {
        let made = self.in_phase("state", survey.bytes, |phase| {
            let mut writer = StateWriter::new(raw, region, &place.root, programs, self.cancel);
            let mut written = Survey::default();
            source.visit(&mut |entry, content| {
                written.count(&entry)?;
                if !written.is_within(survey) {
                    return Err(ExitKind::Refused.error("the state has grown since it was measured"));
                }
                writer.add(entry, content, phase)
            })?;
            writer.finish()
        })?;
        self.in_phase("read back", survey.bytes, |phase| {
            programs.e2fsck(&raw.file_system(region), self.cancel)?;
            verify(raw, region, &made, self.cancel, phase)
        })
        .context("verifying the state in the image")
    }

    /// Runs `work` as the phase `name`, out of `total` bytes.
    fn in_phase<T>(
        &self,
        name: &'static str,
        total: u64,
        work: impl FnOnce(&mut Phase) -> Result<T>,
    ) -> Result<T> {
        let mut phase = Phase::begin(self.reporter, name, Some(total));
        let result = work(&mut phase)?;
        phase.end();
        Ok(result)
    }
}

/// Fails where `region` has no room for `usage`.
fn require_space(region: &Ext4Region, usage: Usage) -> Result<()> {
    if fits(region, usage) {
        return Ok(());
    }
    let [needed, free] = [usage.blocks, region.free_blocks].map(|blocks| Bytes(blocks * region.block_size));
    crate::bail!(
        Refused,
        "{} of the image has {free} and {} inodes free for the state, which needs up to {needed} and {}",
        region.name, region.free_inodes, usage.inodes;
        hint: "build an image with a larger {}", region.name
    )
}

/// The region at its size after it has grown.
fn reread(raw: &RawFile, region: &Ext4Region, cancel: &AtomicBool) -> Result<Ext4Region> {
    image::reread_region(raw.file(), region, &Budget::new(cancel))
}
