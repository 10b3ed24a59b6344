//! Pictures of terminals: what real runs print, as SVG.

mod screen;
mod svg;

pub use screen::{Screen, Span};
pub use svg::{Panel, svg};
