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

/// Makes the image files, each on first use. Dropping this value removes them.
pub struct Fixtures<'a> {
    cx: &'a Context,
    signals: &'a SignalGuard,
    workdir: Workdir,
    content: Rc<Content>,
    /// The images whose compressed files exist.
    compressed: BTreeSet<Variant>,
    /// The images with a block map of bmaptool.
    mapped: BTreeSet<Variant>,
}

impl<'a> Fixtures<'a> {
    /// Waits for the working folder, and makes no file yet.
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

    /// The state folder of the runs. The runs do not use that of the user: their receipts would be of cards that no
    /// longer exist.
    pub fn state_folder(&self) -> PathBuf {
        self.workdir.join("state")
    }

    /// The chunks of an image.
    pub fn image(&mut self, variant: Variant) -> Result<Image> {
        if !variant.is_assembled() {
            return Ok(Image::synthetic(self.content.clone(), variant));
        }
        self.compressed_file(variant)?;
        Image::open(&self.uncompressed_path(variant))
    }

    /// The path of the uncompressed file of an image.
    fn uncompressed_path(&self, variant: Variant) -> PathBuf {
        self.workdir.join(format!("{}.img", variant.name()))
    }

    /// The path of the compressed file of an image, which is made on first use.
    pub fn compressed_file(&mut self, variant: Variant) -> Result<PathBuf> {
        let file = self.workdir.join(format!("{}.img.zst", variant.name()));
        if !self.compressed.contains(&variant) {
            if variant.is_assembled() {
                self.assemble_host_images()?;
            } else {
                let image = self.image(variant)?;
                self.cx.in_phase("make the image", || image.compress(&file, self.signals))?;
                self.compressed.insert(variant);
            }
        }
        Ok(file)
    }

    /// Assembles the image of a host and the next image of this host. The second closure is written into the folder
    /// of the first one, whose paths stay.
    fn assemble_host_images(&mut self) -> Result<()> {
        let tools = native_tools(self.cx)?;
        let folder = TemporaryFolder::new(self.workdir.join("content"))?;
        let mut closure = Closure::with_size(400);
        for variant in [Variant::Host, Variant::Next] {
            let out = self.uncompressed_path(variant).with_extension("img.zst");
            self.compressed.insert(variant);
            self.cx.in_phase("assemble the image", || {
                closure.write(folder.path())?;
                Assembly { tools: &tools, content: folder.path(), out: &out, level: 3 }.run(self.cx)?;
                self.signals.check()?;
                decompress(&out)
            })?;
            let size = Image::open(&self.uncompressed_path(variant))?.size();
            if size != variant.size() {
                bail!(Other, "the image in {} has {size} bytes, not {}", out.display(), variant.size());
            }
            closure.reconfigure();
        }
        Ok(())
    }

    /// Makes the block map of bmaptool beside the image file of `job`, if it is missing.
    pub fn make_block_map(&mut self, variant: Variant, job: &Job) -> Result<()> {
        if !self.mapped.insert(variant) {
            return Ok(());
        }
        let uncompressed = self.uncompressed_path(variant);
        let image = self.image(variant)?;
        let made = self.cx.in_phase("map the image", || {
            write_sparse(&image, &uncompressed, self.signals)?;
            let args =
                ["create".into(), "-o".into(), job.block_map().into_os_string(), uncompressed.clone().into()];
            let made = self.cx.launcher.read("bmaptool", &args);
            // Ctrl-C ends bmaptool too, and its error would hide the interrupt.
            self.signals.check().and(made)
        });
        // Only the map needs the uncompressed file.
        let _ = fs::remove_file(&uncompressed);
        made.map(drop)
    }
}

impl Drop for Fixtures<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.state_folder());
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
        if let Some(chunk) = chunk? {
            file.write_all_at(&chunk, offset).with_context(doing)?;
        }
    }
    Ok(())
}
