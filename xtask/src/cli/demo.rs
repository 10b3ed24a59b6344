//! The command line of `demo`.

use clap::Args;

#[derive(Debug, Args)]
pub struct Demo {
    /// Also boot the card twice in QEMU, and verify the host by its console
    #[arg(long, value_enum, value_name = "MACHINE", num_args = 0..=1, default_missing_value = "virt")]
    pub boot: Option<crate::qemu::Machine>,
    /// Arguments for Nix, such as --max-jobs 1
    #[arg(last = true, value_name = "NIX ARGS")]
    pub nix_args: Vec<String>,
}
