//! The refusals of images that cannot be decoded.

use std::io::Error;

use super::Source;
use crate::base::failure::ExitKind;
use crate::card::image::decode::DOWNLOAD_AGAIN;
use crate::card::image::fingerprint::Changed;
use crate::card::image::limits::OutOfMemory;

impl Source {
    /// The refusal for the `error` of a decoder before anything was written. It says that the image is truncated or
    /// damaged, unless the image [`may_be_whole`].
    pub fn decode_refusal(&self, error: &Error) -> anyhow::Error {
        let image = format!("the image {}", self.path.display());
        if let Some(cause) = OutOfMemory::cause_of(error) {
            return cause.refusal().context(image);
        }
        if Changed::is_cause_of(error) {
            return ExitKind::Refused.error_with_hint(error, Changed::HINT).context(image);
        }
        if may_be_whole(error) {
            let hint = "check the disk with the image, or copy the image to another disk";
            return ExitKind::Refused.error_with_hint(error, hint).context(format!("reading {image}"));
        }
        ExitKind::Refused.error_with_hint(error, DOWNLOAD_AGAIN).context(self.decoding_context())
    }

    /// The context of an error of a decoder: the image is truncated or damaged.
    pub fn decoding_context(&self) -> String {
        format!("the image {} ({}) is truncated or damaged", self.path.display(), self.format)
    }
}

/// Whether an image that fails to decode with `error` may be whole: memory was short, the file changed while it was
/// read, or its disk could not be read.
pub fn may_be_whole(error: &Error) -> bool {
    let is_of_disk = error.raw_os_error().is_some();
    is_of_disk || OutOfMemory::cause_of(error).is_some() || Changed::is_cause_of(error)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;
    use crate::base::failure::hint;

    #[test]
    fn only_an_error_of_a_decoder_says_that_the_image_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.img");
        std::fs::write(&file, [1; 512]).unwrap();
        let source = Source::open(&file).unwrap();
        let of_disk = source.decode_refusal(&Error::from_raw_os_error(5));
        let message = format!("reading the image {}: Input/output error (os error 5)", file.display());
        assert_eq!(format!("{of_disk:#}"), message);
        assert_ne!(hint(&of_disk), Some(DOWNLOAD_AGAIN));
        let of_decoder = source.decode_refusal(&Error::new(ErrorKind::InvalidData, "bad block"));
        assert!(format!("{of_decoder:#}").ends_with("is truncated or damaged: bad block"), "{of_decoder:#}");
        assert_eq!(hint(&of_decoder), Some(DOWNLOAD_AGAIN));
    }
}
