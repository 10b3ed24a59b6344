//! State in an archive of tar.

use std::cell::Cell;
use std::io::{Error, ErrorKind, Read, Result as IoResult};
use std::rc::Rc;

use anyhow::{Context, Result};
use tar::{Archive, Entry, EntryType};

use super::entry::{Modified, RawEntry, RawKind};
use crate::base::{Bytes, Plain};
use crate::identity::Owner;

/// The most bytes of the headers of one entry, which the crate keeps in memory: a long path, a long target, and the
/// attributes of pax.
const MAX_HEADERS: u64 = 4 << 20;
/// The size of a block of an archive, in bytes.
const BLOCK: u64 = 512;

/// Passes each entry of the archive `source` to `visit`, in its order.
///
/// # Errors
/// Those of `visit`, and an archive that is damaged, or not whole.
pub fn visit(source: impl Read, visit: &mut dyn FnMut(RawEntry, &mut dyn Read) -> Result<()>) -> Result<()> {
    let meter = Rc::new(Meter::default());
    let mut archive = Archive::new(Metered { source, meter: meter.clone() });
    let mut entries = archive.entries().context("reading the archive")?;
    loop {
        meter.begin_headers();
        let Some(entry) = entries.next() else { return meter.require_end().context("reading the archive") };
        let mut entry = entry.context("reading the archive")?;
        meter.allowance.set(u64::MAX);
        if let Some(raw) = raw_entry(&mut entry).context("reading the archive")? {
            visit(raw, &mut entry)?;
        }
        // What is left belongs to this entry, not to the headers of the next one.
        std::io::copy(&mut entry, &mut std::io::sink()).context("reading the archive")?;
    }
}

/// The `entry`; `None` for a header that is no entry of its own.
fn raw_entry(entry: &mut Entry<'_, impl Read>) -> IoResult<Option<RawEntry>> {
    let target = |entry: &Entry<'_, _>| entry.link_name_bytes().unwrap_or_default().into_owned();
    let header = entry.header();
    let kind = match header.entry_type() {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => RawKind::File(entry.size()),
        EntryType::Directory => RawKind::Folder,
        EntryType::Symlink => RawKind::Link(target(entry)),
        EntryType::Link => RawKind::HardLink(target(entry)),
        EntryType::XGlobalHeader => return Ok(None),
        _ => RawKind::Special,
    };
    let number = |number: u64| {
        u32::try_from(number).map_err(|_| Error::new(ErrorKind::InvalidData, "an owner is too large"))
    };
    let owner = Owner { user: number(header.uid()?)?, group: number(header.gid()?)? };
    let mode = header.mode()?;
    let seconds = i64::try_from(header.mtime()?).unwrap_or_default();
    let path = entry.path_bytes().into_owned();
    refuse_sparse_pax(entry)?;
    let modified = Modified { seconds, nanoseconds: nanoseconds(entry)? };
    let has_attributes = has_attributes(entry)?;
    Ok(Some(RawEntry { path, kind, mode, owner, modified, has_attributes }))
}

/// How the keys of extended attributes and ACLs in pax begin.
const ATTRIBUTES: [&[u8]; 3] = [b"SCHILY.xattr.", b"SCHILY.acl.", b"LIBARCHIVE.xattr."];

/// Whether `entry` has extended attributes or ACLs.
fn has_attributes(entry: &mut Entry<'_, impl Read>) -> IoResult<bool> {
    let Some(extensions) = entry.pax_extensions()? else { return Ok(false) };
    let is_attribute = |key: &[u8]| {
        ATTRIBUTES.iter().any(|prefix| key.starts_with(prefix)) && !key.ends_with(b".security.selinux")
    };
    Ok(extensions.flatten().any(|extension| is_attribute(extension.key_bytes())))
}

/// The nanoseconds of the modification time, which only the attributes of pax have: `mtime=1600000000.123456789`.
fn nanoseconds(entry: &mut Entry<'_, impl Read>) -> IoResult<u32> {
    let Some(extensions) = entry.pax_extensions()? else { return Ok(0) };
    let mut values = extensions.flatten().filter(|extension| extension.key() == Ok("mtime"));
    let fraction = values
        .next()
        .and_then(|value| value.value().ok()?.split_once('.').map(|(_, digits)| digits.to_owned()));
    let digits = fraction.unwrap_or_default().chars().chain("000000000".chars()).take(9).collect::<String>();
    Ok(digits.parse().unwrap_or_default())
}

/// Refuses a sparse file in the form of pax, whose content begins with the map of its holes. The crate takes that map
/// for a part of the file.
fn refuse_sparse_pax(entry: &mut Entry<'_, impl Read>) -> IoResult<()> {
    let Some(extensions) = entry.pax_extensions()? else { return Ok(()) };
    let mut keys = extensions.flatten();
    if !keys.any(|extension| extension.key_bytes().starts_with(b"GNU.sparse.")) {
        return Ok(());
    }
    let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
    let text = format!(
        "{} is a sparse file in the form of pax, which is not read: make the archive without holes, or by `tar \
         --format=gnu`",
        Plain(path)
    );
    Err(Error::new(ErrorKind::InvalidData, text))
}

/// What was read of an archive.
#[derive(Default)]
struct Meter {
    /// The number of bytes that may be read.
    allowance: Cell<u64>,
    /// The number of zeros that were read last, since the last entry.
    zeros: Cell<u64>,
}

impl Meter {
    /// Begins with the headers of the next entry.
    fn begin_headers(&self) {
        self.allowance.set(MAX_HEADERS);
        self.zeros.set(0);
    }

    /// Counts `bytes`.
    fn count(&self, bytes: &[u8]) {
        self.allowance.set(self.allowance.get().saturating_sub(bytes.len() as u64));
        let zeros = bytes.iter().rev().take_while(|byte| **byte == 0).count();
        let before = if zeros == bytes.len() { self.zeros.get() } else { 0 };
        self.zeros.set(before + zeros as u64);
    }

    /// Fails where the archive ended without its mark, a block of zeros: the crate takes an archive that was cut behind
    /// an entry for a whole one. The padding of the last entry is shorter than a block.
    fn require_end(&self) -> IoResult<()> {
        if self.zeros.get() >= BLOCK {
            return Ok(());
        }
        Err(Error::new(ErrorKind::UnexpectedEof, "the archive is not whole: it has no end mark"))
    }
}

/// A source of which only so many bytes may be read, until the allowance is renewed.
struct Metered<R> {
    source: R,
    meter: Rc<Meter>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, bytes: &mut [u8]) -> IoResult<usize> {
        let allowed = usize::try_from(self.meter.allowance.get()).unwrap_or(usize::MAX);
        if allowed == 0 && !bytes.is_empty() {
            let text = format!("the headers of an entry have more than {}", Bytes(MAX_HEADERS));
            return Err(Error::new(ErrorKind::InvalidData, text));
        }
        let count = bytes.len().min(allowed);
        let count = self.source.read(&mut bytes[..count])?;
        self.meter.count(&bytes[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fuzz;

    /// An archive with one entry of each kind.
    fn archive() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut add = |path: &str, kind: EntryType, target: &str, content: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(content.len() as u64);
            header.set_mode(0o4750);
            header.set_uid(1000);
            header.set_gid(100);
            header.set_mtime(1_600_000_000);
            if target.is_empty() {
                builder.append_data(&mut header, path, content).unwrap();
            } else {
                builder.append_link(&mut header, path, target).unwrap();
            }
        };
        add("a", EntryType::Directory, "", b"");
        add("a/file", EntryType::Regular, "", b"content");
        add("a/link", EntryType::Symlink, "../x", b"");
        add("a/hard", EntryType::Link, "a/file", b"");
        add("a/pipe", EntryType::Fifo, "", b"");
        add(&"long/".repeat(40), EntryType::Directory, "", b"");
        builder.into_inner().unwrap()
    }

    /// The entries of `bytes` in words.
    fn read(bytes: &[u8]) -> Result<Vec<String>> {
        let mut found = Vec::new();
        visit(bytes, &mut |entry, content| {
            let mut text = String::new();
            let _ = content.read_to_string(&mut text);
            found.push(format!("{} {:?} {text}", String::from_utf8_lossy(&entry.path), entry.kind));
            assert!(entry.mode & 0o7777 == 0o4750 || bytes != archive());
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn all_kinds_of_entries_are_read() {
        let expected = [
            "a Folder ".to_owned(),
            "a/file File(7) content".into(),
            format!("a/link Link({:?}) ", b"../x"),
            format!("a/hard HardLink({:?}) ", b"a/file"),
            "a/pipe Special ".into(),
            format!("{} Folder ", "long/".repeat(40)),
        ];
        assert_eq!(read(&archive()).unwrap(), expected);
    }

    #[test]
    fn an_archive_that_is_cut_fails() {
        let whole = archive();
        for len in [100, 512 + 300, 1024 + 5] {
            read(&whole[..len]).unwrap_err();
        }
        read(b"no archive, but a text that is long enough").unwrap_err();
    }

    /// The header of a file of `size` bytes.
    fn header(size: usize) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_size(size as u64);
        header.set_mode(0o4750);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header
    }

    /// An upload that broke off, and was compressed as a whole.
    #[test]
    fn an_archive_that_is_cut_between_two_entries_fails() {
        for content in [&b"content"[..], &[7; 512], &[0; 512], &[0; 4000], b""] {
            let mut builder = tar::Builder::new(Vec::new());
            let mut header = header(content.len());
            builder.append_data(&mut header, "a", content).unwrap();
            let mut bytes = builder.into_inner().unwrap();
            assert_eq!(read(&bytes).unwrap().len(), 1);
            bytes.truncate(bytes.len() - 1024);
            let error = format!("{:#}", read(&bytes).unwrap_err());
            assert!(error.contains("the archive is not whole: it has no end mark"), "{error}");
        }
        read(b"").unwrap_err();
        assert_eq!(read(&[0; 1024]).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_sparse_file_of_pax_is_refused() {
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_pax_extensions([("GNU.sparse.major", &b"1"[..])]).unwrap();
        let mut header = header(1);
        builder.append_data(&mut header, "GNUSparseFile.0/a", &b"x"[..]).unwrap();
        let error = format!("{:#}", read(&builder.into_inner().unwrap()).unwrap_err());
        assert!(error.contains("GNUSparseFile.0/a is a sparse file in the form of pax"), "{error}");
    }

    /// The crate reads a long path into memory, however long it is.
    #[test]
    fn a_header_without_end_is_refused() {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(EntryType::GNULongName);
        header.set_path("././@LongLink").unwrap();
        header.set_size(1 << 30);
        header.set_mode(0);
        header.set_cksum();
        let source = header.as_bytes().chain(std::io::repeat(b'x').take(1 << 30));
        let spent = allocation_counter::measure(|| {
            let error = visit(source, &mut |_, _| Ok(())).unwrap_err();
            assert!(
                format!("{error:#}").contains("the headers of an entry have more than 4.0 MiB"),
                "{error:#}"
            );
        });
        assert!(spent.bytes_max < 32 << 20, "{spent:?}");
    }

    #[test]
    fn fuzz() {
        fuzz::check(&[&archive()], |bytes| drop(read(bytes)));
    }
}
