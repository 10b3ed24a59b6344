//! Sends a line of text with open files over a Unix socket: sudo, doas and run0 pass on only stdin, stdout and stderr,
//! and a socket carries files (`SCM_RIGHTS`) where a pipe does not.

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

use super::User;
use crate::bail;
use crate::base::Bytes;

/// The maximum number of files with a line.
pub const MAX_FILES: usize = 4;

/// Sends `line`, which must have no line break, with at most [`MAX_FILES`] files.
pub fn send(socket: &UnixStream, line: &str, files: &[BorrowedFd]) -> std::io::Result<()> {
    let text = format!("{line}\n");
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !control.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(std::io::Error::other("too many files"));
    }
    let sent_bytes = loop {
        let pieces = [IoSlice::new(text.as_bytes())];
        match sendmsg(socket, &pieces, &mut control, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            result => break result?,
        }
    };
    let mut writer = socket;
    writer.write_all(&text.as_bytes()[sent_bytes..])
}

/// Fails where `socket`, the stdin of this process, is not a Unix stream socket.
///
/// # Errors
/// `Usage` for anything else.
pub fn require_socket(socket: BorrowedFd) -> Result<()> {
    let is_stream = sockopt::socket_domain(socket) == Ok(AddressFamily::UNIX)
        && sockopt::socket_type(socket) == Ok(SocketType::STREAM);
    if is_stream {
        return Ok(());
    }
    bail!(
        Usage, "stdin is not a socket: only the tool itself starts this command, and sends it the job and the image";
        hint: "if sudo puts a pipe in between, remove `log_input` for this command from sudoers"
    )
}

/// Receives a line of at most `limit` bytes, without its line end, and the files that came with its first byte.
///
/// # Errors
/// `Usage` where no line comes within `timeout`, for a longer line, and for more than [`MAX_FILES`] files. Files that
/// come after the first byte are not received: the kernel closes them.
pub fn receive(socket: BorrowedFd, limit: usize, timeout: Duration) -> Result<(Vec<u8>, Vec<File>)> {
    require_socket(socket)?;
    let deadline = Instant::now() + timeout;
    wait(socket, deadline, timeout)?;
    let (mut line, files) = receive_first(socket)?;
    let mut source = File::from(socket.try_clone_to_owned().context("reading the job")?);
    let mut buffer = vec![0; 64 << 10];
    while line.last() != Some(&b'\n') && line.len() <= limit {
        wait(socket, deadline, timeout)?;
        match source.read(&mut buffer).context("reading the job")? {
            0 => bail!(Usage, "the job ended before the end of its line"),
            count => append_to_line(&mut line, &buffer[..count]),
        }
    }
    // A line of more bytes than the limit may have been read without its end.
    if line.strip_suffix(b"\n").unwrap_or(&line).len() > limit {
        bail!(Usage, "the job is larger than {}", Bytes(limit as u64));
    }
    line.pop();
    Ok((line, files))
}

/// Appends `bytes` to `line` up to the end of the line. The bytes after the end are dropped.
fn append_to_line(line: &mut Vec<u8>, bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
    line.extend_from_slice(&bytes[..end]);
}

/// Receives the first bytes of a line, and the files that come with them.
fn receive_first(socket: BorrowedFd) -> Result<(Vec<u8>, Vec<File>)> {
    let mut bytes = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
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
    if received.flags.contains(ReturnFlags::CTRUNC) || files.len() > MAX_FILES {
        bail!(Usage, "too many files came with the job");
    }
    if received.bytes == 0 {
        bail!(Usage, "no job arrived");
    }
    let mut line = Vec::new();
    append_to_line(&mut line, &bytes[..received.bytes]);
    Ok((line, files))
}

/// Waits until `socket` is readable or at its end, at most until `deadline`; the error names `timeout`. Signals end
/// this process as usual: no handler catches them here.
fn wait(socket: BorrowedFd, deadline: Instant, timeout: Duration) -> Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let limit = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&limit)) {
            Ok(0) => bail!(Usage, "no complete job arrived within {} s", timeout.as_secs()),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("waiting for the job"),
        }
    }
}

/// The user and the group of the process that made `socket`, as recorded by the kernel.
pub fn peer(socket: BorrowedFd) -> Result<User> {
    let peer = sockopt::socket_peercred(socket.as_fd()).context("identifying the sender of the job")?;
    Ok(User { user: peer.uid.as_raw(), group: peer.gid.as_raw() })
}

#[cfg(test)]
mod tests {
    use std::io::Seek;

    use super::*;
    use crate::base::failure::ExitKind;

    const TIMEOUT: Duration = Duration::from_secs(5);

    /// A temporary file with `text`, to be read from its beginning.
    fn file(text: &str) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.rewind().unwrap();
        file
    }

    #[test]
    fn a_line_comes_with_its_files() {
        let (sender, receiver) = UnixStream::pair().unwrap();
        let first = file("first");
        let second = file("second");
        let long = "x".repeat(3 << 20);
        let sending = std::thread::spawn(move || send(&sender, &long, &[first.as_fd(), second.as_fd()]));
        let (line, files) = receive(receiver.as_fd(), 4 << 20, TIMEOUT).unwrap();
        sending.join().unwrap().unwrap();
        assert_eq!(line.len(), 3 << 20);
        let texts = files.iter().map(|file| std::io::read_to_string(file).unwrap()).collect::<Vec<_>>();
        assert_eq!(texts, ["first", "second"]);
    }

    #[test]
    fn the_peer_is_the_user_who_made_the_socket() {
        let (_sender, receiver) = UnixStream::pair().unwrap();
        let own = rustix::process::geteuid().as_raw();
        assert_eq!(peer(receiver.as_fd()).unwrap().user, own);
    }

    #[test]
    fn incomplete_and_too_large_jobs_are_refused() {
        let fails = |send: &dyn Fn(UnixStream), message: &str| {
            let (sender, receiver) = UnixStream::pair().unwrap();
            send(sender);
            let error = receive(receiver.as_fd(), 9000, Duration::from_millis(200)).unwrap_err();
            let kind = crate::base::failure::kind(&error);
            assert_eq!((error.to_string().as_str(), kind), (message, ExitKind::Usage));
        };
        fails(&drop, "no job arrived");
        fails(&|sender| std::mem::forget(sender), "no complete job arrived within 0 s");
        let send_half_and_wait = |mut sender: UnixStream| {
            sender.write_all(b"half").unwrap();
            std::mem::forget(sender);
        };
        fails(&send_half_and_wait, "no complete job arrived within 0 s");
        fails(&|mut sender| sender.write_all(b"half").unwrap(), "the job ended before the end of its line");
        fails(&|mut sender| sender.write_all(&vec![b'x'; 20_000]).unwrap(), "the job is larger than 8.8 KiB");
        let too_long = [vec![b'x'; 9001], vec![b'\n']].concat();
        fails(&|mut sender| sender.write_all(&too_long).unwrap(), "the job is larger than 8.8 KiB");
        let many = (0..=MAX_FILES).map(|_| file("")).collect::<Vec<_>>();
        let send_many = |sender: UnixStream| {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES + 1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let files = many.iter().map(AsFd::as_fd).collect::<Vec<_>>();
            assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
            sendmsg(sender, &[IoSlice::new(b"x\n")], &mut control, SendFlags::empty()).unwrap();
        };
        fails(&send_many, "too many files came with the job");
    }

    #[test]
    fn a_line_as_long_as_the_limit_is_received() {
        for length in [1, 4095, 4096, 9000] {
            let (sender, receiver) = UnixStream::pair().unwrap();
            send(&sender, &"x".repeat(length), &[]).unwrap();
            let (line, _) = receive(receiver.as_fd(), length, TIMEOUT).unwrap();
            assert_eq!(line.len(), length);
        }
    }

    #[test]
    fn a_pipe_is_not_a_socket() {
        let (pipe, _feed) = std::io::pipe().unwrap();
        let error = receive(pipe.as_fd(), 9, TIMEOUT).unwrap_err().to_string();
        assert!(error.starts_with("stdin is not a socket: "), "{error}");
    }
}
