//! A virtual card: memory behind a loop device, throttled to the speed of an SD card on request.

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;

use anyhow::Result;

use super::backing_store::BackingStore;
use super::image::Image;
use super::throttle::{BLKIO, Speed, Throttle, UNLIMITED};
use crate::bail;
use crate::base::Context;
use crate::card::disk::LoopDevice;

/// A virtual card, which disappears when this value is dropped. Everything but the throttle disappears even after
/// SIGKILL: the memory is anonymous, and the kernel detaches the device.
pub struct BenchCard {
    /// Dropped first: it needs the device.
    _throttle: Option<Throttle>,
    device: LoopDevice,
    store: BackingStore,
}

impl BenchCard {
    /// Makes a blank card of `size` bytes, a whole number of MiB. `speed` is the limit of the throttle; without it
    /// the card is as fast as memory.
    pub fn make(cx: &Context, size: u64, speed: Option<Speed>) -> Result<Self> {
        let store = BackingStore::new(size)?;
        let device = LoopDevice::attach(&cx.launcher, &store.path())?;
        let stat = device.metadata()?;
        // A fast card sets its limit, too: the throttle of a killed process may still be in place.
        let needs_limit = speed.is_some() || Path::new(BLKIO).exists();
        let limit = speed.unwrap_or(UNLIMITED);
        let throttle = needs_limit.then(|| Throttle::set(Path::new(BLKIO), &stat, limit)).transpose()?;
        Ok(Self { _throttle: throttle, device, store })
    }

    /// The path of the device, such as `/dev/loop3`.
    pub fn path(&self) -> &Path {
        &self.device.path
    }

    /// The size in bytes.
    pub fn size(&self) -> u64 {
        self.store.size()
    }

    /// Erases the card, and prepares its content by `prepare`.
    pub fn prepare(&self, cx: &Context, prepare: impl FnOnce(&BackingStore) -> Result<()>) -> Result<()> {
        // Cached writes of an earlier run must not reach the memory later.
        self.flush(cx)?;
        self.store.erase()?;
        prepare(&self.store)?;
        self.flush(cx)
    }

    /// Flushes the buffers of the device.
    fn flush(&self, cx: &Context) -> Result<()> {
        let args = ["--flushbufs".into(), self.path().as_os_str().to_owned()];
        cx.launcher.read("blockdev", &args).map(drop)
    }

    /// Verifies that the card holds `image`. Writes that were not synced are still in the cache of the device and
    /// count as missing.
    pub fn verify(&self, image: &Image) -> Result<()> {
        let Some(offset) = self.store.first_difference(image)? else { return Ok(()) };
        bail!(
            Verification,
            "{} does not hold the image: the MiB at byte {offset} differs",
            self.path().display()
        )
    }

    /// As [`Self::verify`], for the image that `stream` yields.
    pub fn verify_stream(&self, stream: impl Read) -> Result<()> {
        let Some(offset) = self.store.first_difference_to(stream)? else { return Ok(()) };
        bail!(Verification, "{} differs from the image in the MiB at byte {offset}", self.path().display())
    }

    /// Measures the real speed of the card, which takes a few seconds.
    ///
    /// # Errors
    /// `Refused` where the card is more than a quarter faster than `speed`: measurements on it would be meaningless.
    pub fn check_speed(&self, cx: &Context, speed: Speed) -> Result<()> {
        let device = self.path().display();
        let write = ["if=/dev/zero".to_owned(), format!("of={device}"), "oflag=direct".into()];
        let read = [format!("if={device}"), "of=/dev/null".to_owned(), "iflag=direct".into()];
        let measured = Speed { write: measure_rate(cx, &write)?, read: measure_rate(cx, &read)? };
        let rates = format!("{device} writes {} and reads {} MB/s", measured.write / MB, measured.read / MB);
        if measured.write > speed.write * 5 / 4 || measured.read > speed.read * 5 / 4 {
            bail!(
                Refused,
                "{rates}, although throttled to {} and {}: not the speed of an SD card",
                speed.write / MB,
                speed.read / MB
            );
        }
        cx.note(rates);
        Ok(())
    }
}

const MB: u64 = 1_000_000;

/// Runs dd with the arguments `args`, and returns the bytes per second that it copies.
fn measure_rate(cx: &Context, args: &[String]) -> Result<u64> {
    const MIB: u64 = 64;
    let common = ["dd".to_owned(), "bs=1M".into(), format!("count={MIB}")];
    let command = common.iter().chain(args).map(OsString::from).collect::<Vec<_>>();
    let measured = cx.launcher.measure(&[command])?;
    if measured.code != 0 {
        bail!(Io, "measuring the speed of the card: {}", measured.stderr.trim());
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate for people"
    )]
    Ok(((MIB << 20) as f64 / measured.cost.seconds) as u64)
}
