//! Starts the worker as the tool does, and sends it a line and open files over the socket on its stdin.

use std::fs::File;
use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_res_gid, set_thread_res_uid};
use serde_json::{Value, json};

use super::Outcome;

/// A running worker.
pub struct Worker {
    pub child: Child,
    pub socket: UnixStream,
}

impl Worker {
    /// Starts `command`, which is a worker or starts one.
    pub fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::start_with_sockets(command, UnixStream::pair().expect("making a socket"))
    }

    /// Starts `command` as [`Self::start`] does, with a socket that the user with the id `user` made.
    pub fn start_as(user: u32, mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::start_with_sockets(command, socket_pair_of(user))
    }

    /// Starts `command` with `stdin` as its stdin, which is connected to `socket`. Its other streams stay as they are.
    pub fn start_with_sockets(mut command: Command, (socket, stdin): (UnixStream, UnixStream)) -> Self {
        command.stdin(std::os::fd::OwnedFd::from(stdin));
        Self { child: command.spawn().expect("running the worker"), socket }
    }

    /// Sends `line` with the open `files`.
    pub fn send(&mut self, line: &[u8], files: &[&File]) {
        let files = files.iter().map(AsFd::as_fd).collect::<Vec<_>>();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(files.is_empty() || control.push(SendAncillaryMessage::ScmRights(&files)));
        let text = [line, b"\n"].concat();
        let sent = sendmsg(&self.socket, &[IoSlice::new(&text)], &mut control, SendFlags::NOSIGNAL);
        // If the worker stops reading, its output explains why.
        let _ = sent.map(|count| self.socket.write_all(&text[count..]));
    }

    /// Waits for the end of the worker. Its stdin stays open, as in a run of the tool.
    pub fn finish(self) -> Outcome {
        let output = self.child.wait_with_output().expect("waiting for the worker");
        drop(self.socket);
        Outcome::of(&output)
    }
}

/// Runs a worker with the job `line` and `files` to its end.
pub fn run_job(command: Command, line: &[u8], files: &[&File]) -> Outcome {
    let mut worker = Worker::start(command);
    worker.send(line, files);
    worker.finish()
}

/// Runs a worker as [`run_job`] does, with a socket that the user with the id `user` made.
pub fn run_job_as(user: u32, command: Command, line: &[u8], files: &[&File]) -> Outcome {
    let mut worker = Worker::start_as(user, command);
    worker.send(line, files);
    worker.finish()
}

/// A pair of sockets that the user with the id `user` made: a thread, which needs root, becomes that user and ends.
pub fn socket_pair_of(user: u32) -> (UnixStream, UnixStream) {
    let make = move || {
        let uid = Uid::from_raw(user);
        let gid = Gid::from_raw(user);
        set_thread_res_gid(gid, gid, gid).expect("becoming another group");
        set_thread_res_uid(uid, uid, uid).expect("becoming another user");
        UnixStream::pair().expect("making a socket")
    };
    std::thread::spawn(make).join().expect("no panic")
}

/// The request for `job` of the kind `name`. `has_image`: an open image file comes with the request.
pub fn request(name: &str, job: &Value, has_image: bool) -> Value {
    let files = if has_image { json!(["image"]) } else { json!([]) };
    json!({ "file_roles": files, "job": { name: job } })
}

/// The last message of the worker: its error or its answer.
pub fn last_message(outcome: &Outcome) -> Value {
    let line = outcome.stdout.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {outcome:?}"))
}
