//! The rights of each process, the protection of secrets in memory, and the rescan of partitions.

use std::fs::File;
use std::io::{PipeReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::card::MIB;
use crate::flash::flash;
use crate::image::{garbage, pack};
use crate::support::loops::Loop;
use crate::support::terminal::Terminal;
use crate::support::worker::{Worker, request, socket_pair_of};
use crate::user::{NOBODY, User, give_to_user, run};

#[test]
#[ignore = "needs root and sudo: run `cargo xtask test`"]
fn a_worker_without_a_job_ends_at_a_signal() {
    let user = User::new();
    let _rule = user.allow_worker("");
    for (signal, half) in [(Signal::TERM, false), (Signal::INT, true), (Signal::HUP, false)] {
        let mut worker = Worker::start_as(NOBODY, user.worker("write-card"));
        if half {
            worker.socket.write_all(b"{\"half\": ").unwrap();
        }
        let pid = worker_below(worker.child.id(), 0);
        std::thread::sleep(Duration::from_millis(200));
        let start = Instant::now();
        kill_process(pid, signal).unwrap();
        assert_ne!(worker.child.wait().unwrap().code(), Some(0));
        assert!(start.elapsed() < Duration::from_secs(30), "{signal:?}");
    }
}

/// Waits for a process of the tool that runs as the user `uid` and is the process `id` or one of its descendants.
#[track_caller]
fn worker_below(id: u32, uid: u32) -> Pid {
    let start = Instant::now();
    loop {
        if let Some(pid) = find_worker_below(id, uid) {
            return pid;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "there is no worker of user {uid}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The process of the tool that runs as the user `uid` among the process `id` and its descendants.
fn find_worker_below(id: u32, uid: u32) -> Option<Pid> {
    let program = std::fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let runs_as_user = status.contains(&format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n"));
    if matches!(program.trim(), "xtask" | "exe") && runs_as_user {
        return Pid::from_raw(id.try_into().ok()?);
    }
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
    children
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
        .find_map(|child| find_worker_below(child, uid))
}

/// Asserts that the process `pid` leaves no core dump, and that only root may read its memory.
#[track_caller]
fn assert_no_core(pid: Pid) {
    let process = format!("/proc/{}", pid.as_raw_nonzero());
    let limits = std::fs::read_to_string(format!("{process}/limits")).expect("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    let limits = core.split_whitespace().skip(4).take(2).collect::<Vec<_>>();
    // sudo sets the limit to 0, and a root without CAP_SYS_RESOURCE cannot raise it to 1.
    assert!(matches!(limits[..], ["0", "0"] | ["1", "1"]), "{core}");
    // The kernel gives the files of a process that is not dumpable to root.
    assert_eq!(std::fs::metadata(format!("{process}/environ")).expect("an environment").uid(), 0);
}

/// Starts the worker `name` with a job and a full stdout pipe, so that the worker waits until the pipe is read.
/// Returns the other end of the pipe, and the worker.
fn start_blocked(user: &User, name: &str, job: &Value, files: &[&File]) -> (PipeReader, Worker) {
    let (reader, mut full) = std::io::pipe().expect("making a pipe");
    let size = rustix::pipe::fcntl_setpipe_size(&full, 4096).expect("a small pipe");
    full.write_all(&vec![b'\n'; size]).expect("filling a pipe");
    let mut command = user.worker(name);
    command.stdout(full);
    let mut worker = Worker::start_with_sockets(command, socket_pair_of(NOBODY));
    worker.send(job.to_string().as_bytes(), files);
    (reader, worker)
}

/// Waits until the process `pid` has opened the card and has cleared its environment. Returns the folder of the
/// process in `/proc`.
#[track_caller]
fn wait_for_open_card(pid: Pid, card: &str) -> String {
    // Before exec, the process is a copy of its parent.
    let start = Instant::now();
    let path = format!("/proc/{}", pid.as_raw_nonzero());
    let has_card = || {
        let mut open = open_files(&path).into_iter().filter_map(|entry| std::fs::read_link(entry).ok());
        std::fs::read(format!("{path}/environ")).unwrap_or_default() == b"LC_ALL=C\0"
            && open.any(|file| file == Path::new(card))
    };
    while !has_card() {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "the process has no card, or the environment of the caller"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    path
}

/// The links to the open files of the process whose folder in `/proc` is `process`.
fn open_files(process: &str) -> Vec<PathBuf> {
    let open = std::fs::read_dir(format!("{process}/fd")).into_iter().flatten().flatten();
    open.map(|entry| entry.path()).collect()
}

/// A user who controls the process that reads the card for them cannot write the card through that process.
#[test]
#[ignore = "needs root and sudo: run `cargo xtask test`"]
fn a_card_cannot_be_written_through_its_reading_process() {
    let user = User::new();
    let disk = user.request(user.card(), "9MiB")["job"]["flash"]["disk"].clone();
    let _rule = user.allow_worker("");
    let job = request("inspect", &json!({ "disk": disk }), false);
    let (mut reader, mut worker) = start_blocked(&user, "read-card", &job, &[]);
    let process = wait_for_open_card(worker_below(worker.child.id(), NOBODY), user.card());
    let flags = rustix::fs::OFlags::PATH.bits().cast_signed();
    // The process may close files meanwhile; the cards stay open, and are counted.
    let open = |path| File::options().read(true).custom_flags(flags).open(path).ok();
    let files = open_files(&process).into_iter().filter_map(open);
    let cards = files.filter(|file| file.metadata().unwrap().file_type().is_block_device());
    let cards = cards.collect::<Vec<_>>();
    // The worker of root hands over the card that it has locked, and the node by which the card is read.
    assert_eq!(cards.len(), 2);
    let try_to_write = move || {
        let uid = rustix::process::Uid::from_raw(NOBODY);
        let gid = rustix::process::Gid::from_raw(NOBODY);
        rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
        rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
        for card in cards {
            let path = format!("/proc/thread-self/fd/{}", card.as_raw_fd());
            assert_eq!(rustix::fs::chmod(&path, 0o600.into()), Err(rustix::io::Errno::PERM));
            let error = File::options().write(true).open(&path).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
        }
    };
    std::thread::spawn(try_to_write).join().unwrap();
    std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
    assert_eq!(worker.child.wait().unwrap().code(), Some(0));
    user.assert_card_unchanged();
}

/// The worker waits on a full stdout pipe while the test reads its rights.
#[test]
#[ignore = "needs root and sudo: run `cargo xtask test`"]
fn cards_and_images_are_parsed_with_the_rights_of_the_caller() {
    let user = User::new();
    let plan = user.request(user.card(), "9MiB");
    let _rule = user.allow_worker("");
    let (mut reader, mut worker) = start_blocked(&user, "write-card", &plan, &[&user.image_file()]);
    let inner = worker_below(worker.child.id(), NOBODY);
    let outer = worker_below(worker.child.id(), 0);
    let path = wait_for_open_card(inner, user.card());
    let status = std::fs::read_to_string(format!("{path}/status")).unwrap();
    for line in [
        "Gid:\t65534\t65534\t65534\t65534\n",
        "Groups:\t \n",
        "CapEff:\t0000000000000000\n",
        "NoNewPrivs:\t1\n",
    ] {
        assert!(status.contains(line), "{line:?}: {status}");
    }
    for pid in [inner, outer] {
        assert_no_core(pid);
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", pid.as_raw_nonzero())).unwrap();
        let data = limits.lines().find(|line| line.starts_with("Max data size")).unwrap();
        assert!(data.split_whitespace().nth(3).unwrap().parse::<u64>().unwrap() <= 1 << 30, "{data}");
    }
    std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
    assert_eq!(worker.child.wait().unwrap().code(), Some(0));
    user.card.assert_holds(&user.image);
}

/// On a machine without a free process or thread, a flash ends in an error message, or succeeds.
#[test]
#[ignore = "needs root: run `cargo xtask test`"]
fn a_process_limit_causes_an_error_and_no_panic() {
    let user = User::new();
    let card = user.sandbox.path("state/virtual-card");
    std::fs::write(&card, garbage(9 * MIB)).unwrap();
    give_to_user(&card);
    let file = user.sandbox.path("home/nixos-sd-image.img.zst");
    let args = ["flash", "--image", file.to_str().unwrap(), card.to_str().unwrap(), "--allow-virtual"];
    for count in 1..10 {
        let mut command = user.command(&[]);
        let limit = format!("--nproc={count}");
        command.args(args).args(["--yes", "--expect-size", "9MiB"]);
        let inner = std::mem::replace(&mut command, user.as_nobody(Path::new("/usr/bin/prlimit")));
        // The first three arguments are the options of setpriv, which `as_nobody` adds itself.
        command.arg(limit).args(inner.get_args().skip(3));
        let outcome = crate::support::Outcome::of(&command.output().unwrap());
        assert!(!outcome.stderr.contains("panicked") && outcome.code != 101, "{count}: {outcome:?}");
    }
}

/// A core dump at the confirmation would contain the key.
#[test]
#[ignore = "needs root: run `cargo xtask test`"]
fn the_tool_leaves_no_core_at_the_confirmation() {
    let user = User::new();
    user.sandbox.fake("sudo", "exit 1");
    let file = pack(&user.sandbox.path("home"), "img", &user.image);
    let command = user.command(&["flash", "--image", file.to_str().unwrap(), user.card(), "--allow-virtual"]);
    let mut terminal = Terminal::run(command);
    terminal.wait_for("the name of the device");
    assert_no_core(terminal.pid());
    terminal.type_keys("no\n");
    terminal.finish();
}

/// The partitions of `card` that the kernel knows, each with its start and its size in sectors.
fn kernel_partitions(card: &Loop) -> Vec<(u64, u64)> {
    let name = Path::new(card.device()).file_name().and_then(|name| name.to_str()).expect("a name");
    let parts =
        std::fs::read_dir(format!("/sys/block/{name}")).expect("a disk").flatten().map(|entry| entry.path());
    let number = |path: &Path, file: &str| {
        std::fs::read_to_string(path.join(file)).expect("a file").trim().parse::<u64>().expect("a number")
    };
    let parts = parts.filter(|path| path.join("partition").exists());
    parts.map(|path| (number(&path, "start"), number(&path, "size"))).collect()
}

/// Before the flash, the kernel knows an old partition of the card, the sectors 2048 to 2147. A kernel without a
/// parser for partition tables does not read the new table, but forgets the old partition.
#[test]
#[ignore = "needs root, loop devices and sudo: run `cargo xtask test`"]
fn the_kernel_rereads_the_partition_table() {
    let user = User::new();
    let _rule = user.install_sudo();
    for options in [&["--partscan"][..], &[]] {
        let card =
            Loop::attach(9 * MIB as u64, options, |file| std::fs::write(file, garbage(9 * MIB)).unwrap());
        give_to_user(&card.backing_file());
        let has_old_partition = |card: &Loop| kernel_partitions(card).contains(&(2048, 100));
        let add_old_partition = || {
            run(&["addpart", card.device(), "1", "2048", "100"]);
            assert!(has_old_partition(&card));
        };
        add_old_partition();
        user.flash_to(card.device(), "9MiB").assert_code(0);
        assert!(!has_old_partition(&card), "{options:?}");
        // Root flashes the card itself.
        if !kernel_partitions(&card).is_empty() {
            run(&["delpart", card.device(), "1"]);
        }
        add_old_partition();
        let file = user.sandbox.path("home/nixos-sd-image.img.zst");
        flash(&user.sandbox, &file, card.device(), "9MiB", &[]).assert_code(0);
        assert!(!has_old_partition(&card), "{options:?}");
    }
}
