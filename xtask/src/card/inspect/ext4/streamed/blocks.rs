//! The blocks of a file system that is read from its start to its end.

/// Splits a stream into blocks.
#[derive(Debug)]
pub struct BlockSplitter {
    /// The size of a block in bytes.
    size: usize,
    /// The number of the next block.
    next: u64,
    /// The bytes of the next block so far.
    partial: Vec<u8>,
}

impl BlockSplitter {
    /// Splits into blocks of `size` bytes.
    pub fn new(size: u64) -> Self {
        Self { size: usize::try_from(size).unwrap_or(usize::MAX), next: 0, partial: Vec::new() }
    }

    /// Takes the next `bytes`, and calls `each` with the number and the bytes of each block that they complete.
    ///
    /// # Errors
    /// Those of `each`.
    pub fn feed<E>(
        &mut self,
        mut bytes: &[u8],
        each: &mut impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.partial.is_empty() {
            let missing = self.size - self.partial.len();
            let (first, rest) = bytes.split_at(missing.min(bytes.len()));
            self.partial.extend_from_slice(first);
            bytes = rest;
            if self.partial.len() < self.size {
                return Ok(());
            }
            each(self.next, &self.partial)?;
            self.partial.clear();
            self.next += 1;
        }
        let blocks = bytes.chunks_exact(self.size);
        self.partial.extend_from_slice(blocks.remainder());
        for block in blocks {
            each(self.next, block)?;
            self.next += 1;
        }
        Ok(())
    }
}
