//! The I/O throttle of the block layer: the bytes per second that a device may write and read.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use schemars::JsonSchema;
use serde::Serialize;

/// The speed of a device, in bytes per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Speed {
    pub write: u64,
    pub read: u64,
}

/// An ordinary SD card in an ordinary reader.
pub const SD: Speed = Speed { write: 30_000_000, read: 90_000_000 };

/// No limit, for which the kernel uses 0.
pub const UNLIMITED: Speed = Speed { write: 0, read: 0 };

impl Speed {
    /// The seconds that it takes to write `size` bytes and to read them back.
    #[expect(clippy::cast_precision_loss, reason = "sizes and rates are far below 2^53")]
    pub fn full_pass_seconds(self, size: u64) -> f64 {
        size as f64 / self.write as f64 + size as f64 / self.read as f64
    }
}

/// The folder of the root group's settings. The settings of other groups do not limit buffered writes: the kernel
/// accounts them to the root group.
pub const BLKIO: &str = "/sys/fs/cgroup/blkio";

/// The throttle of a device. Dropping it removes the limits.
pub struct Throttle {
    dir: PathBuf,
    device: String,
}

impl Throttle {
    /// Throttles the block device with the metadata `stat` to `speed`, by the files in `dir`.
    pub fn set(dir: &Path, stat: &Metadata, speed: Speed) -> Result<Self> {
        let device = format!("{}:{}", rustix::fs::major(stat.rdev()), rustix::fs::minor(stat.rdev()));
        let throttle = Self { dir: dir.to_owned(), device };
        throttle.write_limits(speed)?;
        Ok(throttle)
    }

    fn write_limits(&self, speed: Speed) -> Result<()> {
        for (name, rate) in [("write", speed.write), ("read", speed.read)] {
            let file = self.dir.join(format!("blkio.throttle.{name}_bps_device"));
            let doing = || format!("throttling {} in {}", self.device, file.display());
            fs::write(&file, format!("{} {rate}\n", self.device)).with_context(doing)?;
        }
        Ok(())
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        // Else the device would stay slow for its next user.
        let _ = self.write_limits(UNLIMITED);
    }
}

/// The requirement of the throttle in `dir` that is not met, as the object of "needs"; `None` if all are met.
/// `cgroups` is the text of `/proc/self/cgroup`.
pub fn missing_requirement(dir: &Path, cgroups: &str) -> Option<String> {
    let control = dir.join("blkio.throttle.write_bps_device");
    if !control.exists() {
        let text = "a kernel with the cgroup v1 controller blkio, mounted";
        return Some(format!("{text} ({} is missing)", control.display()));
    }
    let groups = cgroups.lines().filter_map(|line| line.split_once(":blkio:"));
    let own_group = groups.map(|(_, group)| group).find(|group| *group != "/")?;
    let procs = dir.join("cgroup.procs");
    let remedy = format!("in the shell: echo $$ > {}", procs.display());
    Some(format!("to run in the root group of blkio, not in {own_group} ({remedy})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_pass_takes_the_time_of_a_write_and_a_read() {
        assert_eq!(format!("{:.1}", SD.full_pass_seconds(512 << 20)), "23.9");
    }

    #[test]
    fn dropping_the_throttle_removes_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        let files = ["blkio.throttle.write_bps_device", "blkio.throttle.read_bps_device"];
        let throttle = Throttle::set(dir.path(), &fs::metadata("/dev/null").unwrap(), SD).unwrap();
        assert_eq!(files.map(read), ["1:3 30000000\n", "1:3 90000000\n"]);
        drop(throttle);
        assert_eq!(files.map(read), ["1:3 0\n", "1:3 0\n"]);
    }

    #[test]
    fn the_throttle_needs_its_controller_and_the_root_group() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().display();
        let absent = format!(
            "a kernel with the cgroup v1 controller blkio, mounted \
             ({path}/blkio.throttle.write_bps_device is missing)"
        );
        assert_eq!(missing_requirement(dir.path(), "7:blkio:/\n"), Some(absent));
        fs::write(dir.path().join("blkio.throttle.write_bps_device"), "").unwrap();
        assert_eq!(missing_requirement(dir.path(), "8:pids:/user\n7:blkio:/\n"), None);
        let elsewhere = format!(
            "to run in the root group of blkio, not in /user (in the shell: echo $$ > {path}/cgroup.procs)"
        );
        assert_eq!(missing_requirement(dir.path(), "7:blkio:/user\n"), Some(elsewhere));
    }
}
