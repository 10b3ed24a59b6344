//! An assembler that is stopped early: OUT is a whole image or absent.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::content::Content;
use crate::script::Call;
use crate::support::xtask::command_that_heeds_interrupts;

/// The variables of a compression that takes so long that the assembler can be stopped meanwhile.
const SLOW_COMPRESSION: &[(&str, &str)] = &[("ZSTD_LEVEL", "19")];

/// Content with a kernel of 24 MiB of noise.
fn large_content() -> Content {
    let content = Content::new();
    let mut bytes = vec![0; 24 << 20];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    // Bytes with only six random bits can be compressed.
    for byte in &mut bytes {
        *byte &= 0x3f;
    }
    fs::write(content.path("root/boot/kernel"), bytes).unwrap();
    content
}

/// Starts the assembler in a process group of its own.
fn start(call: &Call) -> Child {
    let mut command = command_that_heeds_interrupts("env");
    command.args(call.env_args()).process_group(0).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Starts the assembler, sends `signal` to it and its children once `is_ready`, and returns its exit status.
#[track_caller]
fn stop(call: &Call, signal: Signal, is_ready: impl Fn() -> bool) -> ExitStatus {
    let mut child = start(call);
    let started = Instant::now();
    while !is_ready() {
        assert_eq!(child.try_wait().unwrap(), None, "the assembler ended by itself");
        assert!(started.elapsed() < Duration::from_secs(60), "the assembler is not ready in time");
        std::thread::sleep(Duration::from_millis(2));
    }
    kill_process_group(Pid::from_child(&child), signal).unwrap();
    child.wait().unwrap()
}

/// What the assembler has added to the folder of `content`: the sorted names, each up to its first dot.
fn new_names(content: &Content) -> Vec<String> {
    let names = content.dir().read_dir().unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names_of_content = ["firmware", "paths", "root", "store"];
    let names = names.filter(|name| !names_of_content.contains(&name.as_str()));
    let mut names = names.map(|name| name.split('.').next().unwrap().to_owned()).collect::<Vec<_>>();
    names.sort();
    names
}

/// Asserts that the next run assembles the same image as a first run, and leaves no other file beside it.
#[track_caller]
fn assert_next_run_succeeds(content: &Content) {
    let image = fs::read(Call::new(content.dir()).run().unwrap()).unwrap();
    let other = large_content();
    assert!(image == fs::read(Call::new(other.dir()).run().unwrap()).unwrap(), "the images differ");
    let names = content.path("new").read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["x.img.zst"]);
}

/// Whether the moment to stop the assembler has come.
type IsReady = fn(&Call) -> bool;

/// The moments to stop the assembler.
const MOMENTS: &[IsReady] = &[is_compressing, has_working_files];

/// Whether the assembler has written a part of the image.
fn is_compressing(call: &Call) -> bool {
    partial_file(&call.out()).metadata().is_ok_and(|metadata| metadata.len() > 0)
}

/// Whether the assembler has files in its working folder.
fn has_working_files(call: &Call) -> bool {
    let mut entries = call.dir.read_dir().unwrap().map(Result::unwrap);
    let folder = entries.find(|entry| entry.file_name().to_string_lossy().starts_with("tmp."));
    folder.is_some_and(|folder| folder.path().read_dir().is_ok_and(|mut files| files.next().is_some()))
}

/// The path of the image before it is complete.
fn partial_file(out: &Path) -> std::path::PathBuf {
    out.with_extension("zst.part")
}

#[test]
#[ignore = "needs Debian's programs, e2fsprogs, mtools, dosfstools, fdisk and zstd: run `cargo xtask test`"]
fn a_terminated_assembler_leaves_no_files() {
    for is_ready in MOMENTS {
        for signal in [Signal::TERM, Signal::INT] {
            let content = large_content();
            let call = Call { changes: SLOW_COMPRESSION, ..Call::new(content.dir()) };
            let status = stop(&call, signal, || is_ready(&call));
            assert_eq!(status.code(), Some(130), "{status}");
            assert!(!call.out().exists() && !partial_file(&call.out()).exists());
            let names = new_names(&content);
            assert!(names.iter().all(|name| name == "new"), "{names:?}");
        }
    }
}

#[test]
#[ignore = "needs Debian's programs, e2fsprogs, mtools, dosfstools, fdisk and zstd: run `cargo xtask test`"]
fn a_killed_assembler_leaves_no_image() {
    for is_ready in MOMENTS {
        let content = large_content();
        let call = Call { changes: SLOW_COMPRESSION, ..Call::new(content.dir()) };
        stop(&call, Signal::KILL, || is_ready(&call));
        assert!(!call.out().exists());
        assert_next_run_succeeds(&content);
    }
}
