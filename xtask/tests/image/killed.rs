//! An assembler that is ended before its time: what is called OUT is an image, or is not there.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::assembler::Content;
use crate::script::Call;

/// So much compressing that there is time to end it.
const LONG: &[(&str, &str)] = &[("ZSTD_LEVEL", "19")];

fn content() -> Content {
    let content = Content::new(false);
    let mut bytes = vec![0; 24 << 20];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    // Half of each byte, or there would be nothing to compress.
    for byte in &mut bytes {
        *byte &= 0x3f;
    }
    fs::write(content.path("root/boot/kernel"), bytes).unwrap();
    content
}

#[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
fn start(call: &Call) -> Child {
    let mut command = Command::new("env");
    command.args(call.words()).process_group(0).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Ends the assembler and all that it has started, as soon as `there` says so.
#[track_caller]
fn end(call: &Call, signal: Signal, there: impl Fn() -> bool) -> ExitStatus {
    let mut child = start(call);
    let begin = Instant::now();
    while !there() {
        assert_eq!(child.try_wait().unwrap(), None, "it has ended by itself");
        assert!(begin.elapsed() < Duration::from_secs(60), "it does not get there");
        std::thread::sleep(Duration::from_millis(2));
    }
    kill_process_group(Pid::from_child(&child), signal).unwrap();
    child.wait().unwrap()
}

/// The names in the folder of `content` that were not there before, without what comes after a dot.
fn left(content: &Content) -> Vec<String> {
    let names = content.dir().read_dir().unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
    let known = ["firmware", "paths", "root", "store"];
    let names = names.filter(|name| !known.contains(&name.as_str()));
    let mut names = names.map(|name| name.split('.').next().unwrap().to_owned()).collect::<Vec<_>>();
    names.sort();
    names
}

/// Asserts that the next run makes the image, as if there had been none before it.
#[track_caller]
fn the_next_run_succeeds(content: &Content) {
    let image = fs::read(Call::new(content.dir()).run().unwrap()).unwrap();
    let other = self::content();
    assert!(image == fs::read(Call::new(other.dir()).run().unwrap()).unwrap(), "the images differ");
    let names = content.path("new").read_dir().unwrap().map(|it| it.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["x.img.zst"]);
}

/// When to end it: while it compresses, or as soon as it has begun to work in a folder of its own.
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
            let call = Call { changes: LONG, ..Call::new(content.dir()) };
            let status = end(&call, signal, || moment(&call));
            assert_eq!(status.code(), Some(130), "{status}");
            assert!(!call.out().exists() && !part(&call.out()).exists());
            let left = left(&content);
            assert!(left.iter().all(|name| name == "new"), "{left:?}");
        }
    }
}

#[test]
#[ignore = "needs Debian's programs, e2fsprogs, mtools, dosfstools, fdisk and zstd: run `cargo xtask test`"]
fn a_killed_assembler_leaves_no_image() {
    for moment in MOMENTS {
        let content = content();
        let call = Call { changes: LONG, ..Call::new(content.dir()) };
        end(&call, Signal::KILL, || moment(&call));
        assert!(!call.out().exists());
        the_next_run_succeeds(&content);
    }
}
