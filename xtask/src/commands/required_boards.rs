//! The boards that have to boot from a card: the image is proved before the card is touched, and what nobody has seen
//! yet is named.

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use crate::base::{Context, Event};
use crate::boot::Board;
use crate::card::image::{self, BoardCheck, Image};
use crate::nix::flake::HostLayout;

/// The board of `--board`; without it, those of `raspberryPi.boards` of the host that this program knows.
pub fn of(given: Option<Board>, layout: Option<&HostLayout>) -> Vec<Board> {
    let of_host = || layout.map_or(&[][..], |layout| &layout.boards);
    let known = || of_host().iter().filter_map(|name| Board::from_str(name, false).ok()).collect();
    given.map_or_else(known, |board| vec![board])
}

/// Refuses an `image` from which one of these boards does not boot, and shows how much of that was proved before the
/// flash.
///
/// # Errors
/// `Refused` where a board does not boot from the image, or where that is unknown.
pub fn require(cx: &Context, image: &Image, given: Option<Board>, layout: Option<&HostLayout>) -> Result<()> {
    for board in of(given, layout) {
        let checked = match given {
            Some(_) => image::check_board(image, board),
            None => image::check_board(image, board).context("`raspberryPi.boards` of the host"),
        };
        let proved = match checked? {
            BoardCheck::Whole => "boots by the files of the image",
            BoardCheck::Firmware => "finds on FIRMWARE what it needs; the rest is proved on the card",
            BoardCheck::Nothing => "is proved on the card",
        };
        cx.reporter.report(&Event::Found { name: "board".into(), text: format!("{board}: {proved}") });
        note_unseen(cx, board);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_board_of_the_user_replaces_those_of_the_host() {
        let layout: HostLayout = serde_json::from_str(r#"{"boards":["pi4","pi5","pi9"]}"#).unwrap();
        assert_eq!(of(None, Some(&layout)), [Board::Pi4, Board::Pi5]);
        assert_eq!(of(Some(Board::Pi3), Some(&layout)), [Board::Pi3]);
        assert_eq!(of(None, None), []);
    }
}
