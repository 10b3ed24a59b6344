//! A card that is none: a file, on a loop device where this machine has them.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::context::Context;
use crate::debian::Lock;
use crate::disk::LoopDevice;

/// A virtual card for as long as this lives; the file stays.
#[derive(Debug)]
pub struct VirtualCard {
    /// What to write to: the loop device, or the file.
    pub path: PathBuf,
    pub file: PathBuf,
    _device: Option<LoopDevice>,
    _lock: Lock,
}

impl VirtualCard {
    /// Makes an empty card of `size` bytes under `home`. Two runs take turns.
    pub fn make(cx: &Context, home: &Path, size: u64) -> Result<Self> {
        let lock = Lock::take(&home.join("card.lock"), cx.reporter.as_ref())?;
        let file = home.join("card.img");
        let doing = || format!("making {}", file.display());
        File::create(&file).and_then(|file| file.set_len(size)).with_context(doing)?;
        let (path, device) = match LoopDevice::attach(&cx.launcher, &file) {
            Ok(device) => (device.path.clone(), Some(device)),
            Err(error) => {
                cx.note(format!("a plain file stands for the card, for want of a loop device: {error:#}"));
                (file.clone(), None)
            }
        };
        Ok(Self { path, file, _device: device, _lock: lock })
    }
}
