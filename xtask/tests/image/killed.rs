//! An assembler that ends early: OUT is a whole image or absent.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::assembler::Content;
use crate::script::Call;

/// Compression that takes long enough to end the assembler.
const SLOW: &[(&str, &str)] = &[("ZSTD_LEVEL", "19")];

fn content() -> Content {
    let content = Content::new(false);
    let mut bytes = vec![0; 24 << 20];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    // Noise with fewer bits can be compressed.
    for byte in &mut bytes {
        *byte &= 0x3f;
    }
    fs::write(content.path("root/boot/kernel"), bytes).unwrap();
    content
}

#[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
fn start(call: &Call) -> Child {
    let mut command = Command::new("env");
    command.args(call.command()).process_group(0).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Sends `signal` to the assembler and its children once `is_ready`.
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

/// The new names in the folder of `content`, up to the first dot.
fn new_names(content: &Content) -> Vec<String> {
    let names = content.dir().read_dir().unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
    let content = ["firmware", "paths", "root", "store"];
    let names = names.filter(|name| !content.contains(&name.as_str()));
    let mut names = names.map(|name| name.split('.').next().unwrap().to_owned()).collect::<Vec<_>>();
    names.sort();
    names
}

/// Asserts that the next run assembles the same image as a first run.
#[track_caller]
fn assert_next_run_succeeds(content: &Content) {
    let image = fs::read(Call::new(content.dir()).run().unwrap()).unwrap();
    let other = self::content();
    assert!(image == fs::read(Call::new(other.dir()).run().unwrap()).unwrap(), "the images differ");
    let names = content.path("new").read_dir().unwrap().map(|it| it.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["x.img.zst"]);
}

/// Moments to stop the assembler: while it compresses, and once it has files in its working folder.
const MOMENTS: [fn(&Call) -> bool; 2] = [
    |call| part(&call.out()).metadata().is_ok_and(|it| it.len() > 0),
    |call| {
        let mut folders = call.dir.read_dir().unwrap().map(|it| it.unwrap());
        let own = folders.find(|it| it.file_name().to_string_lossy().starts_with("tmp."));
        own.is_some_and(|it| it.path().read_dir().is_ok_and(|mut inside| inside.next().is_some()))
    },
];

fn part(out: &Path) -> std::path::PathBuf {
    out.with_extension("zst.part")
}

#[test]
#[ignore = "needs Debian's programs, e2fsprogs, mtools, dosfstools, fdisk and zstd: run `cargo xtask test`"]
fn a_terminated_assembler_leaves_no_files() {
    for moment in MOMENTS {
        for signal in [Signal::TERM, Signal::INT] {
            let content = content();
            let call = Call { changes: SLOW, ..Call::new(content.dir()) };
            let status = stop(&call, signal, || moment(&call));
            assert_eq!(status.code(), Some(130), "{status}");
            assert!(!call.out().exists() && !part(&call.out()).exists());
            let names = new_names(&content);
            assert!(names.iter().all(|name| name == "new"), "{names:?}");
        }
    }
}

#[test]
#[ignore = "needs Debian's programs, e2fsprogs, mtools, dosfstools, fdisk and zstd: run `cargo xtask test`"]
fn a_killed_assembler_leaves_no_image() {
    for moment in MOMENTS {
        let content = content();
        let call = Call { changes: SLOW, ..Call::new(content.dir()) };
        stop(&call, Signal::KILL, || moment(&call));
        assert!(!call.out().exists());
        assert_next_run_succeeds(&content);
    }
}
