//! The rows of the result: medians, ratios, and whether they are within their limits.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use super::cases::Bound;
use super::peers::{DD_DIRECT, Peer};
use super::samples::{Measurements, TOOL};
use crate::base::process::Cost;
use crate::base::{Bytes, Table};

/// The quantity that a row compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// In seconds.
    Time,
    /// In seconds.
    CpuTime,
    /// In bytes.
    Memory,
    /// In bytes.
    Traffic,
}

/// In place of a peer, where the tool is measured by itself.
const ALONE: &str = "-";

/// One row of the result: medians over all rounds, in the unit of the quantity.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "BenchRow")]
pub struct Row {
    pub case: &'static str,
    pub quantity: Quantity,
    /// The name of the peer; `-` where the tool is measured by itself.
    pub against: &'static str,
    pub tool: Option<f64>,
    /// `None` where the tool is measured by itself, or the peer did not run.
    pub peer: Option<f64>,
    /// The value of the tool divided by that of the peer; `None` without one of the two.
    pub ratio: Option<f64>,
    /// The limit of the ratio, or where the tool is measured by itself, of its value; `None` where the row is only for
    /// information.
    pub at_most: Option<f64>,
    /// Whether the limit was kept, if there is one and what it limits was measured.
    pub kept: Option<bool>,
}

/// The median of a peer, which the tool is compared with.
#[derive(Clone, Copy)]
struct PeerMedian {
    name: &'static str,
    value: Option<f64>,
}

/// The rows of one case: first a row for each bound, then the time of each peer without a bound of the time.
pub fn rows(measured: &Measurements) -> Vec<Row> {
    let case = measured.case;
    let has_time_bound = |name: &str| {
        case.bounds.iter().any(|bound| matches!(bound, Bound::Time(peer, _) if peer.name == name))
    };
    let bound_rows = case.bounds.iter().map(|bound| bound_row(measured, bound));
    let other_peers = case.peers.iter().filter(|peer| !has_time_bound(peer.name));
    let other_rows = other_peers.map(|peer| peer_row(measured, Quantity::Time, peer, None));
    bound_rows.chain(other_rows).collect()
}

fn bound_row(measured: &Measurements, bound: &Bound) -> Row {
    match *bound {
        Bound::FullPass(limit) => {
            let seconds =
                measured.case.speed.map(|speed| speed.full_pass_seconds(measured.case.image.size()));
            let full_pass = PeerMedian { name: "full write and read-back", value: seconds };
            row(measured, Quantity::Time, full_pass, Some(limit))
        }
        Bound::Time(peer, limit) => peer_row(measured, Quantity::Time, peer, Some(limit)),
        Bound::Cpu(peer, limit) => peer_row(measured, Quantity::CpuTime, peer, limit),
        Bound::PacedUnpacking(limit) => {
            let seconds = measured.median_of(DD_DIRECT.name, |cost| cost.first_cpu_seconds);
            let unpacking = PeerMedian { name: "zstd -dc at that pace", value: seconds };
            row(measured, Quantity::CpuTime, unpacking, Some(limit))
        }
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        Bound::Memory(limit) => {
            row(measured, Quantity::Memory, PeerMedian { name: ALONE, value: None }, Some(limit as f64))
        }
    }
}

fn peer_row(measured: &Measurements, quantity: Quantity, peer: &Peer, at_most: Option<f64>) -> Row {
    let value = measured.median_of(peer.name, quantity.reader());
    row(measured, quantity, PeerMedian { name: peer.name, value }, at_most)
}

/// The row that compares the tool with `peer`. `at_most` limits the memory of the tool in bytes, or the ratio for any
/// other quantity.
fn row(measured: &Measurements, quantity: Quantity, peer: PeerMedian, at_most: Option<f64>) -> Row {
    let tool = measured.median_of(TOOL, quantity.reader());
    let ratio = tool.zip(peer.value).map(|(tool, peer)| tool / peer);
    let limited = if quantity == Quantity::Memory { tool } else { ratio };
    let kept = limited.zip(at_most).map(|(value, limit)| value <= limit);
    let case = measured.case.name;
    Row { case, quantity, against: peer.name, tool, peer: peer.value, ratio, at_most, kept }
}

impl Row {
    /// A row that compares two times in seconds, those of the tool and of `against`.
    pub fn of_times(
        case: &'static str,
        against: &'static str,
        tool: Option<f64>,
        peer: Option<f64>,
        at_most: Option<f64>,
    ) -> Self {
        let ratio = tool.zip(peer).map(|(tool, peer)| tool / peer);
        let kept = ratio.zip(at_most).map(|(ratio, limit)| ratio <= limit);
        Self { case, quantity: Quantity::Time, against, tool, peer, ratio, at_most, kept }
    }
}

impl Row {
    /// A row of a value of the tool by itself, with its limit in the same unit.
    pub fn of_limit(case: &'static str, quantity: Quantity, value: f64, limit: f64) -> Self {
        let kept = Some(value <= limit);
        Self {
            case,
            quantity,
            against: ALONE,
            tool: Some(value),
            peer: None,
            ratio: None,
            at_most: Some(limit),
            kept,
        }
    }

    /// A row of the bytes that were sent, as a multiple of those of `against`.
    pub fn of_bytes(case: &'static str, against: &'static str, sent: f64, peer: f64, at_most: f64) -> Self {
        let row = Self::of_times(case, against, Some(sent), Some(peer), Some(at_most));
        Self { quantity: Quantity::Traffic, ..row }
    }

    /// A row of the memory of the tool, with its limit, both in bytes.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    pub fn of_memory(case: &'static str, tool: Option<f64>, limit: u64) -> Self {
        let limit = limit as f64;
        let kept = tool.map(|bytes| bytes <= limit);
        let quantity = Quantity::Memory;
        Self { case, quantity, against: ALONE, tool, peer: None, ratio: None, at_most: Some(limit), kept }
    }
}

impl Quantity {
    /// The function that reads this quantity in a cost.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    fn reader(self) -> fn(&Cost) -> f64 {
        match self {
            Self::Time => |cost| cost.seconds,
            Self::CpuTime => |cost| cost.cpu_seconds,
            Self::Memory => |cost| cost.peak_bytes as f64,
            // No case of `bench flash` sends anything.
            Self::Traffic => |_| f64::NAN,
        }
    }

    /// The text of `value` with its unit.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of bytes")]
    fn format(self, value: f64) -> String {
        match self {
            Self::Time | Self::CpuTime if value < 0.1 => format!("{value:.3} s"),
            Self::Time | Self::CpuTime => format!("{value:.2} s"),
            Self::Memory | Self::Traffic => Bytes(value as u64).to_string(),
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Time => "time",
            Self::CpuTime => "CPU time",
            Self::Memory => "memory",
            Self::Traffic => "sent",
        })
    }
}

/// The table of all rows.
pub fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&["CASE", "MEASURED", "AGAINST", "TOOL", "PEER", "RATIO", "AT MOST", "KEPT"]);
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    for row in rows {
        let quantity = row.quantity;
        let is_alone = row.against == ALONE;
        let at_most =
            row.at_most.map(|limit| if is_alone { quantity.format(limit) } else { format!("{limit:.2}") });
        table.row([
            row.case.to_owned(),
            quantity.to_string(),
            row.against.to_owned(),
            or_dash(row.tool.map(|value| quantity.format(value))),
            or_dash(row.peer.map(|value| quantity.format(value))),
            or_dash(row.ratio.map(|ratio| format!("{ratio:.2}"))),
            or_dash(at_most),
            or_dash(row.kept.map(|kept| if kept { "yes" } else { "no" }.to_owned())),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::bench::cases::select;

    fn cost(seconds: f64, cpu_seconds: f64, peak_mib: u64) -> Cost {
        Cost { seconds, cpu_seconds, first_cpu_seconds: cpu_seconds - 0.1, peak_bytes: peak_mib << 20 }
    }

    /// The measurements of three rounds of the case `name`.
    fn measurements(name: &str) -> Measurements {
        let mut measured = Measurements::new(select(&[name.to_owned()])[0]);
        for seconds in [25.0, 24.0, 40.0] {
            measured.add(TOOL, cost(seconds, 1.0, 41));
            measured.add("dd fsync", cost(seconds - 5.0, 0.7, 9));
            measured.add("dd direct", cost(seconds - 6.0, 0.9, 9));
            measured.add("zstd -dc", cost(0.5, 0.5, 9));
        }
        measured
    }

    #[test]
    fn a_case_has_a_row_for_each_bound_and_each_other_peer() {
        let expected = "\
CASE   MEASURED  AGAINST                   TOOL      PEER     RATIO  AT MOST   KEPT
first  time      full write and read-back  25.00 s   23.86 s  1.05   1.05      yes
first  CPU time  zstd -dc at that pace     1.00 s    0.80 s   1.25   1.50      yes
first  CPU time  zstd -dc                  1.00 s    0.50 s   2.00   -         -
first  memory    -                         41.0 MiB  -        -      40.0 MiB  no
first  time      dd fsync                  25.00 s   20.00 s  1.25   -         -
first  time      dd direct                 25.00 s   19.00 s  1.32   -         -
first  time      bmaptool                  25.00 s   -        -      -         -
first  time      bmaptool --nobmap         25.00 s   -        -      -         -
first  time      caligula                  25.00 s   -        -      -         -
first  time      zstd -dc                  25.00 s   0.50 s   50.00  -         -";
        assert_eq!(table(&rows(&measurements("first"))).to_string(), expected);
        let fast = table(&rows(&measurements("fast"))).to_string();
        let bound = "fast  CPU time  zstd -dc           1.00 s    0.50 s   2.00   1.50      no";
        assert!(fast.lines().any(|line| line == bound), "{fast}");
    }
}
