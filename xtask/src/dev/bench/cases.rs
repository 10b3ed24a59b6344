//! What is measured, as data: the card, what is on it, what is written, and what that may cost.

use serde::Serialize;

use super::image::Variant;
use super::peers::{BMAPTOOL, BMAPTOOL_NOBMAP, CALIGULA, DD_DIRECT, DD_FSYNC, Peer, UNPACK};
use super::throttle::{SD, Speed};

/// What the card holds when a writer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// Zeros, as a new card does.
    Blank,
    /// Data that has nothing to do with the image, everywhere.
    OldData,
    /// Old data, and this image over it.
    Holds(Variant),
}

/// Whether the tool has met the image file before. If not, it checks all of it before it touches the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Met {
    Never,
    Before,
}

/// What the tool may cost at most, as a multiple of something, or in bytes.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// Its time, of that of a card's full write and full read-back: the limit of all who do both.
    FullPass(f64),
    /// Its time, of that of a peer.
    Time(&'static Peer, f64),
    /// Its processor time, of that of a peer; only shown where nothing is set.
    Cpu(&'static Peer, Option<f64>),
    /// Its processor time, of that of `zstd -dc` at the pace of the same card, as `dd` takes it. With pauses
    /// decompression costs up to twice what it costs without, as caches go cold.
    PacedUnpacking(f64),
    /// Its memory, in bytes.
    Memory(u64),
}

/// One situation.
#[derive(Debug, Serialize)]
pub struct Case {
    pub name: &'static str,
    pub about: &'static str,
    /// Nothing for a device that is as fast as memory.
    pub speed: Option<Speed>,
    #[serde(skip)]
    pub before: Before,
    #[serde(skip)]
    pub image: Variant,
    pub met: Met,
    #[serde(skip)]
    pub peers: &'static [&'static Peer],
    #[serde(skip)]
    pub bounds: &'static [Bound],
}

/// Everybody. Where the tool is only compared with dd, the others would tell nothing new.
const ALL_PEERS: &[&Peer] = &[&DD_FSYNC, &DD_DIRECT, &BMAPTOOL, &BMAPTOOL_NOBMAP, &CALIGULA, &UNPACK];

const MEMORY: Bound = Bound::Memory(40 << 20);

static CASES: [Case; 6] = [
    Case {
        name: "first",
        about: "first flash, SD-like card full of old data",
        speed: Some(SD),
        before: Before::OldData,
        image: Variant::Base,
        met: Met::Before,
        peers: ALL_PEERS,
        bounds: &[Bound::FullPass(1.05), Bound::PacedUnpacking(1.5), Bound::Cpu(&UNPACK, None), MEMORY],
    },
    Case {
        name: "blank",
        about: "first flash, blank SD-like card",
        speed: Some(SD),
        before: Before::Blank,
        image: Variant::Base,
        met: Met::Never,
        peers: &[&DD_FSYNC],
        bounds: &[Bound::Time(&DD_FSYNC, 1.00), MEMORY],
    },
    Case {
        name: "again",
        about: "re-flash of the same image, SD-like card",
        speed: Some(SD),
        before: Before::Holds(Variant::Base),
        image: Variant::Base,
        met: Met::Before,
        peers: &[&DD_FSYNC],
        bounds: &[Bound::Time(&DD_FSYNC, 0.36), MEMORY],
    },
    Case {
        name: "tenth",
        about: "re-flash with 10 % of the filled blocks changed, SD-like card",
        speed: Some(SD),
        before: Before::Holds(Variant::Base),
        image: Variant::Tenth,
        met: Met::Never,
        peers: &[&DD_FSYNC],
        bounds: &[Bound::Time(&DD_FSYNC, 0.50), MEMORY],
    },
    Case {
        name: "next",
        about: "re-flash of a host's next image, with a new unit and another toplevel, SD-like card",
        speed: Some(SD),
        before: Before::Holds(Variant::Host),
        image: Variant::Next,
        met: Met::Never,
        peers: &[&DD_FSYNC],
        bounds: &[Bound::Time(&DD_FSYNC, 0.40), MEMORY],
    },
    Case {
        name: "fast",
        about: "flash of 2 GiB, device as fast as memory, full of old data",
        speed: None,
        before: Before::OldData,
        image: Variant::Large,
        met: Met::Before,
        peers: ALL_PEERS,
        bounds: &[
            Bound::Time(&DD_FSYNC, 0.60),
            Bound::Time(&UNPACK, 1.5),
            Bound::Cpu(&UNPACK, Some(1.5)),
            MEMORY,
        ],
    },
];

impl Case {
    /// The image that the card holds before.
    pub fn held(&self) -> Option<Variant> {
        match self.before {
            Before::Holds(variant) => Some(variant),
            Before::Blank | Before::OldData => None,
        }
    }

    /// Whether the assembler makes what it is about.
    pub fn is_assembled(&self) -> bool {
        self.image.is_assembled()
    }
}

/// The names of all cases.
pub fn names() -> [&'static str; CASES.len()] {
    CASES.each_ref().map(|case| case.name)
}

/// The cases called `names`, in their own order; all of them where there is no name.
pub fn select(names: &[String]) -> Vec<&'static Case> {
    let wanted = |case: &&Case| names.is_empty() || names.iter().any(|name| name == case.name);
    CASES.iter().filter(wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_name() {
        let selected = |names: &[&str]| {
            let names = names.iter().map(ToString::to_string).collect::<Vec<_>>();
            select(&names).iter().map(|case| case.name).collect::<Vec<_>>()
        };
        assert_eq!(selected(&[]), names());
        assert_eq!(selected(&["fast", "blank"]), ["blank", "fast"]);
    }

    #[test]
    fn every_bound_has_its_peer() {
        for case in &CASES {
            let measured = |peer: &Peer| case.peers.iter().any(|known| known.name == peer.name);
            for bound in case.bounds {
                match bound {
                    Bound::Time(peer, _) | Bound::Cpu(peer, _) => assert!(measured(peer), "{}", case.name),
                    Bound::PacedUnpacking(_) => assert!(measured(&DD_DIRECT), "{}", case.name),
                    Bound::FullPass(_) => assert!(case.speed.is_some(), "{}", case.name),
                    Bound::Memory(_) => {}
                }
            }
        }
    }
}
