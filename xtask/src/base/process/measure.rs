//! Measures children: their time, their CPU time and their memory.
//!
//! The figures come from `/proc`, not from GNU time: its maximum resident set of a child includes the size of the
//! process that started the child.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use schemars::JsonSchema;
use serde::Serialize;

use super::Output;
use super::stream::StopForwarder;
use crate::bail;
use crate::base::interrupt;

/// The interval between two samples of the memory. The kernel keeps the peak of each process in between.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(20);

/// The cost of a command, with all processes that it started and waited for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Cost {
    /// From the start of the first process to the end of the last.
    pub seconds: f64,
    /// The CPU time of all processes, in user mode and in the kernel.
    pub cpu_seconds: f64,
    /// The part of `cpu_seconds` of the first process of a pipeline.
    pub first_cpu_seconds: f64,
    /// The peak memory of all processes together, in bytes: the largest sum of their resident sets, in which the pages
    /// of a program count once however many processes run it; sampled every 20 ms, and at least the peak of any one
    /// process.
    pub peak_bytes: u64,
}

/// How a measured command ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// As in [`Output`]; the code of the process that failed, if one did.
    pub code: i32,
    pub stderr: String,
    pub cost: Cost,
}

/// Runs and measures `command`, which errors call `name`.
pub fn measure(name: &str, command: &duct::Expression) -> Result<Measured> {
    let signals = interrupt::guard()?;
    let start = Instant::now();
    let child = command.stdout_null().stderr_capture().start().with_context(|| format!("running {name}"))?;
    let mut stop = StopForwarder::new(&child, &signals);
    let peak = peak_memory(&child.pids(), || stop.forward()).with_context(|| format!("watching {name}"));
    let seconds = start.elapsed().as_secs_f64();
    // The processes have ended, but are not yet reaped: `/proc` still has their CPU times.
    let cpu_times = child.pids().into_iter().map(cpu_seconds).collect::<Result<Vec<_>>>();
    let raw = child.into_output().with_context(|| format!("waiting for {name}"))?;
    if signals.is_stop_requested() {
        bail!(Interrupted, "{name} was stopped");
    }
    let peak_bytes = peak?;
    let cpu_times = cpu_times.with_context(|| format!("measuring {name}"))?;
    let Output { code, stderr, .. } = Output::from(raw);
    let cpu_seconds = cpu_times.iter().sum();
    let first_cpu_seconds = cpu_times.first().copied().unwrap_or_default();
    Ok(Measured { code, stderr, cost: Cost { seconds, cpu_seconds, first_cpu_seconds, peak_bytes } })
}

/// Waits until all of `pids` have ended, and calls `on_wait` repeatedly meanwhile. Returns the peak memory of these
/// processes and their descendants together, in bytes.
fn peak_memory(pids: &[u32], mut on_wait: impl FnMut()) -> Result<u64> {
    let mut running = pids.iter().map(|pid| open_process(*pid)).collect::<Result<Vec<_>>>()?;
    let mut peak = 0;
    while !running.is_empty() {
        on_wait();
        peak = peak.max(memory_of(pids));
        remove_ended(&mut running)?;
    }
    Ok(peak)
}

/// A descriptor of process `pid`, which becomes readable when the process ends.
fn open_process(pid: u32) -> Result<OwnedFd> {
    let pid = Pid::from_raw(pid.try_into()?).context("opening a process without a number")?;
    pidfd_open(pid, PidfdFlags::empty()).with_context(|| format!("opening process {pid:?}"))
}

/// Waits until one of `running` ends, at most for [`SAMPLE_INTERVAL`], and removes those that have ended.
fn remove_ended(running: &mut Vec<OwnedFd>) -> Result<()> {
    let tick = Timespec { tv_sec: 0, tv_nsec: SAMPLE_INTERVAL.subsec_nanos().into() };
    let mut polled = running.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect::<Vec<_>>();
    match poll(&mut polled, Some(&tick)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error).context("waiting for processes"),
    }
    let are_running = polled.iter().map(|fd| !fd.revents().contains(PollFlags::IN)).collect::<Vec<_>>();
    let mut are_running = are_running.into_iter();
    running.retain(|_| are_running.next().unwrap_or_default());
    Ok(())
}

/// The memory of the processes `pids` and their descendants together, in bytes; see [`Cost::peak_bytes`].
pub fn memory_of(pids: &[u32]) -> u64 {
    pids.iter().copied().map(memory_of_tree).fold(Memory::default(), Memory::plus).peak()
}

/// The memory of process `pid` and all its descendants. Processes that have ended meanwhile do not count.
fn memory_of_tree(pid: u32) -> Memory {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let bytes = |name| bytes_of(&status, name).unwrap_or_default();
    // The kernel lists a child at the thread that started it.
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let children =
        lists.flat_map(|pids| pids.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>());
    let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let own = Memory {
        private: bytes("RssAnon") + bytes("RssShmem"),
        files: BTreeMap::from([(program, bytes("RssFile"))]),
        largest_peak: bytes("VmHWM"),
    };
    children.map(memory_of_tree).fold(own, Memory::plus)
}

/// The resident memory of several processes, in bytes.
#[derive(Clone, Debug, Default)]
struct Memory {
    /// The sum of the pages that count for each process: those of no file, and those of shared memory.
    private: u64,
    /// The largest set of file pages of a process, by the program that the process runs: processes of one program share
    /// these pages.
    files: BTreeMap<PathBuf, u64>,
    /// The largest peak of one process.
    largest_peak: u64,
}

impl Memory {
    /// The memory of the processes of both; the files of one program count once.
    fn plus(mut self, other: Self) -> Self {
        self.private += other.private;
        self.largest_peak = self.largest_peak.max(other.largest_peak);
        for (program, bytes) in other.files {
            let file_pages = self.files.entry(program).or_default();
            *file_pages = bytes.max(*file_pages);
        }
        self
    }

    /// The memory of all processes, but no less than the peak of any one process.
    fn peak(&self) -> u64 {
        self.largest_peak.max(self.private + self.files.values().sum::<u64>())
    }
}

/// The value of the line `NAME:     1234 kB` of a status file, in bytes.
fn bytes_of(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// The CPU time of process `pid` and of the children that it waited for, in seconds.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let ticks = ticks_of(&stat).with_context(|| format!("reading the times in {path}"))?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The sum of fields 14 to 17 of a stat file (proc(5)), which are CPU times in clock ticks. The name in field 2 may
/// contain anything, also spaces and brackets.
fn ticks_of(stat: &str) -> Option<u64> {
    // Field 3 comes first behind the name.
    let fields = stat.rsplit_once(") ")?.1.split(' ').skip(11).take(4);
    fields.map(|field| field.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::process::Launcher;

    fn command(words: &[&str]) -> Vec<std::ffi::OsString> {
        words.iter().map(Into::into).collect()
    }

    #[test]
    fn a_pipeline_is_measured_with_the_processes_below_it() {
        // The shell keeps running while dd, its child, allocates 32 MiB at once.
        let hungry = "dd if=/dev/zero of=/dev/null bs=32M count=100 status=none; echo said >&2; exit 3";
        let pipeline = [command(&["sleep", "0.3"]), command(&["sh", "-c", hungry])];
        let Measured { code, stderr, cost } = Launcher::new("/").measure(&pipeline).unwrap();
        assert_eq!((code, stderr.as_str()), (3, "said\n"));
        assert!(cost.seconds >= 0.3 && cost.cpu_seconds > 0.0, "{cost:?}");
        // The second process does the work.
        assert!(cost.first_cpu_seconds < cost.cpu_seconds, "{cost:?}");
        assert!((32 << 20..64 << 20).contains(&cost.peak_bytes), "{cost:?}");
    }

    #[test]
    fn the_pages_of_a_program_count_once() {
        let process = |program: &str, private, files, largest_peak| Memory {
            private,
            files: BTreeMap::from([(program.into(), files)]),
            largest_peak,
        };
        let both = process("/a", 3, 10, 13).plus(process("/a", 4, 12, 16));
        assert_eq!(both.peak(), 3 + 4 + 12);
        let three = both.plus(process("/b", 1, 2, 3));
        assert_eq!(three.peak(), 3 + 4 + 12 + 1 + 2);
        assert_eq!(three.plus(process("/b", 0, 0, 50)).peak(), 50);
    }

    #[test]
    fn times_and_memory_are_read_from_proc() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 102 0 0 0 11 5 3 1 20 0 1 0 99 0 0";
        assert_eq!(ticks_of(stat), Some(20));
        assert_eq!(ticks_of("7 (a"), None);
        let status = "Name:\ta\nVmHWM:\t    1234 kB\nRssFile:\t 9 kB\n";
        assert_eq!(
            (bytes_of(status, "VmHWM"), bytes_of(status, "RssFile")),
            (Some(1234 * 1024), Some(9 * 1024))
        );
        assert_eq!(bytes_of("Name:\tzombie\n", "VmRSS"), None);
    }
}
