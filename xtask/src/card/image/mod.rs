//! SD images: building an image, finding the file in the output of a build, checking it, and reading it as a stream.

mod board_check;
mod build;
mod check;
mod check_cache;
mod checksums;
pub mod chunk_hash;
mod decode;
pub mod digest;
mod ext4_region;
mod facts;
mod find;
mod fingerprint;
mod host_keys;
mod image_facts;
mod limits;
mod members;
mod partition_stream;
mod source;
mod unpack;
mod xz;
mod zstd_frames;

pub use board_check::{BoardCheck, check_board};
pub use build::{Batch, Built, build, build_all, build_all_checked, build_checked, plan};
pub use check::{
    Depth, Image, examine, examine_and_remember, examine_once, inspect_compressed, optical_disc_warning,
    require_disk_image,
};
pub use check_cache::CheckCache;
pub use checksums::{Algorithm, GivenSums, Hasher, Sum, parse_sha256};
pub use ext4_region::{Ext4Region, NIXOS_SD, ext4_partition, has_nixos_sd, reread_region};
pub use facts::ImageLogins;
pub use find::{Wanted, find};
pub use fingerprint::Changed;
pub use host_keys::{HostKeyFile, host_key_warning};
pub use image_facts::ImageFacts;
pub use limits::{Limits, OutOfMemory};
pub use source::Source;
pub use unpack::unpack;
