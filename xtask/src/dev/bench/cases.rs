//! The cases of `bench flash`: the card, its content before, the written image, and the limits of the cost.

use schemars::JsonSchema;
use serde::Serialize;

use super::image::Variant;
use super::peers::{BMAPTOOL, BMAPTOOL_NOBMAP, CALIGULA, DD_DIRECT, DD_FSYNC, Peer, UNPACK};
use super::throttle::{SD, Speed};

/// The content of the card before a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitialContent {
    /// Zeros everywhere, as on a new card.
    Blank,
    /// Data unrelated to the image, everywhere.
    OldData,
    /// This image, with old data after it.
    Image(Variant),
}

/// Whether the check cache of the tool has the image. If not, the tool checks the whole image before it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub enum ImageCheck {
    // Programs that read `--json` know these words from earlier versions.
    #[serde(rename = "never")]
    NotCached,
    #[serde(rename = "before")]
    Cached,
}

/// A limit of the cost of the tool: a multiple of another cost, or a number of bytes.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// The time, as a multiple of a full write and full read-back of the card: the minimum for every writer that does
    /// both.
    FullPass(f64),
    /// The time, as a multiple of a peer's.
    Time(&'static Peer, f64),
    /// The CPU time, as a multiple of a peer's; without a limit only for information.
    Cpu(&'static Peer, Option<f64>),
    /// The CPU time, as a multiple of the CPU time of `zstd -dc` at the speed of the same card, piped into `dd`. With
    /// pauses decompression costs up to twice as much as without, because caches go cold.
    PacedUnpacking(f64),
    /// The peak memory, in bytes.
    Memory(u64),
}

/// A case: one situation in which the tool and its peers run.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Case {
    pub name: &'static str,
    /// The description for the user, in a few words.
    pub about: &'static str,
    /// The speed of the device; `None` for a device as fast as memory.
    pub speed: Option<Speed>,
    /// The content of the card before each run.
    #[serde(skip)]
    pub before: InitialContent,
    /// The image to write.
    #[serde(skip)]
    pub image: Variant,
    // Programs that read `--json` know this name from earlier versions.
    #[serde(rename = "met")]
    pub image_check: ImageCheck,
    #[serde(skip)]
    pub peers: &'static [&'static Peer],
    #[serde(skip)]
    pub bounds: &'static [Bound],
}

/// All peers. Cases that only compare with dd would learn nothing new from the others.
const ALL_PEERS: &[&Peer] = &[&DD_FSYNC, &DD_DIRECT, &BMAPTOOL, &BMAPTOOL_NOBMAP, &CALIGULA, &UNPACK];

const MEMORY_LIMIT: Bound = Bound::Memory(40 << 20);

static CASES: &[Case] = &[
    Case {
        name: "first",
        about: "first flash, SD-like card full of old data",
        speed: Some(SD),
        before: InitialContent::OldData,
        image: Variant::Base,
        image_check: ImageCheck::Cached,
        peers: ALL_PEERS,
        bounds: &[Bound::FullPass(1.05), Bound::PacedUnpacking(1.5), Bound::Cpu(&UNPACK, None), MEMORY_LIMIT],
    },
    Case {
        name: "blank",
        about: "first flash, blank SD-like card",
        speed: Some(SD),
        before: InitialContent::Blank,
        image: Variant::Base,
        image_check: ImageCheck::NotCached,
        peers: &[&DD_FSYNC],
        bounds: &[Bound::Time(&DD_FSYNC, 1.00), MEMORY_LIMIT],
    },
    Case {
        name: "again",
        about: "re-flash of the same image, SD-like card",
        speed: Some(SD),
        before: InitialContent::Image(Variant::Base),
        image: Variant::Base,
        image_check: ImageCheck::Cached,
        peers: &[&DD_FSYNC],
        bounds: &[Bound::Time(&DD_FSYNC, 0.36), MEMORY_LIMIT],
    },
    Case {
        name: "tenth",
        about: "re-flash with 10 % of the filled chunks changed, SD-like card",
        speed: Some(SD),
        before: InitialContent::Image(Variant::Base),
        image: Variant::Tenth,
        image_check: ImageCheck::NotCached,
        peers: &[&DD_FSYNC],
        bounds: &[Bound::Time(&DD_FSYNC, 0.50), MEMORY_LIMIT],
    },
    Case {
        name: "next",
        about: "re-flash of a host's next image, with a new unit and another toplevel, SD-like card",
        speed: Some(SD),
        before: InitialContent::Image(Variant::Host),
        image: Variant::Next,
        image_check: ImageCheck::NotCached,
        peers: &[&DD_FSYNC],
        bounds: &[Bound::Time(&DD_FSYNC, 0.40), MEMORY_LIMIT],
    },
    Case {
        name: "fast",
        about: "flash of 2 GiB, device as fast as memory, full of old data",
        speed: None,
        before: InitialContent::OldData,
        image: Variant::Large,
        image_check: ImageCheck::Cached,
        peers: ALL_PEERS,
        bounds: &[
            Bound::Time(&DD_FSYNC, 0.60),
            Bound::Time(&UNPACK, 1.5),
            Bound::Cpu(&UNPACK, Some(1.5)),
            MEMORY_LIMIT,
        ],
    },
];

impl Case {
    /// The image that is on the card before a run; `None` where the card has none.
    pub fn image_before(&self) -> Option<Variant> {
        match self.before {
            InitialContent::Image(variant) => Some(variant),
            InitialContent::Blank | InitialContent::OldData => None,
        }
    }

    /// Whether the assembler makes the image.
    pub fn is_assembled(&self) -> bool {
        self.image.is_assembled()
    }
}

/// The names of all cases.
pub fn names() -> Vec<&'static str> {
    CASES.iter().map(|case| case.name).collect()
}

/// The cases called `names`, in the order of their definition; all cases without names.
pub fn select(names: &[String]) -> Vec<&'static Case> {
    let is_selected = |case: &&Case| names.is_empty() || names.iter().any(|name| name == case.name);
    CASES.iter().filter(is_selected).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_page_lists_exactly_the_cases() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/flashing-tests.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (_, table) = page.split_once("\n| case | the card | the image |\n").unwrap();
        let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
        let listed = rows.map(|row| row.split('`').nth(1).unwrap()).collect::<Vec<_>>();
        assert_eq!(listed, names());
    }

    #[test]
    fn names_select_cases_in_the_order_of_their_definition() {
        let selected = |names: &[&str]| {
            let names = names.iter().map(ToString::to_string).collect::<Vec<_>>();
            select(&names).iter().map(|case| case.name).collect::<Vec<_>>()
        };
        assert_eq!(selected(&[]), names());
        assert_eq!(selected(&["fast", "blank"]), ["blank", "fast"]);
    }

    #[test]
    fn every_bound_has_its_peer() {
        for case in CASES {
            let has_peer = |peer: &Peer| case.peers.iter().any(|other| other.name == peer.name);
            for bound in case.bounds {
                match bound {
                    Bound::Time(peer, _) | Bound::Cpu(peer, _) => assert!(has_peer(peer), "{}", case.name),
                    Bound::PacedUnpacking(_) => assert!(has_peer(&DD_DIRECT), "{}", case.name),
                    Bound::FullPass(_) => assert!(case.speed.is_some(), "{}", case.name),
                    Bound::Memory(_) => {}
                }
            }
        }
    }
}
