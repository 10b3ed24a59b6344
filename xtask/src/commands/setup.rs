//! `setup`: puts in place what this machine lacks for building, flashing and deploying.

use anyhow::Result;

use crate::context::Context;
use crate::setup::{self, Needs};

pub fn run(cx: &mut Context) -> Result<()> {
    setup::ensure(cx, &[Needs::Build, Needs::Deploy])
}
