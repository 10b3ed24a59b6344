//! The image files of a run: made on first use, and removed at the end.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context as _, Result};

use super::assembly::{Assembly, decompress, native_tools};
use super::closure::Closure;
use super::content::{CHUNK, Content};
use super::image::{Image, Variant};
use super::peers::Job;
use super::workdir::{TemporaryFolder, Workdir};
use crate::bail;
use crate::base::Context;
use crate::base::interrupt::SignalGuard;

/// The files made so far.
pub struct Fixtures<'a> {
    cx: &'a Context,
    signals: &'a SignalGuard,
    workdir: Workdir,
    content: Rc<Content>,
    compressed: BTreeSet<Variant>,
    mapped: BTreeSet<Variant>,
}

impl<'a> Fixtures<'a> {
    pub fn new(cx: &'a Context, signals: &'a SignalGuard) -> Result<Self> {
        Ok(Self {
            cx,
            signals,
            workdir: Workdir::take(cx)?,
            content: Rc::new(Content::new()),
            compressed: BTreeSet::new(),
            mapped: BTreeSet::new(),
        })
    }

    /// The state folder of the runs, apart from the user's: their receipts are of cards that no longer exist.
    pub fn state(&self) -> PathBuf {
        self.workdir.join("state")
    }

    pub fn image(&mut self, variant: Variant) -> Result<Image> {
        if !variant.is_assembled() {
            return Ok(Image::new(self.content.clone(), variant));
        }
        self.file(variant)?;
        Image::open(&self.raw(variant))
    }

    /// The uncompressed file of an image.
    fn raw(&self, variant: Variant) -> PathBuf {
        self.workdir.join(format!("{}.img", variant.name()))
    }

    /// The compressed file of an image.
    pub fn file(&mut self, variant: Variant) -> Result<PathBuf> {
        let file = self.workdir.join(format!("{}.img.zst", variant.name()));
        if !self.compressed.contains(&variant) {
            if variant.is_assembled() {
                self.assemble()?;
            } else {
                let image = self.image(variant)?;
                self.cx.in_phase("make the image", || image.compress(&file, self.signals))?;
                self.compressed.insert(variant);
            }
        }
        Ok(file)
    }

    /// Assembles the image of a host and its next one. The second closure is written over the first, as paths stay.
    fn assemble(&mut self) -> Result<()> {
        let tools = native_tools(self.cx)?;
        let folder = TemporaryFolder::new(self.workdir.join("content"))?;
        let mut closure = Closure::with_size(400);
        for variant in [Variant::Host, Variant::Next] {
            let out = self.raw(variant).with_extension("img.zst");
            self.compressed.insert(variant);
            self.cx.in_phase("assemble the image", || {
                closure.write(folder.path())?;
                Assembly { tools: &tools, content: folder.path(), out: &out, level: 3 }.run(self.cx)?;
                self.signals.check()?;
                decompress(&out)
            })?;
            let found = Image::open(&self.raw(variant))?.size();
            if found != variant.size() {
                bail!(Other, "{} has {found} bytes, not {}", out.display(), variant.size());
            }
            closure.reconfigure();
        }
        Ok(())
    }

    /// Makes the block map of bmaptool beside the file of `job`.
    pub fn map(&mut self, variant: Variant, job: &Job) -> Result<()> {
        if !self.mapped.insert(variant) {
            return Ok(());
        }
        let raw = self.raw(variant);
        let image = self.image(variant)?;
        let made = self.cx.in_phase("map the image", || {
            write_sparse(&image, &raw, self.signals)?;
            let args = ["create".into(), "-o".into(), job.map().into_os_string(), raw.clone().into()];
            let made = self.cx.launcher.read("bmaptool", &args);
            // Ctrl-C ends bmaptool too, and its error would hide the interrupt.
            self.signals.check().and(made)
        });
        // The raw file is only for the map.
        let _ = fs::remove_file(&raw);
        made.map(drop)
    }
}

impl Drop for Fixtures<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.state());
        for variant in self.compressed.union(&self.mapped) {
            for ending in ["img.zst", "img.bmap", "img"] {
                let _ = fs::remove_file(self.workdir.join(format!("{}.{ending}", variant.name())));
            }
        }
    }
}

/// Writes `image` uncompressed to the sparse file `path`.
fn write_sparse(image: &Image, path: &Path, signals: &SignalGuard) -> Result<()> {
    let doing = || format!("writing {}", path.display());
    let file = File::create(path).with_context(doing)?;
    file.set_len(image.size()).with_context(doing)?;
    for (chunk, offset) in image.chunks().zip((0..).step_by(CHUNK)) {
        signals.check()?;
        chunk?.map_or(Ok(()), |chunk| file.write_all_at(&chunk, offset)).with_context(doing)?;
    }
    Ok(())
}
