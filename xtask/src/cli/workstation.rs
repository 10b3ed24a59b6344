//! The command lines of `setup` and `devices`, which are about this machine.

use clap::Args;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line")]
pub struct Setup {
    /// Run commands by sudo without asking first
    #[arg(long)]
    pub yes: bool,
    /// Show the steps, and their commands that need root, without changing anything
    #[arg(long, alias = "plan")]
    pub dry_run: bool,
    /// Also install what `boot` needs: QEMU and a U-Boot for it
    #[arg(long)]
    pub boot: bool,
    /// Also install restic, by which `restore` reads backups
    #[arg(long)]
    pub backups: bool,
}

#[derive(Debug, Args)]
pub struct Devices {
    /// List every disk, with the reason why `flash` refuses it
    #[arg(long)]
    pub all: bool,
    /// Also list loop devices
    #[arg(long)]
    pub allow_virtual: bool,
}
