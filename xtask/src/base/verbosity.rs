//! How much of the story a run prints.

/// What a run prints on stderr. The log of the run has everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbosity {
    /// Warnings and errors (`--quiet`).
    Quiet,
    #[default]
    Normal,
    /// Also each child's argument vector, and all lines of the long-running ones (`--verbose`).
    Verbose,
}
