//! The image files of a run: each is made when it is first needed, and all are gone at the end.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context as _, Result};

use super::assembly::{Assembly, native_tools, unpack};
use super::closure::Closure;
use super::content::{BLOCK, Content};
use super::image::{Image, Variant};
use super::peers::Job;
use super::workdir::{Scratch, Workdir};
use crate::base::Context;
use crate::base::failure::ExitKind;
use crate::base::interrupt::SignalGuard;

/// What has been made so far, and where.
pub struct Fixtures<'a> {
    cx: &'a Context,
    hold: &'a SignalGuard,
    place: Workdir,
    content: Rc<Content>,
    packed: BTreeSet<Variant>,
    mapped: BTreeSet<Variant>,
}

impl<'a> Fixtures<'a> {
    pub fn new(cx: &'a Context, hold: &'a SignalGuard) -> Result<Self> {
        let (place, content) = (Workdir::take(cx)?, Rc::new(Content::new()));
        Ok(Self { cx, hold, place, content, packed: BTreeSet::new(), mapped: BTreeSet::new() })
    }

    /// The state folder of the runs: receipts of cards that are gone are of no use to anybody.
    pub fn state(&self) -> PathBuf {
        self.place.join("state")
    }

    pub fn image(&mut self, variant: Variant) -> Result<Image> {
        if !variant.is_assembled() {
            return Ok(Image::new(self.content.clone(), variant));
        }
        self.file(variant)?;
        Image::open(&self.raw(variant))
    }

    /// The file of an image as it is.
    fn raw(&self, variant: Variant) -> PathBuf {
        self.place.join(format!("{}.img", variant.name()))
    }

    /// The compressed file of an image.
    pub fn file(&mut self, variant: Variant) -> Result<PathBuf> {
        let file = self.place.join(format!("{}.img.zst", variant.name()));
        if !self.packed.contains(&variant) {
            if variant.is_assembled() {
                self.assemble()?;
            } else {
                let image = self.image(variant)?;
                self.cx.in_phase("make the image", || image.pack(&file, self.hold))?;
                self.packed.insert(variant);
            }
        }
        Ok(file)
    }

    /// Assembles a host's image and the next one, as they are built: the folder of the first becomes that of
    /// the second.
    fn assemble(&mut self) -> Result<()> {
        let tools = native_tools(self.cx)?;
        let scratch = Scratch::new(self.place.join("content"))?;
        let mut closure = Closure::of(400);
        for variant in [Variant::Host, Variant::Next] {
            let out = self.raw(variant).with_extension("img.zst");
            self.packed.insert(variant);
            self.cx.in_phase("assemble the image", || {
                closure.write(scratch.path())?;
                Assembly { tools: &tools, content: scratch.path(), out: &out, level: 3 }.run(self.cx)?;
                self.hold.check()?;
                unpack(&out)
            })?;
            let found = Image::open(&self.raw(variant))?.size();
            if found != variant.size() {
                let text = format!("{} has {found} bytes and not {}", out.display(), variant.size());
                return Err(ExitKind::Other.error(text));
            }
            closure.reconfigure();
        }
        Ok(())
    }

    /// Makes the map that bmaptool reads beside the file of `job`.
    pub fn map(&mut self, variant: Variant, job: &Job) -> Result<()> {
        if !self.mapped.insert(variant) {
            return Ok(());
        }
        let (raw, image) = (self.raw(variant), self.image(variant)?);
        let made = self.cx.in_phase("map the image", || {
            sparse(&image, &raw, self.hold)?;
            let args = ["create".into(), "-o".into(), job.map().into_os_string(), raw.clone().into()];
            let made = self.cx.launcher.read("bmaptool", &args);
            // Ctrl-C ends it too, and what it says then explains nothing.
            self.hold.check().and(made)
        });
        // It is there for the map alone.
        let _ = fs::remove_file(&raw);
        made.map(drop)
    }
}

impl Drop for Fixtures<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.state());
        for variant in self.packed.union(&self.mapped) {
            for ending in ["img.zst", "img.bmap", "img"] {
                let _ = fs::remove_file(self.place.join(format!("{}.{ending}", variant.name())));
            }
        }
    }
}

/// Writes `image` to `path` as it is, with holes for its zeros.
fn sparse(image: &Image, path: &Path, hold: &SignalGuard) -> Result<()> {
    let doing = || format!("writing {}", path.display());
    let file = File::create(path).with_context(doing)?;
    file.set_len(image.size()).with_context(doing)?;
    for (block, offset) in image.blocks().zip((0..).step_by(BLOCK)) {
        hold.check()?;
        block?.map_or(Ok(()), |block| file.write_all_at(&block, offset)).with_context(doing)?;
    }
    Ok(())
}
