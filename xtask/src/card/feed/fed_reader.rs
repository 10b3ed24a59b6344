//! The content of an image as the worker of a card reads it from a feed.

use std::fs::File;
use std::io::{self, Error, ErrorKind, Read};

use anyhow::Result;

/// Reads the image from a feed, and where the feed ends early, from the image file.
pub struct FedReader<O> {
    /// `None` once the feed has ended.
    feed: Option<File>,
    /// The decompressed image, once the feed has ended early.
    own: Option<Box<dyn Read + Send>>,
    /// How many bytes were read.
    at: u64,
    /// The size of the image in bytes.
    size: u64,
    /// Opens the decompressed image at its first byte.
    open: O,
}

impl<O: Fn() -> Result<Box<dyn Read + Send>>> FedReader<O> {
    /// Reads an image of `size` bytes, which `open` opens, from `feed`.
    pub fn new(feed: File, size: u64, open: O) -> Self {
        Self { feed: Some(feed), own: None, at: 0, size, open }
    }

    /// Goes on without the feed, which has ended.
    fn leave_feed(&mut self) -> io::Result<()> {
        self.feed = None;
        if self.at == self.size {
            return Ok(());
        }
        let mut own = (self.open)().map_err(into_io_error)?;
        // An image that ends before is noticed by the next read.
        io::copy(&mut own.by_ref().take(self.at), &mut io::sink())?;
        self.own = Some(own);
        Ok(())
    }
}

impl<O: Fn() -> Result<Box<dyn Read + Send>>> Read for FedReader<O> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(feed) = &mut self.feed {
            match feed.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
                Ok(count) if count > 0 || buffer.is_empty() => {
                    self.at += count as u64;
                    return Ok(count);
                }
                _ => self.leave_feed()?,
            }
        }
        self.own.as_mut().map_or(Ok(0), |own| own.read(buffer))
    }
}

/// The system error that `error` is of, where there is one.
fn into_io_error(error: anyhow::Error) -> Error {
    error.downcast::<Error>().unwrap_or_else(|error| Error::other(format!("{error:#}")))
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};
    use std::os::fd::OwnedFd;

    use super::*;

    /// What a worker reads of the image `0123456789`, after its feed has sent `fed` and ended.
    fn read(fed: &str, image: &'static str) -> io::Result<String> {
        let (feed, mut sender) = io::pipe().unwrap();
        sender.write_all(fed.as_bytes()).unwrap();
        drop(sender);
        let open = move || Ok(Box::new(Cursor::new(image)) as Box<dyn Read + Send>);
        let mut text = String::new();
        FedReader::new(OwnedFd::from(feed).into(), 10, open).read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn the_worker_reads_on_where_its_feed_ends() {
        for fed in ["", "0", "012345678", "0123456789"] {
            assert_eq!(read(fed, "0123456789").unwrap(), "0123456789", "{fed:?}");
        }
        // An image that is too long or too short is as it is without a feed.
        assert_eq!(read("0123456789a", "0123456789a").unwrap(), "0123456789a");
        assert_eq!(read("", "0123456789a").unwrap(), "0123456789a");
        assert_eq!(read("01", "01234").unwrap(), "01234");
    }

    #[test]
    fn an_image_that_cannot_be_opened_is_an_error() {
        let (feed, sender) = io::pipe().unwrap();
        drop(sender);
        let open = || Err(Error::from_raw_os_error(5).into());
        let error = FedReader::new(OwnedFd::from(feed).into(), 10, open).read(&mut [0; 4]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(5));
    }
}
