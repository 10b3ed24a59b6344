//! Systems that a host would not boot are refused. The host has the partitions of a loop device, as a Pi has those of
//! its card; but FIRMWARE has ext4, not FAT.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::fixture::Fixture;
use crate::machine::{self, Machine};
use crate::support::loops::Loop;

/// The scripts of real hosts that update FIRMWARE.
const UPDATE_FIRMWARE: &[(&str, &str)] = &[
    ("update-firmware.sh", include_str!("../../../hosts/raspberry-pi/update-firmware.sh")),
    ("fat.sh", include_str!("../../../hosts/raspberry-pi/trial/fat.sh")),
];

/// The script that makes the host a Pi 3. $0 is the device of its card.
const BECOME_A_PI: &str = r#"
mount -t tmpfs tmpfs /boot
mkdir /boot/firmware /nix/boot
mount "$0"p1 /boot/firmware
mount "$0"p2 /nix/boot
mkdir /nix/boot/extlinux /nix/boot/nixos
printf 'LABEL nixos-default\n  FDTDIR ../nixos/trees\n' >/nix/boot/extlinux/extlinux.conf
mount -t tmpfs tmpfs /sys/firmware
mkdir -p /sys/firmware/devicetree/base
printf 'raspberrypi,3-model-b\000brcm,bcm2837\000' >/sys/firmware/devicetree/base/compatible
printf 'Raspberry Pi 3 Model B Rev 1.2\000' >/sys/firmware/devicetree/base/model
ln -s /run/current-system/sw/bin/update-firmware /mnt/bin/update-firmware
/mnt/bin/update-firmware
"#;

/// The script that copies the boot files of the running system, as the boot menu writer of nixpkgs does.
const COPY_BOOT_FILES: &str = r#"
for part in kernel initrd dtbs; do
    path=$(readlink -f /run/current-system/$part)
    cp -r "$path" "/nix/boot/nixos/$(echo "${path#/nix/store/}" | tr / -)"
done
"#;

/// A Pi that runs the system `old` at first.
pub struct Pi {
    pub fixture: Fixture,
    /// The user as whom ssh logs in.
    user: &'static str,
    card: Card,
}

/// A card whose partitions the kernel knows.
struct Card(Loop);

impl Card {
    /// Makes a card with the partitions FIRMWARE and `NIXOS_SD`.
    fn new() -> Self {
        let table = "label: dos\nstart=2048, size=16384, type=b, bootable\nstart=18432, type=83, bootable\n";
        let card = Loop::attach(32 << 20, &[], |file| write_table(file, table));
        machine::run("partx", &["--update", card.device()]);
        for number in [1, 2] {
            machine::run("mkfs.ext4", &["-q", &format!("{}p{number}", card.device())]);
        }
        Self(card)
    }
}

/// Writes `table`, a script of sfdisk, to `disk`, whose partitions may be in use.
fn write_table(disk: &Path, table: &str) {
    let script = format!("printf '{table}' | sfdisk --quiet --force --no-reread {}", disk.display());
    machine::run("sh", &["-c", &script]);
}

impl Drop for Card {
    fn drop(&mut self) {
        machine::code_and_stderr("partx", &["--delete", self.0.device()]);
    }
}

impl Pi {
    pub fn new() -> Self {
        Self::from_fixture(Fixture::new(), "root")
    }

    /// Makes the host of `fixture` a Pi that runs `old`, and its flake one with `new`. ssh logs in as `user`.
    fn from_fixture(fixture: Fixture, user: &'static str) -> Self {
        fixture.set_profile("old-profile", ":");
        fixture.set_nixos("old", "old");
        fixture.edit(|facts| {
            facts["hosts"]["target"]["node"]["sshUser"] = user.into();
            // U-Boot loads the device tree at 38 MiB: a kernel of 33 MiB ends before it, and one of 37 MiB does not.
            facts["pi"] = json!({
                "kernelMiB": 33, "initrdMiB": 1, "config": "arm_64bit=1",
                "trees": ["bcm2837-rpi-3-b.dtb=raspberrypi,3-model-b", "bcm2711-rpi-4-b.dtb=raspberrypi,4-model-b"],
            });
        });
        fixture.deploy(&["--reboot"]).assert_code(0);
        for (name, script) in UPDATE_FIRMWARE {
            fs::write(fixture.machine.path(name), script).expect("writing");
        }
        let pi = Self { fixture, user, card: Card::new() };
        pi.run_inside(BECOME_A_PI);
        pi.run_inside(COPY_BOOT_FILES);
        pi.set_desired_system("new", |_| ());
        pi
    }

    /// Runs a script on the host; $0 is the device of its card.
    pub fn run_inside(&self, script: &str) {
        let script = script.replace("\"$0\"", self.card.0.device());
        self.fixture.machine.run_inside(&format!("set -e; {script}"));
    }

    /// Writes another partition table to the card. The kernel keeps its partitions.
    pub fn partition_again(&self, table: &str) {
        write_table(Path::new(self.card.0.device()), table);
    }

    /// Makes `name` the desired system in the flake, and changes the facts of the Pi by `change`.
    pub fn set_desired_system(&self, name: &str, change: impl FnOnce(&mut Value)) {
        self.fixture.set_profile(&format!("{name}-profile"), ":");
        self.fixture.set_nixos(name, name);
        self.fixture.edit(|facts| {
            facts["hosts"]["target"]["node"]["sshUser"] = self.user.into();
            change(&mut facts["pi"]);
        });
    }

    /// Asserts that a deploy is refused with a message that contains `text`, that no output of the host is quoted,
    /// and that the host still runs `old`.
    #[track_caller]
    pub fn assert_refused(&self, args: &[&str], text: &str) {
        let outcome = self.fixture.deploy(args);
        outcome.assert_stderr_contains(text).assert_code(3);
        assert!(!outcome.stderr.contains("\n  | "), "{}", outcome.stderr);
        self.assert_runs("-old");
    }

    /// Asserts how the path of the running system ends, read without the tool.
    #[track_caller]
    fn assert_runs(&self, ending: &str) {
        let system = self.fixture.machine.run_inside("readlink -f /run/current-system");
        assert!(system.ends_with(ending), "{system}");
    }
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_system_that_boots_is_not_refused() {
    let pi = Pi::new();
    pi.fixture.edit(|facts| facts["kernel"] = "linux-6.2".into());
    for args in [&["--dry-run"][..], &["--boot"], &[]] {
        let outcome = pi.fixture.deploy(args);
        outcome.assert_code(0);
        for word in ["warning", "FIRMWARE", "would not boot"] {
            assert!(!outcome.stderr.contains(word), "{args:?}: {}", outcome.stderr);
        }
    }
    pi.assert_runs("-new");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_kernel_or_device_trees_that_do_not_boot_are_refused() {
    let pi = Pi::new();
    pi.set_desired_system("new", |pi| pi["kernelMiB"] = 37.into());
    pi.assert_refused(
        &[],
        "error: target would not boot the new system: the kernel takes the memory up to 0x2700000, and u-boot-pi3.bin loads \
         the device tree at 0x2600000, which the kernel would overwrite\nhint: use a smaller kernel",
    );
    pi.assert_refused(&["--dry-run"], "which the kernel would overwrite");
    pi.set_desired_system("new", |pi| {
        pi["kernelMiB"] = 33.into();
        pi["trees"] = json!(["bcm2837-rpi-3-b-plus.dtb=raspberrypi,3-model-b-plus"]);
    });
    pi.assert_refused(
        &["--boot"],
        "no broadcom/bcm2837-rpi-3-b.dtb in the new system (for Raspberry Pi 3 Model B Rev 1.2): Linux gets the device tree of ",
    );
    pi.set_desired_system("new", |pi| pi["kernelMiB"] = 37.into());
    pi.assert_refused(&["--boot", "--keep-firmware"], "refused for 2 reasons");
    // A menu without device trees leaves the choice to U-Boot.
    pi.set_desired_system("new", |pi| pi["kernelMiB"] = 33.into());
    pi.run_inside("echo LABEL nixos-default >/nix/boot/extlinux/extlinux.conf");
    pi.fixture.deploy(&["--boot"]).assert_code(0);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn boot_files_without_room_are_refused() {
    let pi = Pi::new();
    pi.fixture.edit(|facts| facts["kernel"] = "linux-6.2".into());
    pi.run_inside("dd if=/dev/zero of=/nix/boot/filler bs=1M 2>/dev/null || true");
    pi.assert_refused(
        &[],
        "error: /nix/boot on target is too full: the new kernel, initrd and device trees need 1.0 MiB there, and 0 B are left \
         for them\nhint: free space on the host: ",
    );
    // A host whose boot folder is in the file system of the store.
    pi.run_inside("umount /nix/boot; cp -r /nix/boot /tmp; mkdir /nix/boot/extlinux; echo >/nix/boot/extlinux/extlinux.conf");
    let used = pi.fixture.machine.run_inside("df -Pk /nix | tail -1 | awk '{ print $3 }'");
    let used = used.parse::<u64>().expect("a number");
    pi.run_inside(&format!("mount -o remount,size={}k /nix", used + 18 * 1024));
    // The closure fits, but not together with the copies of its boot files.
    pi.set_desired_system("new", |pi| pi["initrdMiB"] = 10.into());
    let words =
        "/nix/boot on target is too full: the new kernel, initrd and device trees need 10.0 MiB there, and ";
    pi.assert_refused(&["--boot"], words);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_firmware_of_another_configuration_is_refused() {
    let pi = Pi::new();
    pi.set_desired_system("new", |pi| pi["config"] = "arm_64bit=0".into());
    let remedy = format!("`cargo xtask --flake {} deploy target --keep-firmware`, and", pi.fixture.flake());
    let words =
        "error: FIRMWARE of target is not that of the new system: `update-firmware` would change config.txt";
    // A dry run shows beforehand what would be refused.
    for args in [&["--boot", "--dry-run"][..], &["--reboot", "--dry-run"], &["--boot"]] {
        pi.assert_refused(
            args,
            &format!("{words}\nhint: run {remedy} then `sudo update-firmware` on target"),
        );
    }
    let noted = pi.fixture.deploy(&["--dry-run"]);
    noted.assert_stderr_contains("  note  FIRMWARE of target is not that of the new system").assert_code(0);
    // A switch that does not change kernel, initrd and device trees is not refused.
    let switched = pi.fixture.deploy(&[]);
    switched
        .assert_stderr_contains("  note  FIRMWARE of target is not that of the new system")
        .assert_code(0);
    let refused = pi.fixture.deploy(&["--reboot"]);
    refused
        .assert_stderr_contains(
            "config.txt\nhint: run `sudo update-firmware` on target, or pass --keep-firmware\n",
        )
        .assert_code(3);
    pi.run_inside("/mnt/bin/update-firmware");
    let rebooted = pi.fixture.deploy(&["--reboot"]);
    rebooted.assert_code(0);
    assert!(!rebooted.stderr.contains("FIRMWARE"), "{}", rebooted.stderr);
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_missing_or_damaged_boot_script_is_refused_without_keep_firmware() {
    let pi = Pi::new();
    let set_kernel = |name: &str| pi.fixture.edit(|facts| facts["kernel"] = name.into());
    for damage in ["rm /boot/firmware/boot.scr", "echo x >>/boot/firmware/boot.scr"] {
        pi.run_inside(damage);
        set_kernel("linux-6.2");
        pi.assert_refused(&[], "`update-firmware` would change boot.scr\nhint: run ");
    }
    let kept = pi.fixture.deploy(&["--keep-firmware"]);
    kept.assert_stderr_contains("warning: FIRMWARE of target is not that of the new system").assert_code(0);
    pi.assert_runs("-new");
}

/// Users can read neither the files of FIRMWARE nor the disk.
#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs, sudo: run `cargo xtask test`"]
fn files_that_only_root_can_read_are_read_by_sudo() {
    let mut fixture = Fixture::new();
    fixture.machine = Machine::start_with_user("ALL=(ALL) NOPASSWD: ALL");
    fixture.known_hosts = fixture.machine.write_known_hosts();
    let pi = Pi::from_fixture(fixture, "pi");
    pi.run_inside("chmod 700 /boot/firmware");
    pi.set_desired_system("new", |pi| pi["kernelMiB"] = 37.into());
    pi.assert_refused(&["--boot"], "which the kernel would overwrite");
}

#[test]
#[ignore = "needs root, network namespaces, Nix, deploy-rs: run `cargo xtask test`"]
fn a_firmware_that_starts_nothing_is_refused() {
    let pi = Pi::new();
    pi.run_inside("printf 'kernel=a\\033[2Jb.bin\\n' >/boot/firmware/config.txt");
    pi.assert_refused(&["--boot"], "refused for 2 reasons");
    pi.assert_refused(
        &["--boot"],
        "FIRMWARE of target does not start a system: config.txt names a\\u{1b}[2Jb.bin, which does not exist",
    );
    pi.run_inside(
        "printf 'kernel=u-boot-pi3.bin\\n' >/boot/firmware/config.txt; : >/boot/firmware/u-boot-pi3.bin",
    );
    pi.assert_refused(
        &["--reboot"],
        "does not start a system: u-boot-pi3.bin, which the firmware starts, is empty",
    );
}
