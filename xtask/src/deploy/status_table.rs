//! The table of the command `status`.

use super::host::{self, State};
use super::status::{Drift, Observation, Status};
use super::trial;
use super::verdict::{Verdict, desired_system};
use crate::base::{Bytes, Cell, Table, Tone};

impl Observation {
    /// The cell of the column `RUNS`.
    fn runs_cell(&self) -> Cell {
        if self.state.is_activating() == Some(true) {
            return Cell::new("activates a system", Tone::Attention);
        }
        let Drift::Differs(diff) = &self.drift else { return Cell::new("current", Tone::Good) };
        let words = match self.next_boot() {
            Some(Verdict::OnTrial) => "tries the new one next",
            Some(_) => "boots the new one next",
            None if self.state.current.is_none() => "unknown",
            None if self.runs_desired() => return Cell::new("current, boots another next", Tone::Attention),
            None if diff.is_some() => "behind",
            None => "another system",
        };
        let changes = diff.as_ref().map(|diff| format!(": {}", diff.summary())).unwrap_or_default();
        Cell::new(format!("{words}{changes}"), Tone::Attention)
    }

    /// Whether the host runs the desired system, although its system profile is another.
    fn runs_desired(&self) -> bool {
        desired_system(&self.target, &self.state) == self.state.current.as_ref()
    }

    /// The cell of the column `BOOTED`.
    fn booted_cell(&self) -> Cell {
        match &self.state {
            State { reboot_needed: true, .. } => Cell::new("reboot pending", Tone::Attention),
            State { booted: None, .. } => "-".into(),
            State { booted, current, .. } if booted == current => "current".into(),
            _ => "an earlier system".into(),
        }
    }

    /// The cell of the column `FAILED UNITS`.
    fn units_cell(&self) -> Cell {
        match self.state.failed_units.as_deref() {
            None => "unknown".into(),
            Some([]) => "-".into(),
            Some(_) => Cell::new(self.state.failed_units_text(), Tone::Bad),
        }
    }
}

impl Status {
    /// The cell of the column `TRIAL`; `None` for a host without trials, or whose state could not be read.
    fn trial_cell(&self) -> Option<&'static str> {
        let observation = self.observation.as_ref().ok()?;
        trial::table_cell(&observation.state.trial)
    }

    /// The cells of the row of the host; with a cell for trials if the table has that column (`with_trials`).
    fn cells(&self, with_trials: bool) -> Vec<Cell> {
        let dash = || Cell::from("-");
        let trial = with_trials.then(|| Cell::from(self.trial_cell().unwrap_or("-")));
        let last = self.history.last.clone().map_or_else(dash, Cell::from);
        let (runs, booted, units, free) = match &self.observation {
            Ok(observation) => {
                let free = observation.disks.free.map_or_else(dash, |bytes| Bytes(bytes).to_string().into());
                (observation.runs_cell(), observation.booted_cell(), observation.units_cell(), free)
            }
            Err(error) => {
                let label = host::failure_label(error).unwrap_or("unknown");
                (Cell::new(label, Tone::Bad), dash(), dash(), dash())
            }
        };
        let begin = [Cell::from(self.host.to_string()), runs, booted];
        begin.into_iter().chain(trial).chain([units, free, last]).collect()
    }
}

/// A table with a row for each host. It has a column for trials if one of the hosts has them.
pub fn status_table(statuses: &[Status]) -> Table {
    let with_trials = statuses.iter().any(|status| status.trial_cell().is_some());
    let trial_header = with_trials.then_some("TRIAL");
    let begin = ["HOST", "RUNS", "BOOTED"].into_iter();
    let headers = begin.chain(trial_header).chain(["FAILED UNITS", "FREE", "LAST"]);
    let mut table = Table::new(&headers.collect::<Vec<_>>()).with_optional(&["FREE", "LAST", "BOOTED"]);
    for status in statuses {
        table.row(status.cells(with_trials));
    }
    table
}
