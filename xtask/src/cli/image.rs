//! The options of all commands that build an image.

use clap::Args;

#[derive(Debug, Default, Args)]
pub struct BuildArgs {
    /// Take this file of the build's output, if it has several images
    #[arg(long, value_name = "NAME")]
    pub file: Option<String>,
    #[command(flatten)]
    pub nix: NixArgs,
}

#[derive(Debug, Default, Args)]
pub struct NixArgs {
    /// Arguments for Nix, such as --override-input nixpkgs ../nixpkgs
    #[arg(last = true, value_name = "NIX ARGS")]
    pub nix_args: Vec<String>,
}
