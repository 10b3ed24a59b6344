//! A card that fails on demand: a file that this process serves over FUSE, and a loop device over it with
//! direct I/O. The worker meets a real block device with real errors.

use std::sync::Arc;

use fuser::{BackgroundSession, Config};

use crate::card::MIB;
use crate::fuse_card::{DeviceFault, FuseCard};
use crate::fuse_card_fs::FuseCardFs;
use crate::image::garbage;
use crate::support::loops::Loop;

/// The card. Dropping it detaches the loop device and unmounts the file.
pub struct FaultyCard {
    /// Dropped first, because the loop device cannot be detached while a request hangs.
    _release: Release,
    _device: Option<Loop>,
    path: String,
    fake: Arc<FuseCard>,
    _mount: Mount,
    _dir: tempfile::TempDir,
}

/// Ends a stall on drop, so that no request hangs after the test has ended.
struct Release(Arc<FuseCard>);

impl Drop for Release {
    fn drop(&mut self) {
        self.0.release();
    }
}

struct Mount(Option<BackgroundSession>);

impl Drop for Mount {
    fn drop(&mut self) {
        let ended = self.0.take().map(BackgroundSession::umount_and_join);
        ended.expect("a session").expect("unmounting the fake card");
    }
}

impl FaultyCard {
    /// A card of `mib` MiB of garbage.
    #[track_caller]
    pub fn new(mib: usize, fault: DeviceFault) -> Self {
        Self::holding(garbage(mib * MIB), fault)
    }

    /// A card of these bytes.
    #[track_caller]
    pub fn holding(bytes: Vec<u8>, fault: DeviceFault) -> Self {
        let card = Self::file_of(bytes, fault);
        let device = Loop::over(card.path.as_ref(), &["--direct-io=on"]);
        Self { path: device.device().to_owned(), _device: Some(device), ..card }
    }

    /// The file alone: without a loop device the tool gets the results of the file unchanged.
    #[track_caller]
    pub fn file(mib: usize, fault: DeviceFault) -> Self {
        Self::file_of(garbage(mib * MIB), fault)
    }

    #[track_caller]
    fn file_of(bytes: Vec<u8>, fault: DeviceFault) -> Self {
        let fake = Arc::new(FuseCard::new(bytes, fault));
        let dir = tempfile::tempdir().expect("making a folder");
        let mount = fuser::spawn_mount(FuseCardFs(Arc::clone(&fake)), dir.path(), &Config::default());
        let mount = Mount(Some(mount.expect("mounting the fake card")));
        let path = dir.path().join("card").to_str().expect("a plain path").to_owned();
        Self { _release: Release(Arc::clone(&fake)), _device: None, path, fake, _mount: mount, _dir: dir }
    }

    /// The loop device, or the file where there is none.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Waits until a request hangs.
    #[track_caller]
    pub fn wait_for_stall(&self) {
        self.fake.wait_for_stall();
    }

    pub fn release(&self) {
        self.fake.release();
    }

    /// Repairs the card.
    pub fn repair(&self) {
        self.fake.repair();
    }

    /// How often the fault has occurred, for the faults that are counted.
    pub fn occurrences(&self) -> u32 {
        self.fake.occurrences()
    }

    /// The bytes of the card, read without the kernel.
    pub fn bytes(&self) -> Vec<u8> {
        self.fake.bytes()
    }
}
