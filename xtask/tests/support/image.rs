//! Reads an image by the programs of its file systems, without the tool's own code.

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const MIB: u64 = 1 << 20;

/// Runs `program` to its end.
#[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
pub fn run<S: AsRef<OsStr>>(program: &str, args: &[S], env: &[(&str, &str)]) -> Output {
    let command = Command::new(program).args(args).envs(env.iter().copied()).output();
    command.unwrap_or_else(|error| panic!("running {program}: {error}"))
}

/// Runs `program` and returns its stdout. An exit code other than 0 fails the test with its stderr.
#[track_caller]
pub fn stdout_of<S: AsRef<OsStr>>(program: &str, args: &[S]) -> String {
    let output = run(program, args, &[("LC_ALL", "C"), ("TZ", "UTC0"), ("MTOOLS_SKIP_CHECK", "1")]);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} failed:\n{stdout}\n{stderr}");
    stdout
}

/// A decompressed image.
pub struct Image {
    path: PathBuf,
    firmware_mib: u64,
}

impl Image {
    /// Decompresses `compressed` to `dir`. `firmware_mib` is the expected size of FIRMWARE in MiB.
    #[track_caller]
    pub fn decompress(compressed: &Path, dir: &Path, firmware_mib: u64) -> Self {
        let path = dir.join("decompressed.img");
        let args = ["-q", "-d", "-f", "-o"].map(OsStr::new);
        stdout_of("zstd", &[&args[..], &[path.as_os_str(), compressed.as_os_str()]].concat());
        Self { path, firmware_mib }
    }

    /// Asserts the size, the partition table and the labels of the image, and that both file systems have no errors.
    #[track_caller]
    pub fn assert_sound(&self) {
        let size = self.path.metadata().unwrap().len();
        assert_eq!(size % MIB, 0, "{size}");
        self.assert_partitions(size);
        let root = self.root_argument();
        stdout_of("e2fsck", &["-f", "-n", &root]);
        let label_and_type = |offset: u64| {
            let offset = offset.to_string();
            let args = ["-p", "-o", "value", "-s", "LABEL", "-s", "TYPE", "-O", &offset];
            stdout_of("blkid", &[&args[..], &[self.path.to_str().unwrap()]].concat())
        };
        assert_eq!(label_and_type(8 * MIB), "FIRMWARE\nvfat\n");
        assert_eq!(label_and_type(self.root_offset()), "NIXOS_SD\next4\n");
        stdout_of("fsck.vfat", &["-n", self.copy_firmware().to_str().unwrap()]);
    }

    /// Asserts the partition table of the image, whose size is `size` bytes.
    fn assert_partitions(&self, size: u64) {
        let table: Value =
            serde_json::from_str(&stdout_of("sfdisk", &["-J", self.path.to_str().unwrap()])).unwrap();
        let table = &table["partitiontable"];
        assert_eq!(table["label"], "dos");
        assert_eq!(table["id"], "0x2178694e");
        let partitions = table["partitions"].as_array().unwrap();
        let found = partitions.iter().map(|partition| {
            let bytes = |key: &str| partition[key].as_u64().unwrap() * 512;
            let is_bootable = partition["bootable"] == true;
            (bytes("start"), bytes("size"), partition["type"].as_str().unwrap(), is_bootable)
        });
        let root = self.root_offset();
        let firmware = (8 * MIB, self.firmware_mib * MIB, "b", true);
        assert_eq!(found.collect::<Vec<_>>(), [firmware, (root, size - root, "83", true)]);
    }

    /// The offset of `NIXOS_SD` in bytes.
    fn root_offset(&self) -> u64 {
        (8 + self.firmware_mib) * MIB
    }

    /// The root file system in the notation of e2fsprogs.
    pub fn root_argument(&self) -> String {
        format!("{}?offset={}", self.path.display(), self.root_offset())
    }

    /// Copies the partition FIRMWARE to a file, because fsck.vfat supports no offsets. Returns the path of the file.
    fn copy_firmware(&self) -> PathBuf {
        let file = self.path.with_extension("firmware");
        let bytes = std::fs::read(&self.path).unwrap();
        let offset = |mib: u64| usize::try_from(mib * MIB).unwrap();
        std::fs::write(&file, &bytes[offset(8)..offset(8 + self.firmware_mib)]).unwrap();
        file
    }

    /// Runs `request` of debugfs on the root file system, and returns the output.
    #[track_caller]
    pub fn debugfs(&self, request: &str) -> String {
        stdout_of("debugfs", &["-R", request, &self.root_argument()])
    }

    /// The names in a folder of the root file system, each once and sorted.
    #[track_caller]
    pub fn sorted_names(&self, folder: &str) -> Vec<String> {
        // A line of the listing is /INODE/MODE/USER/GROUP/NAME/SIZE/.
        let listing = self.debugfs(&format!("ls -p {folder}"));
        let names = listing.lines().filter_map(|line| line.split('/').nth(5));
        let names = names.filter(|name| !matches!(*name, "." | ".." | "")).map(str::to_owned);
        names.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The inode numbers and names in a folder of the root file system. mke2fs assigns inodes in the order of the
    /// files.
    #[track_caller]
    pub fn inodes(&self, folder: &str) -> Vec<(u64, String)> {
        // A line of the listing is /INODE/MODE/USER/GROUP/NAME/SIZE/.
        let listing = self.debugfs(&format!("ls -p {folder}"));
        let entries = listing.lines().filter_map(|line| {
            let mut fields = line.split('/').skip(1);
            Some((fields.next()?.parse().ok()?, fields.nth(3)?.to_owned()))
        });
        entries.filter(|(_, name)| !matches!(name.as_str(), "." | "..")).collect()
    }

    /// The content of a file of the root file system.
    #[track_caller]
    pub fn text(&self, file: &str) -> String {
        self.debugfs(&format!("cat {file}"))
    }

    /// The output of `mdir` for a file of FIRMWARE, with its date in the form `2023-11-14  22:13`.
    #[track_caller]
    pub fn firmware_entry(&self, file: &str) -> String {
        stdout_of("mdir", &["-i", &format!("{}@@8M", self.path.display()), &format!("::{file}")])
    }

    /// The paths of all files and folders of FIRMWARE.
    #[track_caller]
    pub fn firmware_paths(&self) -> Vec<String> {
        let listing = stdout_of("mdir", &["-/", "-b", "-i", &format!("{}@@8M", self.path.display()), "::"]);
        listing.lines().map(|line| line.trim_start_matches("::/").to_owned()).collect()
    }
}
