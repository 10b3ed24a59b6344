//! The worker, talked to as the tool does it: a line and open files over the socket that is its stdin.

use std::fs::File;
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_res_gid, set_thread_res_uid};
use serde_json::{Value, json};

use super::Outcome;

/// A worker that runs.
pub struct Worker {
    pub child: Child,
    pub socket: UnixStream,
}

impl Worker {
    /// Starts `command`, a worker or what starts one.
    pub fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::with(command, UnixStream::pair().expect("making a socket"))
    }

    /// The same for the user `user`, who makes the socket.
    pub fn start_as(user: u32, mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::with(command, pair_of(user))
    }

    /// With this pair of sockets, and the other streams of `command`.
    pub fn with(mut command: Command, (socket, stdin): (UnixStream, UnixStream)) -> Self {
        command.stdin(std::os::fd::OwnedFd::from(stdin));
        Self { child: command.spawn().expect("running the worker"), socket }
    }

    /// Hands over `line` with `files`.
    pub fn hand_over(&mut self, line: &[u8], files: &[&File]) {
        let files = files.iter().map(AsFd::as_fd).collect::<Vec<_>>();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(files.is_empty() || control.push(SendAncillaryMessage::ScmRights(&files)));
        let text = [line, b"\n"].concat();
        let sent = sendmsg(&self.socket, &[IoSlice::new(&text)], &mut control, SendFlags::NOSIGNAL);
        // A worker that wants no more of it says more by its words.
        let _ = sent.map(|count| self.socket.write_all(&text[count..]));
    }

    /// Waits for the end, with the stdin open as the tool keeps it.
    pub fn end(mut self) -> Outcome {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.child.stdout.take().expect("a pipe").read_to_string(&mut stdout).expect("listening");
        self.child.stderr.take().expect("a pipe").read_to_string(&mut stderr).expect("listening");
        let code = self.child.wait().expect("waiting for the worker").code();
        Outcome { code: code.unwrap_or(-1), stdout, stderr }
    }
}

/// What the worker does with a job and files, from its start to its end.
pub fn work(command: Command, line: &[u8], files: &[&File]) -> Outcome {
    let mut worker = Worker::start(command);
    worker.hand_over(line, files);
    worker.end()
}

/// The same for the user `user`.
pub fn work_as(user: u32, command: Command, line: &[u8], files: &[&File]) -> Outcome {
    let mut worker = Worker::start_as(user, command);
    worker.hand_over(line, files);
    worker.end()
}

/// A pair of sockets that the user `user` has made. Only root can do that for another one: it is a thread that becomes
/// that user, and ends.
pub fn pair_of(user: u32) -> (UnixStream, UnixStream) {
    let make = move || {
        let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
        set_thread_res_gid(gid, gid, gid).expect("becoming another group");
        set_thread_res_uid(uid, uid, uid).expect("becoming another user");
        UnixStream::pair().expect("making a socket")
    };
    std::thread::spawn(make).join().expect("no panic")
}

/// The request with `job`, of the kind `name`, that comes with an image or without.
pub fn request(name: &str, job: &Value, has_image: bool) -> Value {
    let handed = if has_image { json!(["image"]) } else { json!([]) };
    json!({ "handed": handed, "job": { name: job } })
}

/// What the worker said last: why it failed, or what it answers.
pub fn last(outcome: &Outcome) -> Value {
    let line = outcome.stdout.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {outcome:?}"))
}
