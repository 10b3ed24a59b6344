//! Writes several cards at once: a worker for each, and a feed for those that get the same image.

use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::ScopedJoinHandle;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};

use super::subject;
use crate::bail;
use crate::base::interrupt::{self, SignalGuard};
use crate::base::{Context, Event};
use crate::card::feed::Feed;
use crate::card::flash::{Plan, Report};
use crate::card::worker;
use crate::commands::planned_card::PlannedCard;

/// How the flash of a card ended.
pub struct CardEnd {
    /// What was written, if that was verified.
    pub report: Option<Report>,
    pub result: Result<()>,
    pub seconds: f64,
}

/// Writes all `cards` at once. A card that fails does not stop the others. The result has the order of the cards.
///
/// # Errors
/// Where nothing was begun.
pub fn write_all(cx: &Context, cards: &[PlannedCard]) -> Result<Vec<CardEnd>> {
    let signals = interrupt::guard()?;
    let plans = cards.iter().map(|card| &card.plan).collect::<Vec<_>>();
    let (feeds, pipes) = make_feeds(&plans)?;
    let start = &Start { waiting: Mutex::new((cards.len(), feeds)), turn: Mutex::new(()), signals };
    let ends = std::thread::scope(|scope| {
        let spawn = |(card, pipe)| {
            std::thread::Builder::new().spawn_scoped(scope, move || write_one(cx, card, pipe, start))
        };
        let threads = cards.iter().zip(pipes).map(spawn).collect::<Vec<_>>();
        // A card without a thread is not waited for.
        threads.iter().filter(|thread| thread.is_err()).for_each(|_| start.arrive());
        threads.into_iter().map(join).collect()
    });
    Ok(ends)
}

fn join(thread: std::io::Result<ScopedJoinHandle<CardEnd>>) -> CardEnd {
    let ended = thread.context("starting a thread");
    let joined =
        ended.and_then(|thread| thread.join().map_err(|_| anyhow!("the thread of the card panicked")));
    joined.unwrap_or_else(|error| CardEnd { report: None, result: Err(error), seconds: 0.0 })
}

/// Writes one card, and reports how that ended.
fn write_one(cx: &Context, card: &PlannedCard, mut pipe: Option<File>, start: &Start) -> CardEnd {
    let begin = Instant::now();
    let cx = cx.for_subject(subject(card));
    let mut arrival = Some(start.begin());
    let (report, result) =
        card.write(&cx, |cx, plan| start.run_worker(cx, plan, pipe.take(), &mut || drop(arrival.take())));
    drop(arrival);
    cx.reporter.report(&Event::PhaseEnded { name: None });
    if let Err(error) = &result {
        cx.warn_of(error);
    }
    CardEnd { report, result, seconds: begin.elapsed().as_secs_f64() }
}

/// The start of all workers.
struct Start {
    /// The number of cards whose workers have not begun yet, and the feeds that start when all have.
    waiting: Mutex<(usize, Vec<Feed>)>,
    /// Held while a worker starts: sudo asks for one password at a time, and mostly for only one.
    turn: Mutex<()>,
    signals: SignalGuard,
}

/// A worker that starts. Dropping this value counts the worker as begun or failed, and lets the next one start.
struct Arrival<'a> {
    start: &'a Start,
    _turn: MutexGuard<'a, ()>,
}

impl Start {
    /// Waits until no other worker starts.
    fn begin(&self) -> Arrival<'_> {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        Arrival { start: self, _turn: turn }
    }

    /// Runs a worker, unless the user asked to stop while another one was starting.
    fn run_worker(
        &self,
        cx: &Context,
        plan: &Plan,
        pipe: Option<File>,
        on_begun: &mut dyn FnMut(),
    ) -> Result<Report> {
        if self.signals.is_stop_requested() {
            bail!(Interrupted, "stopped; no card was written");
        }
        worker::run_fed(cx, plan, pipe, on_begun)
    }

    /// Counts a worker that has begun or failed. After the last one, the feeds start: none waits for a password.
    fn arrive(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.0 = waiting.0.saturating_sub(1);
        if waiting.0 == 0 {
            waiting.1.drain(..).for_each(Feed::start);
        }
    }
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        self.start.arrive();
    }
}

/// A feed for each image that several cards get, and for each card the pipe that its worker reads, if there is one.
fn make_feeds(plans: &[&Plan]) -> Result<(Vec<Feed>, Vec<Option<File>>)> {
    let mut feeds = Vec::<(usize, Feed)>::new();
    let mut pipes = Vec::new();
    for (index, plan) in plans.iter().enumerate() {
        let is_same = |other: &&Plan| other.image == plan.image;
        let first = plans.iter().position(is_same).unwrap_or(index);
        let count = plans.iter().copied().filter(is_same).count();
        if count < 2 || plan.image.hash.is_none() {
            pipes.push(None);
            continue;
        }
        if first == index {
            let source = plan.image.source.clone();
            feeds.push((index, Feed::new(Arc::new(move || source.stream()))?));
        }
        let feed = feeds.iter_mut().find(|(of, _)| *of == first);
        pipes.push(feed.map(|(_, feed)| feed.add_card()).transpose()?);
    }
    Ok((feeds.into_iter().map(|(_, feed)| feed).collect(), pipes))
}
