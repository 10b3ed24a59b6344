//! `flash HOST [DEVICE]`: writes an image to a card and verifies it.

use anyhow::Result;

use super::flash_card::FlashJob;
use super::next_step;
use crate::base::Context;
use crate::cli::Flash;

pub fn run(cx: &Context, args: &Flash) -> Result<()> {
    let (image, device) = args.image_and_device()?;
    let job = FlashJob {
        image: &image,
        device,
        sums: &args.sums,
        build: &args.build,
        payload: &args.payload,
        check_image: args.check_image,
        memory_limit: args.memory_limit,
        write: &args.write,
    };
    let mut flash = job.begin(cx)?;
    // The plan warns of a host that lets nobody in.
    let ready = flash.make_image(cx, |_| Ok(()))?;
    let card = flash.find_card(cx, &ready)?;
    if let Some(card) = flash.write(cx, ready, card)? {
        next_step::after_card(&card);
    }
    Ok(())
}
