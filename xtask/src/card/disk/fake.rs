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
    /// A machine without disks.
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
    pub fn write_file(&self, path: &str, text: &str) -> &Self {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// Adds the block device with the device path `device_path` below `/sys/devices`, the device number `number` and
    /// `attributes`. Its size is 32 GB unless `attributes` have another.
    pub fn add_device(&self, device_path: &str, number: &str, attributes: &[(&str, &str)]) -> &Self {
        let sys = self.dir.path().join("sys");
        let name = Path::new(device_path).file_name().unwrap();
        let dir = sys.join("devices").join(device_path);
        for (attribute, text) in [("dev", number), ("size", "62500000")].iter().chain(attributes) {
            self.write_file(&format!("sys/devices/{device_path}/{attribute}"), &format!("{text}\n"));
        }
        symlink(&dir, sys.join("class/block").join(name)).unwrap();
        symlink(&dir, sys.join("dev/block").join(number)).unwrap();
        if !dir.join("partition").exists() {
            symlink(&dir, sys.join("block").join(name)).unwrap();
        }
        self.write_file(&format!("dev/{}", name.to_str().unwrap()), "")
    }

    /// Stacks the device `upper` on the device `lower`.
    pub fn stack(&self, upper: &str, lower: &str) -> &Self {
        let class = self.dir.path().join("sys/class/block");
        for (device, folder, linked) in [(upper, "slaves", lower), (lower, "holders", upper)] {
            let folder = class.join(device).join(folder);
            fs::create_dir_all(&folder).unwrap();
            symlink(class.join(linked).canonicalize().unwrap(), folder.join(linked)).unwrap();
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

    /// Uses `device` as the only swap device.
    pub fn add_swap(&self, device: &str) -> &Self {
        self.write_file(
            "proc/swaps",
            &format!("Filename Type Size Used Priority\n{device} partition 9 0 -2\n"),
        )
    }

    /// The disk `name`, as [`Disk::by_number`] loads it.
    pub fn disk(&self, name: &str) -> Disk {
        let number =
            fs::read_to_string(self.dir.path().join("sys/class/block").join(name).join("dev")).unwrap();
        Disk::by_number(&self.roots(), DeviceNumber::parse(&number).unwrap()).unwrap()
    }

    /// The names of all disks that [`list`] returns.
    pub fn disk_names(&self) -> Vec<String> {
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
        let device_path = "platform/soc/fe340000.mmc/mmc_host/mmc0/mmc0:59b4/block/mmcblk0";
        self.add_device(device_path, "179:0", &[&own, attributes].concat());
        for (number, size) in [("1", "61440"), ("2", "61440000")] {
            let part = format!("{device_path}/mmcblk0p{number}");
            self.add_device(&part, &format!("179:{number}"), &[("partition", number), ("size", size)]);
        }
        self
    }

    /// Adds a USB stick, whose `removable` is 0, with one partition.
    pub fn with_stick(&self) -> &Self {
        let usb = "pci0000:00/0000:00:14.0/usb1/1-3";
        self.write_file(&format!("sys/devices/{usb}/idVendor"), "0781\n");
        self.write_file(&format!("sys/devices/{usb}/serial"), "4C530001\n");
        let device_path = format!("{usb}/1-3:1.0/host6/target6:0:0/6:0:0:0/block/sdb");
        let attributes = [("removable", "0"), ("device/vendor", "SanDisk "), ("device/model", "Ultra Fit")];
        self.add_device(&device_path, "8:16", &attributes);
        self.add_device(&format!("{device_path}/sdb1"), "8:17", &[("partition", "1")])
    }

    /// Adds a SATA disk with three partitions.
    pub fn with_sata(&self) -> &Self {
        let device_path = "pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda";
        self.add_device(device_path, "8:0", &[]);
        for number in ["1", "2", "3"] {
            self.add_device(
                &format!("{device_path}/sda{number}"),
                &format!("8:{number}"),
                &[("partition", number)],
            );
        }
        self
    }
}

/// The id of the mount on which a new mount at `at` stands, as in the kernel: of the innermost mounts, the last one.
fn topmost_around(mountinfo: &str, at: &str) -> String {
    let around = mountinfo.lines().filter_map(|line| {
        let words = line.split(' ').collect::<Vec<_>>();
        Path::new(at).starts_with(words[4]).then(|| (words[4].len(), words[0].to_owned()))
    });
    around.max_by_key(|(length, _)| *length).map_or_else(|| "1".to_owned(), |(_, id)| id)
}
