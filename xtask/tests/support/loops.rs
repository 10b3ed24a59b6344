//! Real loop devices and mounts, removed when a test ends.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

/// A loop device. Dropping this value detaches it.
pub struct Loop {
    device: PathBuf,
    file: PathBuf,
    _dir: Option<tempfile::TempDir>,
}

impl Loop {
    /// Makes an empty virtual card of `size` bytes.
    pub fn new(size: u64) -> Self {
        Self::attach(size, &[], |_| ())
    }

    /// Makes a virtual card of `size` bytes, whose file `prepare` may write first. `options` are further options of
    /// losetup.
    pub fn attach(size: u64, options: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().expect("making a folder for a virtual card");
        let path = dir.path().join("card.img");
        File::create(&path).and_then(|file| file.set_len(size)).expect("making a virtual card");
        prepare(&path);
        Self { device: losetup(options, &path), file: path, _dir: Some(dir) }
    }

    /// Attaches a loop device to an existing file.
    pub fn over(file: &Path, options: &[&str]) -> Self {
        Self { device: losetup(options, file), file: file.to_owned(), _dir: None }
    }

    /// The path of the device, such as `/dev/loop3`.
    pub fn device(&self) -> &str {
        self.device.to_str().expect("device nodes have plain names")
    }

    /// The path of the file behind the device.
    pub fn backing_file(&self) -> PathBuf {
        self.file.clone()
    }

    /// Changes the size of the attached card to `size` bytes.
    pub fn resize(&self, size: u64) {
        let file = std::fs::OpenOptions::new().write(true).open(&self.file);
        file.and_then(|file| file.set_len(size)).expect("resizing a virtual card");
        run("losetup", &[OsStr::new("--set-capacity"), self.device.as_os_str()]);
    }

    /// Detaches the file, and attaches it to the same device again: for the kernel, another medium.
    pub fn reattach(&self) {
        run("losetup", &[OsStr::new("--detach"), self.device.as_os_str()]);
        run("losetup", &[self.device.as_os_str(), self.file.as_os_str()]);
    }

    /// The number of bytes that were written to the device since it was attached, as the kernel counts them.
    pub fn bytes_written(&self) -> u64 {
        let name = self.device.file_name().expect("a name");
        let stat = std::fs::read_to_string(Path::new("/sys/block").join(name).join("stat"));
        let stat = stat.expect("reading the statistics of a loop device");
        // The seventh number is that of the written sectors, which have 512 bytes here, whatever the device has.
        let sectors = stat.split_whitespace().nth(6).and_then(|field| field.parse::<u64>().ok());
        sectors.expect("a number of sectors") * 512
    }

    /// The current content of the device, read after the kernel has dropped what it had cached of the device.
    pub fn bytes(&self) -> Vec<u8> {
        run("blockdev", &[OsStr::new("--flushbufs"), self.device.as_os_str()]);
        std::fs::read(&self.device).expect("reading the card")
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        run("losetup", &[OsStr::new("--detach"), self.device.as_os_str()]);
        // While another program has the device open, the kernel detaches it a little later.
        let associated = || run("losetup", &[OsStr::new("--associated"), self.file.as_os_str()]);
        let line = format!("{}:", self.device());
        while String::from_utf8_lossy(&associated().stdout).contains(&line) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Attaches a loop device to `file`, and returns its path. Retries losetup: another program may take the free device
/// between the search of losetup and its claim.
fn losetup(options: &[&str], file: &Path) -> PathBuf {
    let all_options = ["--find", "--show"].iter().chain(options).map(OsStr::new);
    let args = all_options.chain([file.as_os_str()]).collect::<Vec<_>>();
    let output = (0..20).map(|_| run("losetup", &args)).find(|output| output.status.success());
    let output = output.expect("attaching a loop device; this needs root");
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

/// A mounted file system. Dropping this value unmounts it: declare it after its device, so that it is dropped before.
pub struct Mounted {
    mount_point: PathBuf,
    _dir: Option<tempfile::TempDir>,
}

impl Mounted {
    /// Mounts `device` at a new folder.
    pub fn new(device: &str) -> Self {
        let dir = tempfile::tempdir().expect("making a mount point");
        mount(&[OsStr::new(device)], dir.path());
        Self { mount_point: dir.path().to_owned(), _dir: Some(dir) }
    }

    /// Mounts `device` at the existing folder `mount_point`.
    pub fn at_folder(device: &str, mount_point: &Path) -> Self {
        mount(&[OsStr::new(device)], mount_point);
        Self { mount_point: mount_point.to_owned(), _dir: None }
    }

    /// Mounts the folder `source` also at `mount_point`, over what is there (a bind mount).
    pub fn bound(source: &Path, mount_point: &Path) -> Self {
        mount(&[OsStr::new("--bind"), source.as_os_str()], mount_point);
        Self { mount_point: mount_point.to_owned(), _dir: None }
    }

    /// Mounts a file system in memory. `size` is its size in the notation of mount, such as `64m`.
    pub fn tmpfs(size: &str) -> Self {
        let dir = tempfile::tempdir().expect("making a mount point");
        let options = format!("size={size}");
        mount(&["-t", "tmpfs", "-o", &options, "xtask-test"].map(OsStr::new), dir.path());
        Self { mount_point: dir.path().to_owned(), _dir: Some(dir) }
    }

    /// Changes the options of the mount.
    pub fn remount(&self, options: &str) {
        mount(&["-o", &format!("remount,{options}")].map(OsStr::new), &self.mount_point);
    }

    /// The folder at which the file system is mounted.
    pub fn mount_point(&self) -> &Path {
        &self.mount_point
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &[self.mount_point.as_os_str()]);
    }
}

/// A device that the system swaps to, until this value is dropped.
pub struct Swap {
    device: String,
}

impl Swap {
    /// Makes `device` swap space, and switches it on.
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

/// Runs `mount ARGS MOUNT_POINT`.
fn mount(args: &[&OsStr], mount_point: &Path) {
    let output = run("mount", &[args, &[mount_point.as_os_str()]].concat());
    assert!(output.status.success(), "mounting: {}", String::from_utf8_lossy(&output.stderr));
}

/// Makes an ext4 file system in `file`.
pub fn make_ext4(file: &Path) {
    let output = run("mkfs.ext4", &[OsStr::new("-q"), file.as_os_str()]);
    assert!(output.status.success(), "mkfs.ext4: {}", String::from_utf8_lossy(&output.stderr));
}

#[expect(clippy::disallowed_methods, reason = "the suites use the machine's own tools as they are")]
fn run(program: &str, args: &[&OsStr]) -> Output {
    Command::new(program).args(args).env("LC_ALL", "C").output().expect(program)
}
