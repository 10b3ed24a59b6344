//! The sections of `config.txt`, and which of them apply to a board.

use std::collections::BTreeMap;

use crate::boot::board::Board;

/// The sections that are in force. Filters of one kind replace each other, those of different kinds combine.
#[derive(Default)]
pub struct Filters(BTreeMap<FilterKind, bool>);

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum FilterKind {
    Model,
    None,
    Partition,
    /// A condition that is not known before the boot, such as a display, a pin, a serial number or `tryboot`, by the
    /// part of its name that says which. The proof takes it for not fulfilled.
    Unknown(String),
}

/// A decimal number, or a hexadecimal one with `0x`.
pub fn parse_number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

impl Filters {
    /// Goes on with the section `[filter]`.
    pub fn set(&mut self, filter: &str, board: Board, partition: u32) {
        let facts = board.facts();
        if filter == "all" {
            self.0.clear();
            return;
        }
        let (kind, applies) = match filter.split_once(['=', ':']) {
            None if filter == "none" => (FilterKind::None, false),
            None if filter == "tryboot" || filter.starts_with("0x") => {
                (FilterKind::Unknown(filter.chars().take(2).collect()), false)
            }
            None => (FilterKind::Model, facts.filters.contains(&filter)),
            Some(("board-type", number)) => {
                (FilterKind::Model, parse_number(number).is_some_and(|number| facts.types.contains(&number)))
            }
            Some(("boot_partition", number)) => {
                (FilterKind::Partition, parse_number(number) == Some(partition.into()))
            }
            // A port of a display qualifies settings, and leaves the others alone.
            Some(("HDMI", _)) => return,
            Some((name, _)) => (FilterKind::Unknown(name.to_owned()), false),
        };
        self.0.insert(kind, applies);
    }

    /// Whether the lines of the section apply.
    pub fn apply(&self) -> bool {
        self.0.values().all(|applies| *applies)
    }
}
