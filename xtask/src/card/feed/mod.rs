//! Feeds: one decompression of an image for several cards.
//!
//! A thread of the tool decompresses the image and sends its bytes to the worker of each card, through a pipe. The
//! cards share a window of a few chunks: whoever is ahead waits at its end. A card that keeps the others waiting for
//! too long leaves the feed, with a decompression of its own from where it is.
//!
//! A worker trusts no feed: it verifies the hash of the whole image, as it does without one. Where the feed ends early,
//! the worker reads the rest of the image itself.

mod fed_reader;
mod outlet;
mod window;

use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub use self::fed_reader::FedReader;
use self::outlet::Outlet;
use self::window::Window;
use crate::base::interrupt::{self, SignalGuard};

/// Opens the decompressed content of an image at its first byte.
pub type OpenImage = Arc<dyn Fn() -> Result<Box<dyn Read + Send>> + Send + Sync>;

/// How long the cards wait for slower ones before these leave the feed, whatever the time since the start.
const GRACE: Duration = Duration::from_secs(5);
/// Beyond [`GRACE`], the cards wait for slower ones for one part in this many of the time since the start.
const WAITED_PART: u32 = 4;
/// The interval between two checks whether the user asked to stop.
const POLL_INTERVAL: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// One decompression of an image for several cards.
pub struct Feed {
    open: OpenImage,
    outlets: Vec<Outlet>,
    /// [`GRACE`], except in tests.
    grace: Duration,
    signals: SignalGuard,
}

impl Feed {
    /// A feed of the image that `open` opens, which has no cards yet.
    pub fn new(open: OpenImage) -> Result<Self> {
        Ok(Self { open, outlets: Vec::new(), grace: GRACE, signals: interrupt::guard()? })
    }

    /// Adds a card, and returns the pipe that its worker reads.
    pub fn add_card(&mut self) -> Result<File> {
        let (outlet, reader) = Outlet::new().context("making a pipe for a card")?;
        self.outlets.push(outlet);
        Ok(reader)
    }

    /// Starts the thread, which ends when no card reads from it any more. Where the thread cannot be started or the
    /// image cannot be read, the pipes end, and the workers read the image themselves.
    pub fn start(self) {
        let _ = std::thread::Builder::new().name("feed".to_owned()).spawn(|| self.run());
    }

    fn run(mut self) {
        let begin = Instant::now();
        let Some(mut window) = self.open_window() else { return };
        let mut last = begin;
        while !self.outlets.is_empty() && !self.signals.is_stop_requested() {
            if !window.is_full() && window.read_next().is_err() {
                return;
            }
            self.outlets.retain_mut(|outlet| outlet.push(&window));
            window.drop_before(self.outlets.iter().map(|outlet| outlet.at).min().unwrap_or(window.end()));
            let now = Instant::now();
            if window.is_full() && !self.outlets.is_empty() {
                self.charge(&window, now - last);
                self.release_slow_cards(&window, begin.elapsed());
                self.wait(&window);
            }
            last = now;
        }
    }

    /// The image from the position of the slowest card on; `None` where the image cannot be read up to there.
    fn open_window(&self) -> Option<Window> {
        let start = self.outlets.iter().map(|outlet| outlet.at).min()?;
        Window::open((self.open)().ok()?, start).ok()
    }

    /// Charges the `time` to the cards that others have waited for.
    fn charge(&mut self, window: &Window, time: Duration) {
        if self.outlets.iter().any(|outlet| outlet.at == window.end()) {
            let slow = self.outlets.iter_mut().filter(|outlet| window.is_in_first_half(outlet.at));
            slow.for_each(|outlet| outlet.charged += time);
        }
    }

    /// Lets the slow cards leave, once one of them was waited for too long in the `elapsed` time. They share a feed of
    /// their own.
    fn release_slow_cards(&mut self, window: &Window, elapsed: Duration) {
        let limit = self.grace + elapsed / WAITED_PART;
        if self.outlets.iter().all(|outlet| outlet.charged <= limit) {
            return;
        }
        let Ok(signals) = interrupt::guard() else { return };
        let is_slow = |outlet: &mut Outlet| outlet.charged > limit || window.is_in_first_half(outlet.at);
        let mut outlets = self.outlets.extract_if(.., is_slow).collect::<Vec<_>>();
        for outlet in &mut outlets {
            outlet.charged = Duration::ZERO;
        }
        Self { open: self.open.clone(), outlets, grace: self.grace, signals }.start();
    }

    /// Waits until a card takes more bytes, or has ended.
    fn wait(&mut self, window: &Window) {
        let mut polled = self.outlets.iter().map(|outlet| {
            // The end of a reader is always reported.
            let flags = if outlet.at < window.end() { PollFlags::OUT } else { PollFlags::empty() };
            PollFd::new(&outlet.pipe, flags)
        });
        let mut polled = polled.by_ref().collect::<Vec<_>>();
        let _ = poll(&mut polled, Some(&POLL_INTERVAL));
        let has_ended = |fd: &PollFd| fd.revents().intersects(PollFlags::ERR | PollFlags::NVAL);
        let mut ended = polled.iter().map(has_ended).collect::<Vec<_>>().into_iter();
        self.outlets.retain(|_| !ended.next().unwrap_or(false));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::card::image::chunk_hash::CHUNK;

    const SIZE: usize = 40 * CHUNK + 777;

    fn content() -> Vec<u8> {
        (0..=250).flat_map(|byte| [byte; 1000]).cycle().take(SIZE).collect()
    }

    /// A feed of the content for `count` cards, with the pipes of the cards. `opened` counts the decompressions.
    fn feed(count: usize, grace: Duration, opened: &Arc<AtomicUsize>) -> (Feed, Vec<File>) {
        let opened = opened.clone();
        let open: OpenImage = Arc::new(move || {
            opened.fetch_add(1, Ordering::Relaxed);
            Ok(Box::new(std::io::Cursor::new(content())))
        });
        let mut feed = Feed { grace, ..Feed::new(open).unwrap() };
        let readers = (0..count).map(|_| feed.add_card().unwrap()).collect();
        (feed, readers)
    }

    /// What is left to read from `reader`.
    fn read_all(mut reader: File) -> Vec<u8> {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn all_cards_get_all_bytes_of_one_decompression() {
        let opened = Arc::default();
        let (feed, readers) = feed(5, GRACE, &opened);
        feed.start();
        let threads = readers.into_iter().map(|reader| std::thread::spawn(|| read_all(reader)));
        let threads = threads.collect::<Vec<_>>();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap() == content()));
        assert_eq!(opened.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_card_that_does_not_read_holds_the_others_up_for_a_limited_time() {
        let opened = Arc::default();
        let (feed, mut readers) = feed(3, Duration::from_millis(50), &opened);
        feed.start();
        let stalled = [readers.pop().unwrap(), readers.pop().unwrap()];
        assert!(read_all(readers.pop().unwrap()) == content());
        // The two that were left behind share a decompression.
        let threads = stalled.map(|reader| std::thread::spawn(|| read_all(reader)));
        assert!(threads.into_iter().all(|thread| thread.join().unwrap() == content()));
        assert_eq!(opened.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_card_that_is_gone_does_not_hold_the_others_up() {
        let opened = Arc::default();
        let (feed, mut readers) = feed(2, Duration::from_secs(3600), &opened);
        feed.start();
        let mut gone = readers.pop().unwrap();
        gone.read_exact(&mut [0; 100]).unwrap();
        drop(gone);
        assert!(read_all(readers.pop().unwrap()) == content());
        assert_eq!(opened.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn the_pipes_end_where_the_image_cannot_be_read() {
        let mut feed = Feed::new(Arc::new(|| anyhow::bail!("no image"))).unwrap();
        let reader = feed.add_card().unwrap();
        feed.start();
        assert!(read_all(reader).is_empty());
    }
}
