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
    /// Why this is the next step, where the result of the command before does not say it.
    pub reason: Option<String>,
}

impl NextStep {
    /// The step of running `command`, with what this command line passes to Nix and deploy-rs.
    pub fn run(command: impl Into<String>) -> Self {
        Self { by_hand: None, command: with_passed_words(command.into()), reason: None }
    }

    /// The step with what the user does by hand before.
    #[must_use]
    pub fn after(self, by_hand: impl Into<String>) -> Self {
        Self { by_hand: Some(by_hand.into()), ..self }
    }

    /// The step with the reason for it.
    #[must_use]
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }
}

impl fmt::Display for NextStep {
    /// `next: put the card into the Pi, then: cargo xtask deploy pi --wait`, and the reason on a line of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("next: ")?;
        if let Some(by_hand) = &self.by_hand {
            write!(f, "{by_hand}, then: ")?;
        }
        f.write_str(&self.command)?;
        self.reason.iter().try_for_each(|reason| write!(f, "\n  {reason}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_command_with_what_comes_before_and_why() {
        let step = NextStep::run("cargo xtask deploy pi");
        for (step, text) in [
            (step.clone(), "next: cargo xtask deploy pi"),
            (step.clone().after("wait"), "next: wait, then: cargo xtask deploy pi"),
            (step.because("it differs"), "next: cargo xtask deploy pi\n  it differs"),
        ] {
            assert_eq!(step.to_string(), text);
        }
    }
}
