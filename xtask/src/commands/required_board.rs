//! The board of `--board`: the image is proved before the card is touched, and what nobody has seen yet is named.

use anyhow::Result;

use crate::base::{Context, Event};

use crate::boot::Board;
use crate::card::image::{self, BoardCheck, Image};

/// Refuses an `image` from which `board` does not boot, and shows how much of that was proved before the flash.
///
/// # Errors
/// `Refused` where the board does not boot from the image, or where that is unknown.
pub fn require(cx: &Context, image: &Image, board: Option<Board>) -> Result<()> {
    let Some(board) = board else { return Ok(()) };
    let proved = match image::check_board(image, board)? {
        BoardCheck::Whole => "boots by the files of the image",
        BoardCheck::Firmware => "finds on FIRMWARE what it needs; the rest is proved on the card",
        BoardCheck::Nothing => "is proved on the card",
    };
    cx.reporter.report(&Event::Found { name: "board".into(), text: format!("{board}: {proved}") });
    note_unseen(cx, board);
    Ok(())
}

/// Notes that nobody has reported a boot of `board` yet.
pub fn note_unseen(cx: &Context, board: Board) {
    if !board.is_seen_on_hardware() {
        cx.note(format!(
            "{board}: not yet seen on hardware; docs/pi-5.md has what to expect, and a checklist to report by"
        ));
    }
}
