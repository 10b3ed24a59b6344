//! The card, claimed for a job: as this user, by root for somebody else, or by a process that was root.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use anyhow::{Context, Result};
use rustix::fs::{CWD, FileType, Mode, OFlags, chmod, mknodat, unlink};
use rustix::rand::{GetRandomFlags, getrandom};

use super::caller::Caller;
use super::needs::{Access, Needs};
use crate::base::failure::ExitKind;
use crate::card::disk::{Disk, Locked, Roots, adopt, open_exclusive, open_shared, unmount};

/// A card that is open and locked.
#[derive(Debug)]
pub struct Claimed {
    pub locked: Locked,
    /// The card once more, read through the page cache. A child of this process can open it anew by its number.
    pub view: File,
}

impl Claimed {
    /// As this user, who may open it, or as root, which works for nobody else.
    pub fn open(needs: &Needs) -> Result<Self> {
        let roots = Roots::default();
        unmount(&roots, needs.disk, needs.unmount)?;
        let locked = claim(&roots, needs.disk, needs.access)?;
        let view = File::open(format!("/proc/self/fd/{}", locked.file().as_raw_fd()));
        Ok(Self { locked, view: view.context("opening the card a second time")? })
    }

    /// The card that root has claimed for a caller, so that they can read it by name.
    pub fn lent(locked: Locked) -> Result<Self> {
        let view = node_to_read(locked.file())?;
        Ok(Self { locked, view })
    }

    /// Takes over a card that the process which started this one has claimed.
    pub fn adopt(needs: &Needs, (card, view): (File, File)) -> Result<Self> {
        let locked = adopt(&Roots::default(), needs.disk, card, needs.access == Access::Write)?;
        Ok(Self { locked, view })
    }
}

impl Claimed {
    /// Gives up the claim, and keeps what the card is read through.
    pub fn release(self) -> File {
        self.view
    }
}

/// Claims the card for the `caller`. What the job says of it counts for nothing: the kernel is asked, by the device number
/// before it is opened and by the descriptor afterwards.
pub fn claim_for(caller: Caller, needs: &Needs) -> Result<Locked> {
    let (roots, said) = (Roots::default(), needs.disk);
    let number = said.number.ok_or_else(|| {
        ExitKind::Refused
            .error(format!("{} is no block device; root opens nothing else", said.path.display()))
    })?;
    let now = Disk::by_number(&roots, number)?;
    said.same_as(&now)?;
    caller.may(needs.access, &now)?;
    unmount(&roots, &now, needs.unmount)?;
    let locked = claim(&roots, &now, needs.access)?;
    caller.may(needs.access, &locked.now()?)?;
    Ok(locked)
}

fn claim(roots: &Roots, disk: &Disk, access: Access) -> Result<Locked> {
    match access {
        Access::Write => open_exclusive(roots, disk),
        Access::Read => open_shared(roots, disk),
    }
}

/// The device of `card` once more, by a node that is root's, has no name, and may only be read: programs that run as the
/// caller open it by `/proc/self/fd`. That of the system may be closed to them, and a node of their own they could make
/// one that may be written.
fn node_to_read(card: &File) -> Result<File> {
    let doing = "making a node for the card in /dev";
    let device = card.metadata().context(doing)?.rdev();
    let mut random = [0; 8];
    getrandom(&mut random, GetRandomFlags::empty()).context(doing)?;
    let path = format!("/dev/.xtask-{:016x}", u64::from_ne_bytes(random));
    // As long as it has a name, it is for nobody.
    mknodat(CWD, &path, FileType::BlockDevice, Mode::empty(), device).context(doing)?;
    let flags = (OFlags::PATH | OFlags::NOFOLLOW).bits().cast_signed();
    let found = File::options().read(true).custom_flags(flags).open(&path);
    unlink(&path).context(doing)?;
    let found = found.context(doing)?;
    if found.metadata().context(doing)?.rdev() != device {
        return Err(ExitKind::Refused.error("another device has come in place of the card; start again"));
    }
    let path = format!("/proc/self/fd/{}", found.as_raw_fd());
    chmod(&path, Mode::RUSR | Mode::RGRP | Mode::ROTH).context(doing)?;
    File::open(path).context(doing)
}
