//! A flash of several cards at once: one plan, one confirmation, one decompression of each image, and a result for each
//! card. A card that fails harms no other.

mod summary;
mod write;

use anyhow::Result;

use self::summary::{table, worst_failure};
use self::write::{CardEnd, write_all};
use super::flash_card::{BegunFlash, FlashJob};
use super::flash_result::{FlashCardsResult, FlashedCard};
use super::plan_facts::PlanFacts;
use super::planned_card::{PlannedCard, WrittenCard};
use super::{dry_run, next_step, write_card};
use crate::bail;
use crate::base::{Context, Subject, checks};
use crate::card::disk::Disk;
use crate::card::flash::{CardPlans, Plan};
use crate::card::image::{self, Built};
use crate::cli::{BuildArgs, ImageArg, WriteArgs};
use crate::nix::flake::HostLayout;
use crate::ui;

/// Flashes the cards of `jobs`, which `args` says how to write.
///
/// # Errors
/// A refusal of any card, before anything is written, and one error for all cards that failed.
pub fn run(cx: &Context, jobs: &[FlashJob], args: &WriteArgs) -> Result<()> {
    let mut flashes = checks::all(jobs.iter().map(|job| job.check(cx)))?;
    pick_cards(cx, &mut flashes)?;
    require_distinct(&flashes.iter().filter_map(BegunFlash::card).collect::<Vec<_>>())?;
    let mut cards = plan_cards(cx, flashes)?;
    require_distinct(&cards.iter().map(|card| &card.plan.disk).collect::<Vec<_>>())?;
    show_plans(cx, &cards);
    if args.dry_run {
        checks::all(cards.iter_mut().map(PlannedCard::refresh))?;
        return show_dry_run(cx, &cards);
    }
    let disks = cards.iter().map(|card| &card.plan.disk).collect::<Vec<_>>();
    args.confirm.confirm_all(&disks, "Everything on these cards will be lost.")?;
    checks::all(cards.iter_mut().map(PlannedCard::refresh))?;
    args.confirm_unmounting(cards.iter().map(|card| &card.plan.disk))?;
    let ends = write_all(cx, &cards)?;
    show(cx, &cards, &ends)?;
    worst_failure(&cards, &ends).map_or(Ok(()), Err)
}

/// Lets the user pick the card of each host that the command line names without one.
fn pick_cards(cx: &Context, flashes: &mut [BegunFlash]) -> Result<()> {
    let mut taken = Vec::<Disk>::new();
    for flash in flashes {
        if let Some(host) = flash.host().filter(|_| flash.card().is_none() && ui::can_ask()) {
            cx.note(format!("the card of {host}:"));
        }
        flash.pick(cx, &taken.iter().collect::<Vec<_>>())?;
        taken.extend(flash.card().cloned());
    }
    Ok(())
}

/// Fails where two of `disks` are the same, by whatever path the user has named them.
fn require_distinct(disks: &[&Disk]) -> Result<()> {
    for (index, disk) in disks.iter().enumerate() {
        if let Some(same) = disks[..index].iter().find(|other| other.is_same_device(disk)) {
            bail!(Refused(Ambiguous), "{} is named for two cards", same.path.display(); hint: "name each card once");
        }
    }
    Ok(())
}

/// Builds the images, finds the cards, and plans each.
fn plan_cards<'a>(cx: &Context, mut flashes: Vec<BegunFlash<'a>>) -> Result<Vec<PlannedCard<'a>>> {
    flashes.iter_mut().try_for_each(|flash| flash.prepare_state(cx))?;
    let built = build_images(cx, &mut flashes)?;
    let mut checked = Vec::new();
    let images = flashes.iter_mut().zip(built);
    let images = images.map(|(flash, built)| flash.check_shared_image(cx, built, &mut checked));
    let images = images.collect::<Result<Vec<_>>>()?;
    // All refusals of cards that are known already, before the first one that is waited for.
    let found = flashes.iter_mut().zip(&images).map(|(flash, image)| {
        let host_cx = flash.host().filter(|_| flash.card().is_none()).map(|host| cx.for_host(&host));
        flash.find_card(host_cx.as_ref().unwrap_or(cx), image)
    });
    let found = checks::all(found)?;
    let parts = flashes.into_iter().zip(images).zip(found);
    Ok(parts.map(|((flash, image), card)| flash.plan(image, card)).collect())
}

/// The image of each flash: the file that is named for all cards, or those of the hosts, which one run of Nix builds.
/// Before the build, each host must read the files of its payload.
fn build_images(cx: &Context, flashes: &mut [BegunFlash]) -> Result<Vec<Built>> {
    let mut sources = Vec::new();
    let mut files = Vec::new();
    for flash in flashes.iter() {
        match flash.job.image {
            ImageArg::Built(source) => sources.push(source.clone()),
            ImageArg::File(file) => files.push(Built { file: file.to_path_buf(), layout: None }),
        }
    }
    let Some(BuildArgs { file, nix, .. }) =
        flashes.first().filter(|_| files.is_empty()).map(|it| it.job.build)
    else {
        return Ok(files);
    };
    let check =
        |index: usize, layout: Option<&HostLayout>| flashes[index].payload_setup.find_own_entries(layout);
    image::build_all_checked(cx, sources, file.as_deref(), &nix.nix_args, check)
}

/// What the events of `card` are about.
fn subject(card: &PlannedCard) -> Subject {
    Subject::Card { device: card.plan.disk.path.clone(), host: card.host() }
}

/// Shows the plans of all cards as one text; for programs, an event for each.
fn show_plans(cx: &Context, cards: &[PlannedCard]) {
    let plans = cards.iter().map(|card| &card.plan).collect::<Vec<&Plan>>();
    if cx.json {
        for card in cards {
            cx.for_subject(subject(card)).show_plan(&card.plan, &PlanFacts::from(&card.plan));
        }
    } else {
        CardPlans(&plans).to_string().lines().for_each(|line| cx.note(line));
    }
    let disks = plans.iter().map(|plan| &plan.disk).collect::<Vec<_>>();
    for card in cards {
        write_card::warn_of(&cx.for_subject(subject(card)), &card.plan, &disks);
    }
}

fn show_dry_run(cx: &Context, cards: &[PlannedCard]) -> Result<()> {
    next_step::after_dry_run();
    if cx.json {
        let cards = cards.iter().map(|card| FlashedCard::planned(&card.plan, card.image_host().as_ref()));
        return ui::print_json(&FlashCardsResult { cards: cards.collect() });
    }
    cards.iter().try_for_each(|card| ui::print_result(&dry_run::line(&card.plan)))
}

/// Prints the result of all cards.
fn show(cx: &Context, cards: &[PlannedCard], ends: &[CardEnd]) -> Result<()> {
    if cx.json {
        let results = cards.iter().zip(ends).map(|(card, end)| {
            let error = end.result.as_ref().err();
            FlashedCard::written(&card.plan, card.image_host().as_ref(), end.report.as_ref(), error)
        });
        ui::print_json(&FlashCardsResult { cards: results.collect() })?;
    } else {
        ui::print_table(&table(cards, ends))?;
    }
    let written = cards.iter().zip(ends).filter_map(|(card, end)| {
        let report = end.report.as_ref()?;
        Some(WrittenCard::new(card.plan.clone(), card.image_host(), report))
    });
    let hosts = written.filter(|card| !card.boots_only_qemu).filter_map(|card| card.host);
    next_step::after_cards(cx, &hosts.collect::<Vec<_>>());
    Ok(())
}
