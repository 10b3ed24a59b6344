//! Real loop devices and mounts, removed when a test ends.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

/// A loop device, mostly over a file of its own.
pub struct Loop {
    device: PathBuf,
    file: PathBuf,
    _dir: Option<tempfile::TempDir>,
}

impl Loop {
    /// An empty virtual card of `size` bytes.
    pub fn new(size: u64) -> Self {
        Self::attach(size, &[], |_| ())
    }

    /// The same, attached with more options of losetup, and first written to by `prepare`.
    pub fn attach(size: u64, options: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().expect("making a folder for a virtual card");
        let path = dir.path().join("card.img");
        File::create(&path).and_then(|file| file.set_len(size)).expect("making a virtual card");
        prepare(&path);
        Self { device: losetup(options, &path), file: path, _dir: Some(dir) }
    }

    /// A loop device over an existing file.
    pub fn over(file: &Path, options: &[&str]) -> Self {
        Self { device: losetup(options, file), file: file.to_owned(), _dir: None }
    }

    /// `/dev/loop3`.
    pub fn device(&self) -> &str {
        self.device.to_str().expect("device nodes have plain names")
    }

    /// The file behind the device.
    pub fn file(&self) -> PathBuf {
        self.file.clone()
    }

    /// Gives the card, in use, another size in bytes.
    pub fn resize(&self, size: u64) {
        let file = std::fs::OpenOptions::new().write(true).open(&self.file);
        file.and_then(|file| file.set_len(size)).expect("resizing a virtual card");
        run("losetup", &[OsStr::new("--set-capacity"), self.device.as_os_str()]);
    }

    /// How many bytes were written to the device since it is attached, as the kernel counts them.
    pub fn written(&self) -> u64 {
        let name = self.device.file_name().expect("a name");
        let stat = std::fs::read_to_string(Path::new("/sys/block").join(name).join("stat"));
        let stat = stat.expect("reading the statistics of a loop device");
        let sectors = stat.split_whitespace().nth(6).and_then(|field| field.parse::<u64>().ok());
        sectors.expect("a number of sectors") * 512
    }

    /// The current content of the device, read without the page cache.
    pub fn bytes(&self) -> Vec<u8> {
        run("blockdev", &[OsStr::new("--flushbufs"), self.device.as_os_str()]);
        std::fs::read(&self.device).expect("reading the card")
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        run("losetup", &[OsStr::new("--detach"), self.device.as_os_str()]);
        // Where somebody else looks at the device just then, it is detached a little later.
        let associated = || run("losetup", &[OsStr::new("--associated"), self.file.as_os_str()]);
        let line = format!("{}:", self.device());
        while String::from_utf8_lossy(&associated().stdout).contains(&line) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Retries losetup: another program may take the free device between its search and its claim.
fn losetup(options: &[&str], file: &Path) -> PathBuf {
    let fixed = ["--find", "--show"].iter().chain(options).map(OsStr::new);
    let args = fixed.chain([file.as_os_str()]).collect::<Vec<_>>();
    let output = (0..20).map(|_| run("losetup", &args)).find(|output| output.status.success());
    let output = output.expect("attaching a loop device; this needs root");
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

/// A mounted filesystem. It is unmounted before its device goes if it is declared after it.
pub struct Mounted {
    at: PathBuf,
    _dir: Option<tempfile::TempDir>,
}

impl Mounted {
    pub fn new(device: &str) -> Self {
        let dir = tempfile::tempdir().expect("making a mount point");
        mount(&[OsStr::new(device)], dir.path());
        Self { at: dir.path().to_owned(), _dir: Some(dir) }
    }

    /// Like [`Self::new`], at an existing folder.
    pub fn at_folder(device: &str, at: &Path) -> Self {
        mount(&[OsStr::new(device)], at);
        Self { at: at.to_owned(), _dir: None }
    }

    /// Shows the folder `from` at `at` as well, on top of what is shown there.
    pub fn bound(from: &Path, at: &Path) -> Self {
        mount(&[OsStr::new("--bind"), from.as_os_str()], at);
        Self { at: at.to_owned(), _dir: None }
    }

    /// A filesystem in memory, of a size as mount takes it.
    pub fn memory(size: &str) -> Self {
        let dir = tempfile::tempdir().expect("making a mount point");
        let options = format!("size={size}");
        mount(&["-t", "tmpfs", "-o", &options, "xtask-test"].map(OsStr::new), dir.path());
        Self { at: dir.path().to_owned(), _dir: Some(dir) }
    }

    /// Changes the options of the mount.
    pub fn remount(&self, options: &str) {
        mount(&["-o", &format!("remount,{options}")].map(OsStr::new), &self.at);
    }

    pub fn at(&self) -> &Path {
        &self.at
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &[self.at.as_os_str()]);
    }
}

/// A device that the system swaps to.
pub struct Swap {
    device: String,
}

impl Swap {
    pub fn on(device: &str) -> Self {
        for program in ["mkswap", "swapon"] {
            let output = run(program, &[OsStr::new(device)]);
            assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Self { device: device.to_owned() }
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        run("swapoff", &[OsStr::new(&self.device)]);
    }
}

fn mount(args: &[&OsStr], at: &Path) {
    let output = run("mount", &[args, &[at.as_os_str()]].concat());
    assert!(output.status.success(), "mounting: {}", String::from_utf8_lossy(&output.stderr));
}

/// Makes an ext4 filesystem in a file.
pub fn ext4(file: &Path) {
    let output = run("mkfs.ext4", &[OsStr::new("-q"), file.as_os_str()]);
    assert!(output.status.success(), "mkfs.ext4: {}", String::from_utf8_lossy(&output.stderr));
}

#[expect(clippy::disallowed_methods, reason = "the suites use the machine's own tools as they are")]
fn run(program: &str, args: &[&OsStr]) -> Output {
    Command::new(program).args(args).env("LC_ALL", "C").output().expect(program)
}
