//! Claiming the card of a job: as this user, as root for a caller, or by taking over the claim of a process that is
//! root.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use anyhow::{Context, Result};
use rustix::fs::{CWD, FileType, Mode, OFlags, chmod, mknodat, unlink};
use rustix::rand::{GetRandomFlags, getrandom};

use super::caller::Caller;
use super::needs::{Access, Needs};
use crate::card::disk::{
    Disk, Locked, Roots, adopt_exclusive, adopt_shared, open_exclusive, open_shared, unmount,
};
use crate::{bail, failure};

/// The open files of a card that the parent process has claimed.
#[derive(Debug)]
pub struct CardFiles {
    /// The card, opened and locked.
    pub card: File,
    /// A second descriptor of the card, for reading.
    pub view: File,
}

/// A card that is open and locked.
#[derive(Debug)]
pub struct ClaimedCard {
    pub locked: Locked,
    /// A second descriptor of the card, for reading through the page cache. A child of this process can open the card
    /// anew by the number of this descriptor.
    pub view: File,
}

impl ClaimedCard {
    /// Unmounts and claims the card as this user, who may open it, or as root that works for nobody else.
    pub fn open(needs: &Needs) -> Result<Self> {
        let roots = Roots::default();
        unmount(&roots, needs.disk, needs.unmount)?;
        let locked = claim(&roots, needs.disk, needs.access)?;
        let view = File::open(format!("/proc/self/fd/{}", locked.file().as_raw_fd()));
        Ok(Self { locked, view: view.context("opening the card a second time")? })
    }

    /// The card that root has claimed for a caller, with a descriptor that the caller can reopen for reading.
    pub fn with_caller_view(locked: Locked) -> Result<Self> {
        let view = read_only_node(locked.file())?;
        Ok(Self { locked, view })
    }

    /// Takes over the card that the parent process has claimed.
    pub fn adopt(needs: &Needs, files: CardFiles) -> Result<Self> {
        let CardFiles { card, view } = files;
        let roots = Roots::default();
        let locked = match needs.access {
            Access::Write => adopt_exclusive(&roots, needs.disk, card)?,
            Access::Read => adopt_shared(&roots, needs.disk, card)?,
        };
        Ok(Self { locked, view })
    }

    /// Gives up the claim, and returns the descriptor for reading.
    pub fn release(self) -> File {
        self.view
    }
}

/// Unmounts and claims the card for the `caller`. The facts about the card come from the kernel and never from the job:
/// by the device number before the card is opened, and by the descriptor afterwards.
pub fn claim_for_caller(caller: Caller, needs: &Needs) -> Result<Locked> {
    let roots = Roots::default();
    let disk_of_job = needs.disk;
    let number = disk_of_job.number.ok_or_else(|| {
        failure!(
            Refused, "{} is not a block device; an elevated worker opens nothing else", disk_of_job.path.display();
            hint: "use a file that you may write yourself, or a card"
        )
    })?;
    let disk = Disk::by_number(&roots, number)?;
    disk_of_job.require_same(&disk)?;
    caller.authorize(needs.access, &disk)?;
    unmount(&roots, &disk, needs.unmount)?;
    let locked = claim(&roots, &disk, needs.access)?;
    caller.authorize(needs.access, &locked.current_disk()?)?;
    Ok(locked)
}

/// Opens and locks `disk`: exclusively for writing, shared with other readers for reading.
fn claim(roots: &Roots, disk: &Disk, access: Access) -> Result<Locked> {
    match access {
        Access::Write => open_exclusive(roots, disk),
        Access::Read => open_shared(roots, disk),
    }
}

/// Opens the device of `card` through a device node that belongs to root, has no name, and may only be read. Programs
/// that run as the caller reopen this node by `/proc/self/fd`. They may lack the right to open the node of the system,
/// and could make a node of their own writable.
fn read_only_node(card: &File) -> Result<File> {
    let doing = "making a device node for the card in /dev";
    let device = card.metadata().context(doing)?.rdev();
    let mut random = [0; 8];
    getrandom(&mut random, GetRandomFlags::empty()).context(doing)?;
    let path = format!("/dev/.xtask-{:016x}", u64::from_ne_bytes(random));
    // While the node has a name, nobody may open it.
    mknodat(CWD, &path, FileType::BlockDevice, Mode::empty(), device).context(doing)?;
    let flags = (OFlags::PATH | OFlags::NOFOLLOW).bits().cast_signed();
    let opened = File::options().read(true).custom_flags(flags).open(&path);
    unlink(&path).context(doing)?;
    let node = opened.context(doing)?;
    if node.metadata().context(doing)?.rdev() != device {
        bail!(
            Refused, "another device has taken the place of the card";
            hint: "insert the card again and run the same command again"
        );
    }
    let node_path = format!("/proc/self/fd/{}", node.as_raw_fd());
    chmod(&node_path, Mode::RUSR | Mode::RGRP | Mode::ROTH).context(doing)?;
    File::open(node_path).context(doing)
}
