//! Reads what the caller of the tool hands over by a file descriptor, such as a password.

use std::fs::File;
use std::io::Result as IoResult;
use std::os::unix::fs::OpenOptionsExt;

use anyhow::Result;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use super::bounded;
use crate::failure;

/// Reads the file descriptor `number` of this process from its position to its end: at most `limit` bytes of `subject`,
/// such as "the password".
///
/// # Errors
/// `Usage` for a descriptor that is not open for reading, and for more bytes.
pub fn read(number: u32, limit: u64, subject: &str) -> Result<Vec<u8>> {
    open(number).and_then(|file| bounded::read_all(file, limit)).map_err(|error| {
        failure!(
            Usage, "reading {subject} from the file descriptor {number}: {error}";
            hint: "open it for the tool, such as with `{number}<FILE`"
        )
    })
}

/// A copy of the descriptor `number`. Where the kernel or a sandbox makes no copy, the file is opened again.
fn open(number: u32) -> IoResult<File> {
    let copy = |number| {
        let own_process = pidfd_open(getpid(), PidfdFlags::empty())?;
        pidfd_getfd(own_process, number, PidfdGetfdFlags::empty())
    };
    let number = i32::try_from(number).unwrap_or(i32::MAX);
    copy(number).map(File::from).or_else(|_| reopen(number))
}

/// Opens the file of the descriptor `number` again. The open waits for no writer: that of a named pipe may have gone
/// already, and its bytes are still there.
fn reopen(number: i32) -> IoResult<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(format!("/proc/self/fd/{number}"))?;
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::{AsRawFd, RawFd};
    use std::path::Path;

    use super::*;
    use crate::base::failure::{ExitKind, kind, with_hint};

    fn number(file: &impl AsRawFd) -> u32 {
        RawFd::from(file.as_raw_fd()).cast_unsigned()
    }

    fn text(file: &impl AsRawFd) -> String {
        String::from_utf8(read(number(file), 8, "the password").unwrap()).unwrap()
    }

    #[test]
    fn files_pipes_and_sockets_are_read_to_their_end() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"secret").unwrap();
        assert_eq!(text(&file), "");
        std::io::Seek::rewind(&mut file).unwrap();
        file.read_exact(&mut [0; 2]).unwrap();
        assert_eq!(text(&file), "cret");
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"secret").unwrap();
        drop(writer);
        assert_eq!(text(&reader), "secret");
        let (reader, mut writer) = std::os::unix::net::UnixStream::pair().unwrap();
        writer.write_all(b"secret").unwrap();
        drop(writer);
        assert_eq!(text(&reader), "secret");
    }

    #[test]
    fn a_named_pipe_whose_writer_has_gone_still_has_its_bytes() {
        for open in [open as fn(u32) -> IoResult<File>, |number| reopen(number.cast_signed())] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("pipe");
            rustix::fs::mkfifoat(rustix::fs::CWD, &path, 0o600.into()).unwrap();
            let mut writer = File::options().read(true).write(true).open(&path).unwrap();
            let reader = File::open(&path).unwrap();
            writer.write_all(b"secret").unwrap();
            drop(writer);
            let mut found = String::new();
            open(number(&reader)).unwrap().read_to_string(&mut found).unwrap();
            assert_eq!(found, "secret");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let files = ["/", "/dev/zero"].map(|path| File::open(Path::new(path)).unwrap());
        let writer = File::options().write(true).open("/dev/null").unwrap();
        let numbers = files.iter().map(number).chain([number(&writer), 4_000_000_000, 999_999]);
        for number in numbers.collect::<Vec<_>>() {
            let error = read(number, 8, "the password").unwrap_err();
            assert_eq!(kind(&error), ExitKind::Usage, "{number}");
            assert!(with_hint(&error).contains(&format!("the password from the file descriptor {number}: ")));
        }
    }
}
