//! What the kernel does with the programs of a system.

use super::fault::BinfmtFault;

/// What the kernel does with a program of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelSupport {
    /// The kernel runs the program without an entry of `binfmt_misc`.
    Runs,
    /// An entry of `binfmt_misc` runs the program wherever Nix builds.
    Emulates,
    /// An entry of `binfmt_misc` runs the program. Whether also in the sandbox could not be tested, for this reason.
    EmulatesOutside(String),
    /// An entry of `binfmt_misc` runs the program, but not in the sandbox.
    Hidden(HiddenEmulator),
    /// The kernel does not run the program.
    Fails(BinfmtFault),
    /// There is no probe for the system.
    Unknown,
}

/// An emulator that works, but not in the sandbox of Nix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HiddenEmulator {
    /// The name of its entry in `binfmt_misc`.
    pub entry: String,
    pub path: String,
    /// Whether its entry has the flag F: then the sandbox lacks only what the emulator loads.
    pub fixed: bool,
}

impl HiddenEmulator {
    /// Why the emulator does not work there.
    pub fn explain(&self) -> String {
        let Self { path, fixed, .. } = self;
        let why = if *fixed {
            format!("the emulator {path} is not static, and the sandbox lacks what it loads")
        } else {
            format!(
                "the sandbox lacks the emulator {path} (the binfmt_misc entry of this emulator lacks the flag F)"
            )
        };
        format!("the kernel runs its programs, but not in the sandbox of nix: {why}")
    }
}
