//! The command lines of `setup` and `devices`, which are about this machine.

use clap::Args;

#[derive(Debug, Args)]
pub struct Setup {
    /// Run commands by sudo without asking first
    #[arg(long)]
    pub yes: bool,
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
