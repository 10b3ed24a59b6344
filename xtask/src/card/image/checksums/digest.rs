//! Digests of the algorithms, behind one type.

use blake2::Blake2bVarCore;
use blake2::digest::Output;
use blake2::digest::block_api::{Buffer, UpdateCore, VariableOutputCore};
use sha2::digest::DynDigest;

/// A digest of the bytes so far.
pub struct Digest(Kind);

enum Kind {
    Fixed(Box<dyn DynDigest + Send>),
    ShortBlake2b(Box<ShortBlake2b>),
    Blake3(Box<blake3::Hasher>),
}

/// A `BLAKE2b` with sums of `len` bytes.
struct ShortBlake2b {
    len: usize,
    core: Blake2bVarCore,
    buffer: Buffer<Blake2bVarCore>,
}

impl Digest {
    /// A digest of the type `D`.
    pub fn new<D: DynDigest + Default + Send + 'static>() -> Self {
        Self(Kind::Fixed(Box::<D>::default()))
    }

    pub fn blake3() -> Self {
        Self(Kind::Blake3(Box::default()))
    }

    /// A `BLAKE2b` with sums of `len` bytes, from 1 to 64.
    pub fn blake2b(len: usize) -> Self {
        let core = Blake2bVarCore::new(len).expect("BLAKE2b has sums of 1 to 64 bytes");
        Self(Kind::ShortBlake2b(Box::new(ShortBlake2b {
            len,
            core,
            buffer: Buffer::<Blake2bVarCore>::default(),
        })))
    }

    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Kind::Fixed(digest) => digest.update(bytes),
            Kind::ShortBlake2b(digest) => {
                let ShortBlake2b { core, buffer, .. } = digest.as_mut();
                buffer.digest_blocks(bytes, |blocks| core.update_blocks(blocks));
            }
            Kind::Blake3(hasher) => drop(hasher.update(bytes)),
        }
    }

    /// The bytes of the sum.
    pub fn finish(self) -> Vec<u8> {
        match self.0 {
            Kind::Fixed(digest) => digest.finalize().into_vec(),
            Kind::ShortBlake2b(mut digest) => {
                let ShortBlake2b { len, core, buffer } = digest.as_mut();
                let mut output = Output::<Blake2bVarCore>::default();
                core.finalize_variable_core(buffer, &mut output);
                output[..*len].to_vec()
            }
            Kind::Blake3(hasher) => hasher.finalize().as_bytes().to_vec(),
        }
    }
}
