//! Remote builders that a run names and does not need.

use crate::base::Context;

/// Notes that nothing is built, where the arguments for Nix, `options`, name builders: else a slip in the name of one
/// would be found by a later run.
pub fn note_idle_builders(cx: &Context, options: &[String]) {
    if options.iter().any(|option| option == "--builders") {
        cx.note("nothing is to be built here: no builder is needed, and none was asked");
    }
}
