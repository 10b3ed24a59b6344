//! Boots a card twice and verifies its host.

use std::path::Path;

use anyhow::{Context as _, Result};
use schemars::JsonSchema;
use serde::Serialize;

use super::boots::{first_boot, later_boot};
use super::observations::{Observations, verify};
use crate::base::{Bytes, Context, Event, RunningPhase, Table, interrupt};
use crate::qemu::{self, Machine, Script, Setup};

/// The record of a verified host: it boots, keeps its persistent data, and starts its next generation.
#[derive(Debug, Serialize, JsonSchema)]
pub struct VerifiedHost {
    pub machine: Machine,
    pub boots: [Boot; 2],
}

/// One boot.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DemoBoot")]
pub struct Boot {
    /// The seconds until the host was up and the last input was typed.
    #[serde(rename = "up_seconds")]
    pub up: f64,
    /// The seconds until the emulator had ended.
    pub seconds: f64,
    /// The first address after the kernel, as U-Boot prints it; `None` where U-Boot did not move the kernel.
    pub kernel_end: Option<u64>,
    pub observations: Observations,
}

/// Boots the demo's `card` twice in `machine` and verifies its host, whose ssh key must have `fingerprint`.
/// `virt_uboot` is the file of a U-Boot for [`Machine::Virt`].
///
/// # Errors
/// `Verification` for a failed boot, and for a host with wrong values, which the error lists.
pub fn verify_host(
    cx: &Context,
    machine: Machine,
    card: &Path,
    virt_uboot: &Path,
    fingerprint: &str,
) -> Result<VerifiedHost> {
    let size = card.metadata().with_context(|| format!("reading the size of {}", card.display()))?.len();
    let setup = Setup::new(machine, card, virt_uboot)?;
    // The guard lives from before the first report of a boot, so that Ctrl-C after it always ends the emulator.
    let _signals = interrupt::guard()?;
    let first = boot_once(cx, &setup, 1, first_boot())?;
    let second = boot_once(cx, &setup, 2, later_boot())?;
    verify(&first.observations, &second.observations, size, fingerprint)?;
    Ok(VerifiedHost { machine, boots: [first, second] })
}

/// Boots `setup` once and reports the boot. `number` is that of the boot of this card.
fn boot_once(cx: &Context, setup: &Setup, number: u32, mut script: Script) -> Result<Boot> {
    let phase = RunningPhase::begin(cx.reporter.as_ref(), format!("boot {number}"));
    let record = qemu::boot(&cx.launcher, setup, &mut script, |line| {
        let detail = Some(line.to_owned()).filter(|line| !line.trim().is_empty());
        cx.reporter.report(&Event::Progress { done: 0, total: None, detail });
    })?;
    let up = record.seconds_until_up;
    let seconds = phase.seconds();
    let machine = setup.machine.name();
    let text = format!("in {machine}, up after {up:.1} s, done after {seconds:.1} s");
    phase.end_with(text);
    let observations = Observations::parse(record.lines.iter().map(String::as_str));
    let kernel_end = record.lines.iter().find_map(|line| kernel_end(line));
    Ok(Boot { up, seconds, kernel_end, observations })
}

/// The end address in U-Boot's line about moving the kernel; `None` for any other line.
fn kernel_end(line: &str) -> Option<u64> {
    let (_, end) = line.strip_prefix("Moving Image from ")?.split_once("end=0x")?;
    u64::from_str_radix(end.trim(), 16).ok()
}

/// The table of a verified host, with a column for each boot.
pub fn table(verified: &VerifiedHost) -> Table {
    let machine = verified.machine.name();
    let mut table = Table::new(&[machine, "BOOT 1", "BOOT 2"]);
    for (title, cell) in ROWS {
        let cells = verified.boots.each_ref().map(cell);
        table.row(std::iter::once((*title).to_owned()).chain(cells));
    }
    table
}

/// The function that makes the cell of a row for one boot.
type Cell = fn(&Boot) -> String;

/// The rows: their titles and cells. A long value is cut to eight characters, behind `SHA256:` in a fingerprint.
const ROWS: &[(&str, Cell)] = &[
    ("up after", |boot| format!("{:.1} s", boot.up)),
    ("/", |boot| {
        format!(
            "{}, {}",
            boot.observations.get("root", "type"),
            Bytes(boot.observations.bytes("root", "size"))
        )
    }),
    ("/nix", |boot| ["label", "type", "device"].map(|key| boot.observations.get("nix", key)).join(", ")),
    ("partition", |boot| {
        let [before, now] = ["before", "now"].map(|key| Bytes(boot.observations.bytes("partition", key)));
        if before == now { format!("{now}") } else { format!("{before}, grown to {now}") }
    }),
    ("file system", |boot| Bytes(boot.observations.bytes("filesystem", "size")).to_string()),
    ("growing took", |boot| format!("{} ms", boot.observations.get("partition", "milliseconds"))),
    ("a file in /nix/persist", |boot| marker_state(boot, "persisted")),
    ("a file in /", |boot| marker_state(boot, "memory")),
    ("machine-id", |boot| boot.observations.get("machine-id", "id").chars().take(8).collect()),
    ("ssh host key", |boot| boot.observations.get("identity", "fingerprint").chars().take(15).collect()),
    ("generation", |boot| boot.observations.get("generation", "number").to_owned()),
    ("entries in the menu", |boot| {
        let others = boot.observations.get("menu", "others").split_terminator(',').count();
        format!("the default and {others}")
    }),
];

/// Whether the boot found the marker `name` of the boot before.
fn marker_state(boot: &Boot, name: &str) -> String {
    match boot.observations.get(name, "marker") {
        "present" => "kept".to_owned(),
        _ => "absent, created".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::observations::tests as lines;
    use super::*;

    #[test]
    fn the_kernel_end_is_read_from_the_line_about_moving() {
        let line = "Moving Image from 0x80000 to 0x200000, end=0x2210000";
        assert_eq!(kernel_end(line), Some(0x221_0000));
        assert_eq!(kernel_end("Starting kernel ..."), None);
    }

    #[test]
    fn the_table_has_a_column_for_each_boot() {
        let boots = [(8.24, lines::FIRST), (7.0, lines::SECOND)].map(|(up, text)| Boot {
            up,
            seconds: up + 1.0,
            kernel_end: None,
            observations: Observations::parse(text.lines()),
        });
        let shown = table(&VerifiedHost { machine: Machine::Virt, boots }).to_string();
        assert_eq!(
            shown,
            "\
virt                    BOOT 1                        BOOT 2
up after                8.2 s                         7.0 s
/                       tmpfs, 2.0 GiB                tmpfs, 2.0 GiB
/nix                    NIXOS_SD, ext4, /dev/vda2     NIXOS_SD, ext4, /dev/vda2
partition               96.0 MiB, grown to 208.0 MiB  208.0 MiB
file system             208.0 MiB                     208.0 MiB
growing took            780 ms                        90 ms
a file in /nix/persist  absent, created               kept
a file in /             absent, created               absent, created
machine-id              9de0                          9de0
ssh host key            SHA256:abc                    SHA256:abc
generation              1                             2
entries in the menu     the default and 1             the default and 2"
        );
    }
}
