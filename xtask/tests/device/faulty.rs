//! A card that fails on demand: a file served over FUSE out of this process, and a loop device over it
//! that goes past the page cache. What the writer meets is a real block device with real errors.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyWrite, Request, WriteFlags,
};

use crate::card::MIB;
use crate::image::garbage;
use crate::support::loops::Loop;

/// What a card does wrong. Places are in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    WriteFails(usize),
    ReadFails(usize),
    /// The write is acknowledged and does not happen.
    Lost(usize),
    Flipped(usize),
    /// Addresses from here on begin anew, as on counterfeit cards.
    Wraps(usize),
    /// All fails from the first write of this place on.
    Unplugged(usize),
    /// The write of this place, or the first read of it after it was written, waits for [`FaultyCard::release`].
    StallsWrite(usize),
    StallsRead(usize),
}

/// The place of the one file.
const FILE: INodeNo = INodeNo(2);
/// Nothing about the file is remembered by the kernel.
const AT_ONCE: Duration = Duration::ZERO;

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    fault: Option<Fault>,
    /// The first bytes of the requests that were written.
    written: HashSet<usize>,
    unplugged: bool,
    stalled: bool,
}

#[derive(Default)]
struct Medium {
    state: Mutex<State>,
    changed: Condvar,
}

/// The card; it ends with the loop device and the mount when this is dropped.
pub struct FaultyCard {
    pub device: Loop,
    medium: Arc<Medium>,
    _release: Release,
    _mount: Mount,
    _dir: tempfile::TempDir,
}

/// Nobody may wait for a card whose test has ended.
struct Release(Arc<Medium>);

impl Drop for Release {
    fn drop(&mut self) {
        self.0.release();
    }
}

struct Mount(Option<BackgroundSession>);

impl Drop for Mount {
    fn drop(&mut self) {
        let ended = self.0.take().map(BackgroundSession::umount_and_join);
        ended.expect("a session").expect("unmounting the medium");
    }
}

impl FaultyCard {
    /// A card of `mib` MiB of garbage.
    #[track_caller]
    pub fn new(mib: usize, fault: Fault) -> Self {
        let state = State { bytes: garbage(mib * MIB), fault: Some(fault), ..State::default() };
        let medium = Arc::new(Medium { state: Mutex::new(state), changed: Condvar::new() });
        let dir = tempfile::tempdir().expect("making a folder");
        let mount = fuser::spawn_mount(Served(Arc::clone(&medium)), dir.path(), &Config::default());
        let mount = Mount(Some(mount.expect("mounting the medium")));
        let device = Loop::over(&dir.path().join("card"), &["--direct-io=on"]);
        Self { device, _release: Release(Arc::clone(&medium)), medium, _mount: mount, _dir: dir }
    }

    pub fn path(&self) -> &str {
        self.device.device()
    }

    /// Waits until a request hangs.
    #[track_caller]
    pub fn wait_for_stall(&self) {
        let state = self.medium.lock();
        let (_state, time) = self
            .medium
            .changed
            .wait_timeout_while(state, Duration::from_secs(60), |state| !state.stalled)
            .expect("no panic");
        assert!(!time.timed_out(), "the place of the stall was never reached");
    }

    pub fn release(&self) {
        self.medium.release();
    }

    /// Makes it a good card again.
    pub fn mend(&self) {
        let mut state = self.medium.lock();
        state.fault = None;
        state.unplugged = false;
    }

    /// What is on the medium, without asking the kernel.
    pub fn medium(&self) -> Vec<u8> {
        self.medium.lock().bytes.clone()
    }
}

impl Medium {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    fn release(&self) {
        let mut state = self.lock();
        if matches!(state.fault, Some(Fault::StallsWrite(_) | Fault::StallsRead(_))) {
            state.fault = None;
        }
        self.changed.notify_all();
    }

    /// Waits as long as the fault is to stall in `here`.
    fn stall<'a>(&'a self, mut state: MutexGuard<'a, State>, fault: Fault) -> MutexGuard<'a, State> {
        state.stalled = true;
        self.changed.notify_all();
        let still = |state: &mut State| state.fault == Some(fault);
        self.changed.wait_while(state, still).expect("no panic")
    }

    fn read(&self, here: Range<usize>) -> Result<Vec<u8>, Errno> {
        let mut state = self.lock();
        match state.fault {
            _ if state.unplugged => return Err(Errno::EIO),
            Some(Fault::ReadFails(at)) if here.contains(&at) && state.written.contains(&here.start) => {
                return Err(Errno::EIO);
            }
            Some(fault @ Fault::StallsRead(at))
                if here.contains(&at) && state.written.contains(&here.start) =>
            {
                state = self.stall(state, fault);
            }
            _ => {}
        }
        Ok(state.bytes[state.place(&here)].to_vec())
    }

    fn write(&self, here: Range<usize>, data: &[u8]) -> Result<(), Errno> {
        let mut state = self.lock();
        let mut data = data.to_vec();
        state.written.insert(here.start);
        match state.fault {
            Some(Fault::Unplugged(at)) if here.contains(&at) => state.unplugged = true,
            Some(Fault::WriteFails(at)) if here.contains(&at) => return Err(Errno::EIO),
            Some(Fault::Lost(at)) if here.contains(&at) => return Ok(()),
            Some(Fault::Flipped(at)) if here.contains(&at) => data[at - here.start] ^= 0x10,
            Some(fault @ Fault::StallsWrite(at)) if here.contains(&at) => state = self.stall(state, fault),
            _ => {}
        }
        if state.unplugged {
            return Err(Errno::EIO);
        }
        let place = state.place(&here);
        state.bytes[place].copy_from_slice(&data);
        Ok(())
    }
}

impl State {
    /// Where on the medium the bytes of these addresses are. A request does not cross a place to wrap at.
    fn place(&self, here: &Range<usize>) -> Range<usize> {
        let end = here.end.min(self.bytes.len());
        match self.fault {
            Some(Fault::Wraps(at)) => here.start % at..here.start % at + (end - here.start),
            _ => here.start..end,
        }
    }
}

/// The filesystem: a folder with one file, `card`.
struct Served(Arc<Medium>);

impl Served {
    fn attributes(&self, ino: INodeNo) -> FileAttr {
        let is_file = ino == FILE;
        FileAttr {
            ino,
            size: if is_file { self.0.lock().bytes.len() as u64 } else { 0 },
            blocks: 0,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if is_file { FileType::RegularFile } else { FileType::Directory },
            perm: if is_file { 0o600 } else { 0o700 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

fn range(offset: u64, len: usize) -> Range<usize> {
    let start = usize::try_from(offset).expect("a small card");
    start..start + len
}

impl Filesystem for Served {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        let _ = config.set_max_write(u32::try_from(MIB).expect("small"));
        Ok(())
    }

    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == "card" {
            reply.entry(&AT_ONCE, &self.attributes(FILE), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&AT_ONCE, &self.attributes(ino));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::empty());
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.0.read(range(offset, size as usize)) {
            Ok(bytes) => reply.data(&bytes),
            Err(errno) => reply.error(errno),
        }
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.0.write(range(offset, data.len()), data) {
            Ok(()) => reply.written(u32::try_from(data.len()).expect("small")),
            Err(errno) => reply.error(errno),
        }
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        if self.0.lock().unplugged { reply.error(Errno::EIO) } else { reply.ok() }
    }
}
