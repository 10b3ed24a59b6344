//! The next sensible step after a command.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use super::repeated_options::with_passed_words;

/// The next sensible step after a command. Also the JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NextStep {
    /// What the user does by hand before the command: `put the card into the Pi`.
    pub by_hand: Option<String>,
    /// The command. A word in capitals is a placeholder.
    pub command: String,
    /// What the command does, or why it is the next step.
    pub reason: String,
    /// Whether people see the reason: the result of the command before, or the command itself, does not say it.
    #[serde(skip)]
    pub is_reason_shown: bool,
}

impl NextStep {
    /// The step of running `command`, with what this command line passes to Nix and deploy-rs, for a `reason` that
    /// people need not be told.
    pub fn run(command: impl Into<String>, reason: impl Into<String>) -> Self {
        let command = with_passed_words(command.into());
        Self { by_hand: None, command, reason: reason.into(), is_reason_shown: false }
    }

    /// Like [`Self::run`], for a `reason` that people are told.
    pub fn run_because(command: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::run(command, "").because(reason)
    }

    /// The step with what the user does by hand before.
    #[must_use]
    pub fn after(self, by_hand: impl Into<String>) -> Self {
        Self { by_hand: Some(by_hand.into()), ..self }
    }

    /// The step with another reason, which people are told.
    #[must_use]
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), is_reason_shown: true, ..self }
    }
}

impl fmt::Display for NextStep {
    /// `next: put the card into the Pi, then: cargo xtask deploy pi --wait`; on a line of its own the reason, where
    /// people are told it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("next: ")?;
        if let Some(by_hand) = &self.by_hand {
            write!(f, "{by_hand}, then: ")?;
        }
        f.write_str(&self.command)?;
        if self.is_reason_shown { write!(f, "\n  {}", self.reason) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_command_with_what_comes_before_and_why() {
        let step = NextStep::run("cargo xtask deploy pi", "deploys");
        for (step, text) in [
            (step.clone(), "next: cargo xtask deploy pi"),
            (step.clone().after("wait"), "next: wait, then: cargo xtask deploy pi"),
            (step.because("it differs"), "next: cargo xtask deploy pi\n  it differs"),
        ] {
            assert_eq!(step.to_string(), text);
        }
    }
}
