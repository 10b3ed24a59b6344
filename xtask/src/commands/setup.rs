//! `setup`: puts in place what this machine lacks for building, flashing and deploying.

use anyhow::Result;

use crate::cli::Setup;
use crate::context::Context;
use crate::setup::{self, Needs, Sudo};
use crate::ui;

pub fn run(cx: &mut Context, args: &Setup) -> Result<()> {
    if let Some(configuration) = setup::configuration() {
        return ui::result(configuration);
    }
    let sudo = if args.yes { Sudo::Agreed } else { Sudo::Ask };
    setup::ensure(cx, &[Needs::Build, Needs::Deploy], sudo)
}
