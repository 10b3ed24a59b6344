//! A card that fails on demand: a file that this process serves over FUSE, and a loop device over it with
//! direct I/O. The worker meets a real block device with real errors.

use std::sync::Arc;

use fuser::{BackgroundSession, Config};

use crate::card::MIB;
use crate::fuse_card::{DeviceFault, FuseCard};
use crate::fuse_card_fs::FuseCardFs;
use crate::image::garbage;
use crate::support::loops::Loop;

/// A card that fails on demand. Dropping this value detaches the loop device and unmounts the file.
pub struct FaultyCard {
    /// Dropped first, because the loop device cannot be detached while a request hangs.
    _release: ReleaseOnDrop,
    _device: Option<Loop>,
    path: String,
    fake: Arc<FuseCard>,
    _mount: Mount,
    _dir: tempfile::TempDir,
}

/// Ends a stall when this value is dropped, so that no request hangs after the test has ended.
struct ReleaseOnDrop(Arc<FuseCard>);

impl Drop for ReleaseOnDrop {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// The mount of the file system, which is unmounted when this value is dropped.
struct Mount(Option<BackgroundSession>);

impl Drop for Mount {
    fn drop(&mut self) {
        let ended = self.0.take().map(BackgroundSession::umount_and_join);
        ended.expect("a session").expect("unmounting the fake card");
    }
}

impl FaultyCard {
    /// A card of `mib` MiB of garbage with `fault`.
    #[track_caller]
    pub fn new(mib: usize, fault: DeviceFault) -> Self {
        Self::holding(garbage(mib * MIB), fault)
    }

    /// A card that holds `bytes` and has `fault`.
    #[track_caller]
    pub fn holding(bytes: Vec<u8>, fault: DeviceFault) -> Self {
        let card = Self::file_holding(bytes, fault);
        let device = Loop::over(card.path.as_ref(), &["--direct-io=on"]);
        Self { path: device.device().to_owned(), _device: Some(device), ..card }
    }

    /// A card without a loop device: the tool gets the results of the file unchanged.
    #[track_caller]
    pub fn without_loop_device(mib: usize, fault: DeviceFault) -> Self {
        Self::file_holding(garbage(mib * MIB), fault)
    }

    /// The file alone, which holds `bytes`.
    #[track_caller]
    fn file_holding(bytes: Vec<u8>, fault: DeviceFault) -> Self {
        let fake = Arc::new(FuseCard::new(bytes, fault));
        let dir = tempfile::tempdir().expect("making a folder");
        let mount = fuser::spawn_mount(FuseCardFs(Arc::clone(&fake)), dir.path(), &Config::default());
        let mount = Mount(Some(mount.expect("mounting the fake card")));
        let path = dir.path().join("card").to_str().expect("a plain path").to_owned();
        Self {
            _release: ReleaseOnDrop(Arc::clone(&fake)),
            _device: None,
            path,
            fake,
            _mount: mount,
            _dir: dir,
        }
    }

    /// The path of the loop device, or of the file where there is none.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Waits until a request hangs.
    #[track_caller]
    pub fn wait_for_stall(&self) {
        self.fake.wait_for_stall();
    }

    /// Ends a stall.
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
