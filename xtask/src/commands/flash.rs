//! `flash HOST [DEVICE]`: writes an image to a card and verifies it. `flash HOST HOST…` and `--to` write several cards
//! at once.

use anyhow::Result;

use super::flash_card::FlashJob;
use super::{flake_hosts, flash_cards, next_step, write_card};
use crate::base::{Context, interrupt};
use crate::cli::Flash;

pub fn run(cx: &Context, args: &Flash) -> Result<()> {
    interrupt::set_undone(Some(write_card::UNDONE));
    refuse_disk_names(cx, args)?;
    let targets = args.targets()?;
    let payloads = targets.iter().map(|target| args.payload.for_card(target.identity_of)).collect::<Vec<_>>();
    let jobs = targets.iter().zip(&payloads).map(|(target, payload)| FlashJob {
        image: &target.image,
        device: target.device,
        sums: &args.sums,
        build: &args.build,
        payload,
        check_image: args.check_image,
        memory_limit: args.memory_limit,
        write: &args.write,
    });
    let jobs = jobs.collect::<Vec<_>>();
    match jobs[..] {
        [job] => flash_one(cx, job),
        _ => flash_cards::run(cx, &jobs, &args.write),
    }
}

/// Refuses a word that is read as a host, is the name of a disk, and is not known to be a host of the flake. This comes
/// before any check of the options of several cards, which would name the wrong remedy.
///
/// # Errors
/// Those of [`Flash::disk_name_error`], and `Interrupted`.
fn refuse_disk_names(cx: &Context, args: &Flash) -> Result<()> {
    for name in args.disk_names() {
        if !flake_hosts::is_listed(cx, &name.into(), &args.build.nix.nix_args)? {
            return Err(args.disk_name_error(name));
        }
    }
    Ok(())
}

fn flash_one(cx: &Context, job: FlashJob) -> Result<()> {
    let mut flash = job.begin(cx)?;
    // The plan warns of a host that lets nobody in.
    let ready = flash.make_image(cx, |_| Ok(()))?;
    let card = flash.find_card(cx, &ready)?;
    if let Some(card) = flash.write(cx, ready, card)? {
        next_step::after_card(cx, &card);
    }
    Ok(())
}
