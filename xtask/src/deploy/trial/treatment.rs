//! What the tool did with a system on trial.

use super::judge::Progress;
use crate::deploy::host::State;

/// What the tool did with a system on trial that has passed the checks of the host.
pub enum Treatment {
    /// The tool blessed the system; the state is that after the blessing.
    Blessed(Box<State>),
    /// The tool told the host to go back.
    SentBack,
    /// The user stopped the health checks.
    Stopped,
    /// The link broke before the system was blessed, for this reason.
    LinkLost(String),
    /// Checking or blessing the system failed, for this reason.
    Failed(String),
}

impl Treatment {
    /// The stages of the trial during which the tool waits after this treatment.
    pub fn stages_to_wait_out(&self) -> &'static [Progress] {
        match self {
            Self::SentBack => &[Progress::Booting, Progress::Healthy],
            _ => &[Progress::Booting],
        }
    }

    /// Why the system was not blessed; `None` if it was, if the host itself records the reason, or if the user stopped
    /// the checks.
    pub fn reason(self) -> Option<String> {
        match self {
            Self::LinkLost(reason) | Self::Failed(reason) => Some(reason),
            Self::Blessed(_) | Self::SentBack | Self::Stopped => None,
        }
    }
}
