//! A fake machine for tests: the files of sysfs, procfs, /dev and udev in a temporary folder.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::{DeviceNumber, Disk, Roots, list};

/// A machine whose `sys`, `proc`, `dev` and `run` are folders of a temporary folder.
pub struct FakeMachine {
    dir: tempfile::TempDir,
}

impl FakeMachine {
    pub fn new() -> Self {
        let machine = Self { dir: tempfile::tempdir().unwrap() };
        for folder in
            ["sys/class/block", "sys/dev/block", "sys/block", "proc/self", "dev", "run/udev/data", "etc"]
        {
            fs::create_dir_all(machine.dir.path().join(folder)).unwrap();
        }
        machine
    }

    pub fn roots(&self) -> Roots {
        let [sys, proc, dev, run, etc] =
            ["sys", "proc", "dev", "run", "etc"].map(|name| self.dir.path().join(name));
        Roots { sys, proc, dev, run, etc }
    }

    /// Writes the file `path`, `sys/...`, and makes its folders.
    pub fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// Adds the block device at `place` below `/sys/devices` with `attributes`. Its size is 32 GB unless `attributes`
    /// have another.
    pub fn device(&self, place: &str, number: &str, attributes: &[(&str, &str)]) -> &Self {
        let sys = self.dir.path().join("sys");
        let name = Path::new(place).file_name().unwrap();
        let dir = sys.join("devices").join(place);
        for (attribute, text) in [("dev", number), ("size", "62500000")].iter().chain(attributes) {
            self.file(&format!("sys/devices/{place}/{attribute}"), &format!("{text}\n"));
        }
        symlink(&dir, sys.join("class/block").join(name)).unwrap();
        symlink(&dir, sys.join("dev/block").join(number)).unwrap();
        if !dir.join("partition").exists() {
            symlink(&dir, sys.join("block").join(name)).unwrap();
        }
        self.file(&format!("dev/{}", name.to_str().unwrap()), "")
    }

    /// Stacks the device `upper` on the device `lower`.
    pub fn stack(&self, upper: &str, lower: &str) -> &Self {
        let class = self.dir.path().join("sys/class/block");
        for (at, folder, to) in [(upper, "slaves", lower), (lower, "holders", upper)] {
            let folder = class.join(at).join(folder);
            fs::create_dir_all(&folder).unwrap();
            symlink(class.join(to).canonicalize().unwrap(), folder.join(to)).unwrap();
        }
        self
    }

    /// Mounts the device `number`, or `source` where the number is anonymous, at `at`.
    pub fn mount(&self, number: &str, at: &str, fstype: &str, source: &str) -> &Self {
        let file = self.dir.path().join("proc/self/mountinfo");
        let before = fs::read_to_string(&file).unwrap_or_default();
        let id = before.lines().count() + 2;
        let parent = topmost_around(&before, at);
        let line = format!("{id} {parent} {number} / {at} rw shared:1 - {fstype} {source} rw\n");
        fs::write(file, before + &line).unwrap();
        self
    }

    pub fn swap(&self, device: &str) -> &Self {
        self.file("proc/swaps", &format!("Filename Type Size Used Priority\n{device} partition 9 0 -2\n"))
    }

    pub fn disk(&self, name: &str) -> Disk {
        let number =
            fs::read_to_string(self.dir.path().join("sys/class/block").join(name).join("dev")).unwrap();
        Disk::by_number(&self.roots(), DeviceNumber::parse(&number).unwrap()).unwrap()
    }

    pub fn names(&self) -> Vec<String> {
        list(&self.roots()).unwrap().into_iter().map(|disk| disk.name).collect()
    }

    /// Removes the block device `name`.
    pub fn remove(&self, name: &str) -> &Self {
        let class = self.dir.path().join("sys/class/block").join(name);
        let number = fs::read_to_string(class.join("dev")).unwrap();
        fs::remove_dir_all(class.canonicalize().unwrap()).unwrap();
        let sys = self.dir.path().join("sys");
        for link in [class, sys.join("block").join(name), sys.join("dev/block").join(number.trim())] {
            fs::remove_file(link).unwrap();
        }
        self
    }

    /// Adds an SD card with two partitions in the card slot.
    pub fn with_card(&self, attributes: &[(&str, &str)]) -> &Self {
        let own =
            [("device/type", "SD"), ("device/cid", "1b534d45"), ("device/name", "EB1QT"), ("diskseq", "7")];
        let place = "platform/soc/fe340000.mmc/mmc_host/mmc0/mmc0:59b4/block/mmcblk0";
        self.device(place, "179:0", &[&own, attributes].concat());
        for (number, size) in [("1", "61440"), ("2", "61440000")] {
            let part = format!("{place}/mmcblk0p{number}");
            self.device(&part, &format!("179:{number}"), &[("partition", number), ("size", size)]);
        }
        self
    }

    /// Adds a USB stick with one partition, whose `removable` is 0.
    pub fn with_stick(&self) -> &Self {
        let usb = "pci0000:00/0000:00:14.0/usb1/1-3";
        self.file(&format!("sys/devices/{usb}/idVendor"), "0781\n");
        self.file(&format!("sys/devices/{usb}/serial"), "4C530001\n");
        let place = format!("{usb}/1-3:1.0/host6/target6:0:0/6:0:0:0/block/sdb");
        let facts = [("removable", "0"), ("device/vendor", "SanDisk "), ("device/model", "Ultra Fit")];
        self.device(&place, "8:16", &facts);
        self.device(&format!("{place}/sdb1"), "8:17", &[("partition", "1")])
    }

    /// Adds a SATA disk with three partitions.
    pub fn with_sata(&self) -> &Self {
        let place = "pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda";
        self.device(place, "8:0", &[]);
        for number in ["1", "2", "3"] {
            self.device(&format!("{place}/sda{number}"), &format!("8:{number}"), &[("partition", number)]);
        }
        self
    }
}

/// The id of the mount that a new mount at `at` stands on, as in the kernel: the last one of the innermost.
fn topmost_around(mountinfo: &str, at: &str) -> String {
    let around = mountinfo.lines().filter_map(|line| {
        let words = line.split(' ').collect::<Vec<_>>();
        Path::new(at).starts_with(words[4]).then(|| (words[4].len(), words[0].to_owned()))
    });
    around.max_by_key(|(length, _)| *length).map_or_else(|| "1".to_owned(), |(_, id)| id)
}
