//! What children cost: how long they take, how much of the processors, and how much memory.
//!
//! The figures come from `/proc`, not from GNU time: what that calls the largest resident set of a child
//! begins at the size of the process that started it.

use std::fs;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::Serialize;

use super::Output;
use super::stream::Stop;
use crate::base::failure::ExitKind;
use crate::base::interrupt;

/// How often memory is looked at. The kernel keeps each process's own peak between two looks.
const TICK: Duration = Duration::from_millis(20);

/// What a command has cost, with all the processes that it started and waited for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// From the start of the first process to the end of the last.
    pub seconds: f64,
    /// The time that processors spent on them, for themselves and in the kernel.
    pub cpu_seconds: f64,
    /// The part of that which the first process of a pipeline took.
    pub first_cpu_seconds: f64,
    /// The most memory that all processes took at the same time, in bytes: the largest sum of their resident
    /// sets, looked at every 20 ms, and no less than the largest of one of them ever was.
    pub peak_bytes: u64,
}

/// How a measured command ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// As in [`Output`], of the process that failed if one did.
    pub code: i32,
    pub stderr: String,
    pub cost: Cost,
}

/// Runs `command`, whose parts are called `name` in errors, to its end.
pub fn measure(name: &str, command: &duct::Expression) -> Result<Measured> {
    let hold = interrupt::guard()?;
    let start = Instant::now();
    let child = command.stdout_null().stderr_capture().start().with_context(|| format!("running {name}"))?;
    let mut stop = Stop::new(&child, &hold);
    let watched = watch(&child.pids(), || stop.pass_on()).with_context(|| format!("watching {name}"));
    let seconds = start.elapsed().as_secs_f64();
    // The processes have ended, but they have not been waited for: what they have used can still be read.
    let each = child.pids().into_iter().map(cpu_seconds).collect::<Result<Vec<_>>>();
    let raw = child.into_output().with_context(|| format!("waiting for {name}"))?;
    if hold.requested() {
        return Err(ExitKind::Interrupted.error(format!("{name} was stopped")));
    }
    let (peak_bytes, each) = (watched?, each.with_context(|| format!("measuring {name}"))?);
    let Output { code, stderr, .. } = Output::from(raw);
    let (cpu_seconds, first_cpu_seconds) = (each.iter().sum(), each.first().copied().unwrap_or_default());
    Ok(Measured { code, stderr, cost: Cost { seconds, cpu_seconds, first_cpu_seconds, peak_bytes } })
}

/// Returns when all of `pids` have ended, and the most memory that they and their children took together.
fn watch(pids: &[u32], mut on_wait: impl FnMut()) -> Result<u64> {
    let mut running = pids.iter().map(|pid| open(*pid)).collect::<Result<Vec<_>>>()?;
    let mut peak = 0;
    while !running.is_empty() {
        on_wait();
        let resident = pids.iter().copied().map(resident).fold(Resident::default(), Resident::and);
        peak = peak.max(resident.peak());
        forget_ended(&mut running)?;
    }
    Ok(peak)
}

fn open(pid: u32) -> Result<OwnedFd> {
    let pid = Pid::from_raw(pid.try_into()?).context("a process without a number")?;
    pidfd_open(pid, PidfdFlags::empty()).with_context(|| format!("opening process {pid:?}"))
}

/// Waits until one of `running` ends, no longer than [`TICK`], and takes out those that have.
fn forget_ended(running: &mut Vec<OwnedFd>) -> Result<()> {
    let tick = Timespec { tv_sec: 0, tv_nsec: TICK.subsec_nanos().into() };
    let mut polled = running.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect::<Vec<_>>();
    match poll(&mut polled, Some(&tick)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error).context("waiting for processes"),
    }
    let mut ended = polled.iter().map(|fd| fd.revents().contains(PollFlags::IN)).collect::<Vec<_>>();
    ended.reverse();
    running.retain(|_| ended.pop() == Some(false));
    Ok(())
}

/// The resident sets of process `pid` and of all that run below it.
fn resident(pid: u32) -> Resident {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let own = |name| bytes_of(&status, name).unwrap_or_default();
    // A child belongs to the thread that started it.
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let below = children
        .flat_map(|pids| pids.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>());
    let own = Resident { now: own("VmRSS"), largest: own("VmHWM") };
    below.map(resident).fold(own, Resident::and)
}

/// In bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Resident {
    /// What all processes have now, together.
    now: u64,
    /// The most that one of them ever had.
    largest: u64,
}

impl Resident {
    fn and(self, other: Self) -> Self {
        Self { now: self.now + other.now, largest: self.largest.max(other.largest) }
    }

    fn peak(self) -> u64 {
        self.now.max(self.largest)
    }
}

/// The line `NAME:     1234 kB` of a status file, in bytes.
fn bytes_of(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// What process `pid` has used, and what those did that it waited for.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let ticks = ticks_of(&stat).with_context(|| format!("there are no times in {path}"))?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The sum of fields 14 to 17 of a stat file (proc(5)). The name in field 2 may hold anything.
fn ticks_of(stat: &str) -> Option<u64> {
    let fields = stat.rsplit_once(") ")?.1.split(' ').skip(11).take(4);
    fields.map(|field| field.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::process::Launcher;

    fn words(words: &[&str]) -> Vec<std::ffi::OsString> {
        words.iter().map(Into::into).collect()
    }

    #[test]
    fn a_pipeline_is_measured_with_the_processes_below_it() {
        // The shell stays while dd, its child, takes 32 MiB in one piece.
        let hungry = "dd if=/dev/zero of=/dev/null bs=32M count=100 status=none; echo said >&2; exit 3";
        let pipeline = [words(&["sleep", "0.3"]), words(&["sh", "-c", hungry])];
        let Measured { code, stderr, cost } = Launcher::new("/").measure(&pipeline).unwrap();
        assert_eq!((code, stderr.as_str()), (3, "said\n"));
        assert!(cost.seconds >= 0.3 && cost.cpu_seconds > 0.0, "{cost:?}");
        // It is the second one that works.
        assert!(cost.first_cpu_seconds < cost.cpu_seconds, "{cost:?}");
        assert!((32 << 20..64 << 20).contains(&cost.peak_bytes), "{cost:?}");
    }

    #[test]
    fn what_the_kernel_tells() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 102 0 0 0 11 5 3 1 20 0 1 0 99 0 0";
        assert_eq!(ticks_of(stat), Some(20));
        assert_eq!(ticks_of("7 (a"), None);
        let status = "Name:\ta\nVmHWM:\t    1234 kB\nVmRSS:\t 9 kB\n";
        assert_eq!(
            (bytes_of(status, "VmHWM"), bytes_of(status, "VmRSS")),
            (Some(1234 * 1024), Some(9 * 1024))
        );
        assert_eq!(bytes_of("Name:\tzombie\n", "VmRSS"), None);
    }
}
