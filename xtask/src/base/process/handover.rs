//! A line of text together with open files, over a Unix socket: sudo, doas and run0 pass on nothing but stdin, stdout
//! and stderr, and a socket carries files (`SCM_RIGHTS`) where a pipe does not.

use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketType, recvmsg, sendmsg, sockopt,
};

use crate::base::Bytes;
use crate::base::failure::ExitKind;

/// So many files come with a line at most.
pub const FILES: usize = 3;

/// Sends `line`, which has no line break, with `files`.
pub fn send(socket: &UnixStream, line: &str, files: &[BorrowedFd]) -> std::io::Result<()> {
    let text = format!("{line}\n");
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !control.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(std::io::Error::other("too many files"));
    }
    let sent = loop {
        let pieces = [IoSlice::new(text.as_bytes())];
        match sendmsg(socket, &pieces, &mut control, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            sent => break sent?,
        }
    };
    let mut socket = socket;
    socket.write_all(&text.as_bytes()[sent..])
}

/// Fails where `socket` is no Unix stream socket.
pub fn check(socket: BorrowedFd) -> Result<()> {
    let is_stream = sockopt::socket_domain(socket) == Ok(AddressFamily::UNIX)
        && sockopt::socket_type(socket) == Ok(SocketType::STREAM);
    if is_stream {
        return Ok(());
    }
    Err(ExitKind::Usage.error(
        "stdin is no socket: the tool itself starts this command, and hands it the job and the image over one; where \
         sudo puts a pipe in between, take `log_input` away for this command",
    ))
}

/// Receives a line of at most `limit` bytes, without its end, and the files that came with its first byte.
///
/// # Errors
/// What is no line within `patience`, a longer one, and more than [`FILES`] files. What comes later than the first
/// byte is read as bytes alone: the kernel closes files that are sent with it.
pub fn receive(socket: BorrowedFd, limit: usize, patience: Duration) -> Result<(Vec<u8>, Vec<File>)> {
    check(socket)?;
    let ends = Instant::now() + patience;
    wait(socket, ends, patience)?;
    let (mut line, files) = first(socket)?;
    let mut source = File::from(socket.try_clone_to_owned().context("reading the job")?);
    let mut piece = vec![0; 64 << 10];
    while line.last() != Some(&b'\n') {
        if line.len() > limit {
            return Err(ExitKind::Usage.error(format!("the job is larger than {}", Bytes(limit as u64))));
        }
        wait(socket, ends, patience)?;
        match source.read(&mut piece).context("reading the job")? {
            0 => return Err(ExitKind::Usage.error("the job ended before the end of its line")),
            count => append(&mut line, &piece[..count]),
        }
    }
    line.pop();
    Ok((line, files))
}

/// Appends to `line` what there is of `piece` up to the end of the line. What is behind it is for nobody.
fn append(line: &mut Vec<u8>, piece: &[u8]) {
    let end = piece.iter().position(|byte| *byte == b'\n').map_or(piece.len(), |at| at + 1);
    line.extend_from_slice(&piece[..end]);
}

/// The first bytes, and the files that come with them.
fn first(socket: BorrowedFd) -> Result<(Vec<u8>, Vec<File>)> {
    let (mut bytes, mut line) = ([0; 4096], Vec::new());
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut pieces = [IoSliceMut::new(&mut bytes)];
    let received =
        recvmsg(socket, &mut pieces, &mut control, RecvFlags::CMSG_CLOEXEC).context("reading the job")?;
    let mut files = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            files.extend(received.map(File::from));
        }
    }
    if received.flags.contains(ReturnFlags::CTRUNC) || files.len() > FILES {
        return Err(ExitKind::Usage.error("too many files came with the job"));
    }
    if received.bytes == 0 {
        return Err(ExitKind::Usage.error("no job has come"));
    }
    append(&mut line, &bytes[..received.bytes]);
    Ok((line, files))
}

/// Waits until there is something to read, or the end. No handler of this program stands in the way of signals.
fn wait(socket: BorrowedFd, ends: Instant, patience: Duration) -> Result<()> {
    loop {
        let left = ends.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&left)) {
            Ok(0) => {
                return Err(ExitKind::Usage.error(format!("no job has come within {} s", patience.as_secs())));
            }
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("waiting for the job"),
        }
    }
}

/// The user and the group of the process that made `socket`, by number, as the kernel knows them.
pub fn peer(socket: BorrowedFd) -> Result<(u32, u32)> {
    let peer = sockopt::socket_peercred(socket.as_fd()).context("looking who has handed over the job")?;
    Ok((peer.uid.as_raw(), peer.gid.as_raw()))
}

#[cfg(test)]
mod tests {
    use std::io::Seek;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(5);

    fn file(text: &str) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.rewind().unwrap();
        file
    }

    #[test]
    fn a_line_comes_with_its_files() {
        let (one, other) = UnixStream::pair().unwrap();
        let (first, second, long) = (file("first"), file("second"), "x".repeat(3 << 20));
        let sender = std::thread::spawn(move || send(&one, &long, &[first.as_fd(), second.as_fd()]));
        let (line, files) = receive(other.as_fd(), 4 << 20, TIMEOUT).unwrap();
        sender.join().unwrap().unwrap();
        assert_eq!(line.len(), 3 << 20);
        let texts = files.iter().map(|file| std::io::read_to_string(file).unwrap()).collect::<Vec<_>>();
        assert_eq!(texts, ["first", "second"]);
        let own = rustix::process::geteuid().as_raw();
        assert_eq!(peer(other.as_fd()).unwrap().0, own);
    }

    #[test]
    fn what_is_no_line() {
        let fails = |act: &dyn Fn(UnixStream), words: &str| {
            let (one, other) = UnixStream::pair().unwrap();
            act(one);
            let error = receive(other.as_fd(), 9000, Duration::from_millis(200)).unwrap_err();
            assert_eq!(
                (error.to_string().as_str(), crate::base::failure::kind(&error)),
                (words, ExitKind::Usage)
            );
        };
        fails(&drop, "no job has come");
        fails(&|one| std::mem::forget(one), "no job has come within 0 s");
        fails(&|mut one| one.write_all(b"half").unwrap(), "the job ended before the end of its line");
        fails(&|mut one| one.write_all(&vec![b'x'; 20_000]).unwrap(), "the job is larger than 8.8 KiB");
        let many = (0..=FILES).map(|_| file("")).collect::<Vec<_>>();
        let send_many = |one: UnixStream| {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES + 1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let files = many.iter().map(AsFd::as_fd).collect::<Vec<_>>();
            assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
            sendmsg(one, &[IoSlice::new(b"x\n")], &mut control, SendFlags::empty()).unwrap();
        };
        fails(&send_many, "too many files came with the job");
    }

    #[test]
    fn a_pipe_is_no_socket() {
        let (pipe, _feed) = std::io::pipe().unwrap();
        let error = receive(pipe.as_fd(), 9, TIMEOUT).unwrap_err().to_string();
        assert!(error.starts_with("stdin is no socket: "), "{error}");
    }
}
