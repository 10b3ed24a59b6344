//! The bytes of images, and image files of each format.

use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use liblzma::write::XzEncoder;

use crate::card::MIB;

/// The bytes of an image of `mib` MiB: a partition table, noise, and zeros in the third MiB.
pub fn image(mib: usize) -> Vec<u8> {
    let mut bytes = noise("image", mib * MIB);
    bytes[..512].copy_from_slice(&boot_record(u32::try_from(mib * MIB / 512 - 2048).expect("small")));
    bytes[2 * MIB..3 * MIB].fill(0);
    bytes
}

/// An MBR with one Linux partition of `sectors` sectors that begins at 1 MiB.
fn boot_record(sectors: u32) -> [u8; 512] {
    let mut sector = [0; 512];
    sector[440..444].copy_from_slice(&0x2178_694e_u32.to_le_bytes());
    sector[446] = 0x80;
    sector[450] = 0x83;
    sector[454..458].copy_from_slice(&2048_u32.to_le_bytes());
    sector[458..462].copy_from_slice(&sectors.to_le_bytes());
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

/// The content of a used card of `len` bytes: noise that is the same in each run and in no image.
pub fn garbage(len: usize) -> Vec<u8> {
    noise("garbage", len)
}

/// Noise of `len` bytes, the same for the same `seed`.
fn noise(seed: &str, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// The formats of image files that users have, by their endings; [`pack`] also takes `sized.zst`.
pub const FORMATS: &[&str] = &["img", "img.zst", "img.xz", "img.gz", "img.bz2"];

/// Writes `bytes` to a file in `dir` in the format that `ending` names, and returns its path. Compressed files have
/// several frames, streams or members, like those of parallel compressors. Like those of pzstd, the frames of `img.zst`
/// do not state their size; a skippable frame is between them. The frames of `sized.zst` state their size.
pub fn pack(dir: &Path, ending: &str, bytes: &[u8]) -> PathBuf {
    let file = dir.join(format!("nixos-sd-image.{ending}"));
    let (first, second) = bytes.split_at(bytes.len() / 3);
    let packed = match ending {
        "img" => bytes.to_vec(),
        "img.zst" => [zstd(first), b"\x50\x2a\x4d\x18\x03\0\0\0abc".to_vec(), zstd(second)].concat(),
        "sized.zst" => bytes.chunks(bytes.len() / 3).flat_map(zstd_with_size).collect(),
        "img.xz" => [xz(first), xz(second)].concat(),
        "img.gz" => [gzip(first), gzip(second)].concat(),
        "img.bz2" => [bzip2(first), bzip2(second)].concat(),
        other => panic!("no format {other}"),
    };
    std::fs::write(&file, packed).expect("writing an image");
    file
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd_with(bytes, |_| Ok(()))
}

/// One frame of zstd with a checksum, from an encoder that `configure` configures.
pub fn zstd_with(bytes: &[u8], configure: impl FnOnce(&mut Encoder) -> std::io::Result<()>) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), 1).expect("an encoder");
    encoder.include_checksum(true).and_then(|()| configure(&mut encoder)).expect("setting up an encoder");
    encoder.write_all(bytes).expect("compressing");
    encoder.finish().expect("compressing")
}

type Encoder = zstd::Encoder<'static, Vec<u8>>;

/// One frame of zstd that states its size, as `zstd FILE` makes it.
pub fn zstd_with_size(bytes: &[u8]) -> Vec<u8> {
    zstd_with(bytes, |encoder| encoder.set_pledged_src_size(Some(bytes.len() as u64)))
}

pub fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = XzEncoder::new(Vec::new(), 0);
    encoder.write_all(bytes).expect("compressing");
    encoder.finish().expect("compressing")
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut writer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    writer.write_all(bytes).expect("compressing");
    writer.finish().expect("compressing")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("compressing");
    encoder.finish().expect("compressing")
}

/// An xz stream whose header demands a dictionary of at least `dictionary` bytes.
pub fn xz_with_dictionary(bytes: &[u8], dictionary: u32) -> Vec<u8> {
    use liblzma::stream::{Check, Filters, LzmaOptions, Stream};
    let mut options = LzmaOptions::new_preset(0).expect("a preset");
    // The encoder itself needs no more memory than this.
    options.dict_size(1 << 20);
    let stream = Stream::new_stream_encoder(Filters::new().lzma2(&options), Check::Crc64).expect("filters");
    let mut encoder = XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(bytes).expect("compressing");
    let mut file = encoder.finish().expect("compressing");
    // The format of xz has 40 sizes of dictionaries: 2 or 3 times a power of two.
    let bits = (0..40_u32).find(|bits| (2 | bits & 1) << (bits / 2 + 11) >= dictionary).expect("small");
    let at = file.windows(2).position(|pair| pair == [0x21, 1]).expect("a filter") + 2;
    file[at] = u8::try_from(bits).expect("small");
    // The block header ends with its checksum.
    let end = 12 + usize::from(file[12]) * 4;
    let mut crc = flate2::Crc::new();
    crc.update(&file[12..end]);
    file[end..end + 4].copy_from_slice(&crc.sum().to_le_bytes());
    file
}
