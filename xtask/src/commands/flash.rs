//! `flash HOST [DEVICE]`: writes an image to a card and verifies it. `flash HOST HOST…` and `--to` write several cards
//! at once.

use anyhow::Result;

use super::flash_card::FlashJob;
use super::{flash_cards, next_step};
use crate::base::Context;
use crate::cli::Flash;

pub fn run(cx: &Context, args: &Flash) -> Result<()> {
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

fn flash_one(cx: &Context, job: FlashJob) -> Result<()> {
    let mut flash = job.begin(cx)?;
    // The plan warns of a host that lets nobody in.
    let ready = flash.make_image(cx, |_| Ok(()))?;
    let card = flash.find_card(cx, &ready)?;
    if let Some(card) = flash.write(cx, ready, card)? {
        next_step::after_card(&card);
    }
    Ok(())
}
