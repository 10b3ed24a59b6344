//! Whole transfers on a card: short ones are continued, failed ones say where.

use std::io::{Error, ErrorKind};

use anyhow::Result;

use super::buffer::Buffer;
use super::card::Card;
use crate::failure::Kind;

/// Writes all of `bytes` at `offset`.
pub fn write_all(card: &dyn Card, bytes: &[u8], offset: u64) -> Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        let at = offset + done as u64;
        match card.write_at(&bytes[done..], at) {
            Ok(0) => return Err(Kind::Io.error(format!("the card takes no more bytes at byte {at}"))),
            Ok(n) => done += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(failed("writing", at, &error)),
        }
    }
    Ok(())
}

/// Fills `bytes` from `offset`.
pub fn read_all(card: &dyn Card, bytes: &mut [u8], offset: u64) -> Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        let at = offset + done as u64;
        match card.read_at(&mut bytes[done..], at) {
            Ok(0) => return Err(Kind::Io.error(format!("the card ends at byte {at}"))),
            Ok(n) => done += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(failed("reading", at, &error)),
        }
    }
    Ok(())
}

/// Waits until everything is on the medium and makes later reads come from there.
pub fn settle(card: &dyn Card) -> Result<()> {
    while let Err(error) = card.sync() {
        if error.kind() != ErrorKind::Interrupted {
            return Err(Kind::Io.error(format!("syncing the card: {error}")));
        }
    }
    card.forget().map_err(|error| Kind::Io.error(format!("dropping the cache of the card: {error}")))
}

/// Writes `bytes` at `offset`, and reads them back from the medium.
pub fn write_and_prove(card: &dyn Card, bytes: &[u8], offset: u64) -> Result<()> {
    write_all(card, bytes, offset)?;
    settle(card)?;
    let mut back = Buffer::zeroed();
    back.resize(bytes.len());
    read_all(card, &mut back, offset)?;
    if *back == *bytes {
        return Ok(());
    }
    let text = format!("verification failed: the card does not hold what was written at byte {offset}");
    Err(Kind::Verification.error(text))
}

fn failed(doing: &str, at: u64, error: &Error) -> anyhow::Error {
    let hint = match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::NODEV | rustix::io::Errno::NXIO) => " (was it unplugged?)",
        Some(rustix::io::Errno::NOSPC) => " (it holds less than it says)",
        Some(rustix::io::Errno::ROFS | rustix::io::Errno::PERM) => " (is its write-protect switch on?)",
        _ => "",
    };
    Kind::Io.error(format!("{doing} the card at byte {at}: {error}{hint}"))
}
