//! Pictures of terminals: what real runs print, as SVG.

mod record;
mod screen;
mod svg;

pub use record::{place, record};
pub use screen::{Screen, Span};
pub use svg::{Panel, svg};
