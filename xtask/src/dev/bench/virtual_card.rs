//! A virtual card: memory behind a loop device, held back to the speed of an SD card where that is asked for.

use std::ffi::OsString;
use std::path::Path;

use anyhow::Result;

use super::backing_store::BackingStore;
use super::image::Image;
use super::throttle::{BLKIO, Speed, Throttle, UNLIMITED};
use crate::base::Context;
use crate::base::failure::ExitKind;
use crate::card::disk::LoopDevice;

/// A device for as long as this lives. All of it, except the throttle, is gone even after a SIGKILL: the
/// memory has no name, and the kernel detaches the device.
pub struct Card {
    /// Dropped first: it needs the device.
    _throttle: Option<Throttle>,
    device: LoopDevice,
    memory: BackingStore,
}

impl Card {
    /// A blank card of `size` bytes, a whole number of MiB.
    pub fn make(cx: &Context, size: u64, speed: Option<Speed>) -> Result<Self> {
        let memory = BackingStore::new(size)?;
        let device = LoopDevice::attach(&cx.launcher, &memory.path())?;
        let facts = device.metadata()?;
        // A fast one needs it too: the device may still be held back by somebody who was killed.
        let wanted = speed.is_some() || Path::new(BLKIO).exists();
        let speed = speed.unwrap_or(UNLIMITED);
        let throttle = wanted.then(|| Throttle::set(Path::new(BLKIO), &facts, speed)).transpose()?;
        Ok(Self { _throttle: throttle, device, memory })
    }

    /// `/dev/loop3`.
    pub fn path(&self) -> &Path {
        &self.device.path
    }

    pub fn size(&self) -> u64 {
        self.memory.size()
    }

    /// Brings the card into a state that `prepare` makes out of a blank one.
    pub fn prepare(&self, cx: &Context, prepare: impl FnOnce(&BackingStore) -> Result<()>) -> Result<()> {
        // What a writer left in the cache of the device must not reach the memory later.
        self.flush(cx)?;
        self.memory.erase()?;
        prepare(&self.memory)?;
        self.flush(cx)
    }

    /// Makes the device forget what it has cached of an earlier content.
    fn flush(&self, cx: &Context) -> Result<()> {
        let args = ["--flushbufs".into(), self.path().as_os_str().to_owned()];
        cx.launcher.read("blockdev", &args).map(drop)
    }

    /// Proves that `image` is on it. What a writer has not synced is in the cache of the device, and not here.
    pub fn prove(&self, image: &Image) -> Result<()> {
        let Some(offset) = self.memory.difference(image)? else { return Ok(()) };
        let place = self.path().display();
        let text = format!("{place} does not hold the image: the MiB at byte {offset} is another");
        Err(ExitKind::Verification.error(text))
    }

    /// Measures how fast it is really, which takes a few seconds.
    ///
    /// # Errors
    /// Refused where it is faster than it should be: nothing measured on it would mean anything.
    pub fn try_speed(&self, cx: &Context, speed: Speed) -> Result<()> {
        let device = self.path().display();
        let write = ["if=/dev/zero".to_owned(), format!("of={device}"), "oflag=direct".into()];
        let read = [format!("if={device}"), "of=/dev/null".to_owned(), "iflag=direct".into()];
        let found = Speed { write: rate(cx, &write)?, read: rate(cx, &read)? };
        let text = format!("{device} writes {} and reads {} MB/s", found.write / MB, found.read / MB);
        if found.write > speed.write * 5 / 4 || found.read > speed.read * 5 / 4 {
            let (write, read) = (speed.write / MB, speed.read / MB);
            let text = format!("{text}, held back to {write} and {read} in vain: it is not like an SD card");
            return Err(ExitKind::Refused.error(text));
        }
        cx.note(text);
        Ok(())
    }
}

const MB: u64 = 1_000_000;

/// How many bytes per second dd moves with these words.
fn rate(cx: &Context, words: &[String]) -> Result<u64> {
    const MIB: u64 = 64;
    let fixed = ["dd".to_owned(), "bs=1M".into(), format!("count={MIB}")];
    let words = fixed.iter().chain(words).map(OsString::from).collect::<Vec<_>>();
    let measured = cx.launcher.measure(&[words])?;
    if measured.code != 0 {
        return Err(ExitKind::Io.error(format!("trying the speed of the card: {}", measured.stderr.trim())));
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate for people"
    )]
    Ok(((MIB << 20) as f64 / measured.cost.seconds) as u64)
}
