//! The faults that keep a host from booting a new system, or from trying it.

use std::fmt;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use super::built::{BuiltFirmware, BuiltSystem};
use super::no_trial::{cannot_try_hint, cannot_try_message};
use crate::base::HostName;
use crate::base::failure::{Reason, ReasonKind, hint};
use crate::boot;
use crate::deploy::host::{BootFacts, Trial};

/// How many files a message names.
const MAX_NAMED: usize = 5;

/// One fault, with the remedy as hint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BootFault {
    #[serde(flatten)]
    pub reason: Reason,
    /// Whether `--keep-firmware` makes the fault a warning.
    #[serde(skip)]
    pub can_be_lifted: bool,
}

impl fmt::Display for BootFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

/// A host and the system that it is to boot.
pub struct Candidate<'a> {
    pub host: &'a HostName,
    pub facts: &'a BootFacts,
    pub built: &'a BuiltSystem,
    pub trial: &'a Trial,
}

impl Candidate<'_> {
    /// All faults but a lack of free space on the host.
    ///
    /// # Errors
    /// Files of the system that cannot be read.
    pub fn faults(&self) -> Result<Vec<BootFault>> {
        let mut faults = self.uboot_faults();
        let trial_fault = self.trial_fault();
        let changed = self.changed_firmware_files()?;
        // The fault of the trial names an outdated boot.scr itself.
        let is_named_by_trial = trial_fault.is_some() && changed.iter().all(|file| file == "boot.scr");
        if !changed.is_empty() && !is_named_by_trial {
            faults.push(self.outdated_firmware_fault(&changed));
        }
        faults.extend(trial_fault);
        Ok(faults)
    }

    /// The faults that keep U-Boot from starting the system; none where something else than U-Boot starts the host.
    fn uboot_faults(&self) -> Vec<BootFault> {
        match boot::uboot_programs(self.facts) {
            Ok(programs) if programs.is_empty() => Vec::new(),
            Ok(programs) => {
                let faults = [self.kernel_fault(programs), self.device_tree_fault(), self.scan_fault()];
                faults.into_iter().flatten().collect()
            }
            Err(error) => {
                let host = self.host;
                vec![self.firmware_fault(format!("FIRMWARE of {host} does not start a system: {error:#}"))]
            }
        }
    }

    /// The fault of a kernel that U-Boot does not start, or that has no room in memory.
    fn kernel_fault(&self, programs: Vec<boot::UBootProgram>) -> Option<BootFault> {
        let error = match self.built.kernel() {
            Ok(kernel) => boot::uboots_with_room(programs, kernel).err()?,
            Err(error) => error,
        };
        let message = format!("{} would not boot the new system: {error:#}", self.host);
        if self.new_firmware_has_room() {
            return Some(self.firmware_fault(message));
        }
        let hint = hint(&error).unwrap_or("check `boot.kernelPackages`").to_owned();
        Some(unliftable_fault(message, hint))
    }

    /// Whether a U-Boot on the FIRMWARE of the new configuration has room for the new kernel.
    fn new_firmware_has_room(&self) -> bool {
        let Some(firmware) = &self.built.firmware else { return false };
        let (Ok(programs), Ok(kernel)) = (boot::uboot_programs(firmware), self.built.kernel()) else {
            return false;
        };
        boot::uboots_with_room(programs, kernel).is_ok_and(|programs| !programs.is_empty())
    }

    /// The fault of a system without the device tree of the board.
    fn device_tree_fault(&self) -> Option<BootFault> {
        let files = self.built.device_trees.as_ref()?;
        let error = boot::check_device_tree(&self.facts.board, files).err()?;
        let message = format!("{} might not boot the new system: {error:#}", self.host);
        Some(unliftable_fault(message, hint(&error).unwrap_or_default().to_owned()))
    }

    /// The fault of a boot menu on a partition that U-Boot does not scan.
    fn scan_fault(&self) -> Option<BootFault> {
        let (disk, scan) = self.facts.scan.as_ref()?;
        let error = scan.check().err()?;
        let message = format!("{} would not boot at all: {error:#}", self.host);
        let command = boot::mark_command(&format!("/dev/{disk}"), scan.is_gpt, &scan.marked, scan.menu);
        let hint = format!("run `sudo {command}` on {}", self.host);
        Some(unliftable_fault(message, hint))
    }

    /// The fault of a host that has trials, but cannot try a system.
    fn trial_fault(&self) -> Option<BootFault> {
        let reason = self.trial.status()?.missing.as_ref()?;
        let host = self.host;
        let message = cannot_try_message(host, reason);
        let hint = Some(cannot_try_hint(host, reason));
        let kind = Some(ReasonKind::Trial);
        Some(BootFault { reason: Reason { kind, message, hint }, can_be_lifted: true })
    }

    /// The files on FIRMWARE that `update-firmware` of the new system would change.
    fn changed_firmware_files(&self) -> Result<Vec<String>> {
        let Some(firmware) = &self.built.firmware else { return Ok(Vec::new()) };
        // `update-firmware` leaves the flag of a trial alone.
        let updated = firmware.sums()?.into_iter().filter(|(file, _)| file != "trial.env");
        let changed = updated.filter(|(file, sum)| self.facts.sum(file) != Some(sum));
        Ok(changed.map(|(file, _)| file).collect())
    }

    /// The fault of a FIRMWARE on which `update-firmware` would change `files`.
    fn outdated_firmware_fault(&self, files: &[String]) -> BootFault {
        let named = files[..files.len().min(MAX_NAMED)].join(", ");
        let more = match files.len().saturating_sub(MAX_NAMED) {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        self.firmware_fault(format!(
            "FIRMWARE of {} is not that of the new system: `update-firmware` would change {named}{more}",
            self.host
        ))
    }

    /// A fault that `update-firmware` mends.
    fn firmware_fault(&self, message: String) -> BootFault {
        let host = self.host;
        let updater = self.built.firmware.as_ref().and_then(BuiltFirmware::store_path);
        let hint = if self.built.firmware.is_none() && self.facts.updater.is_none() {
            format!("repair FIRMWARE of {host}, or pass --keep-firmware")
        } else if updater.is_none() || updater == self.facts.updater {
            format!("run `sudo update-firmware` on {host}, or pass --keep-firmware")
        } else {
            // The `update-firmware` of the new system comes with the deploy.
            format!(
                "run `cargo xtask deploy {host:#} --keep-firmware`, and then `sudo update-firmware` on {host} before its next boot"
            )
        };
        let kind = Some(ReasonKind::Firmware);
        BootFault { reason: Reason { kind, message, hint: Some(hint) }, can_be_lifted: true }
    }
}

/// A fault that no option lifts.
fn unliftable_fault(message: String, hint: String) -> BootFault {
    let kind = Some(ReasonKind::UBoot);
    BootFault { reason: Reason { kind, message, hint: Some(hint) }, can_be_lifted: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::boot_check::built::tests::system;
    use crate::deploy::host::{TrialStatus, boot_facts};

    /// A line of an answer that is replaced by another one.
    type Edit = (&'static str, &'static str);

    /// The faults of a Pi 3 with this answer, where the new kernel takes `size` MiB.
    fn faults(size: u64, edits: &[Edit], trial: &Trial) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let built = system(dir.path(), size << 20);
        let sums = built.firmware.as_ref().unwrap().sums().unwrap();
        let facts = boot_facts(|pi| {
            let sums = sums.iter().map(|(file, sum)| format!("file={sum}  ./{file}\n")).collect::<String>();
            edits.iter().fold(format!("{pi}{sums}"), |text, (from, to)| {
                assert!(text.contains(from), "{from}");
                text.replace(from, to)
            })
        });
        let candidate = Candidate { host: &"stinky".into(), facts: &facts, built: &built, trial };
        candidate.faults().unwrap().iter().map(ToString::to_string).collect()
    }

    /// The only one of the [`faults`] without trials.
    fn only_fault(size: u64, edits: &[Edit]) -> String {
        let found = faults(size, edits, &Trial::Absent);
        assert_eq!(found.len(), 1, "{found:?}");
        found.into_iter().next().unwrap()
    }

    /// The trials of a host that cannot try a system for this reason.
    fn missing(reason: &str) -> Trial {
        let missing = Some(reason.to_owned());
        Trial::Known(Box::new(TrialStatus { missing, ..TrialStatus::default() }))
    }

    #[test]
    fn a_good_pi_has_no_fault() {
        assert_eq!(faults(33, &[], &Trial::Absent), [""; 0]);
        assert_eq!(faults(36, &[], &Trial::Known(Box::default())), [""; 0]);
    }

    #[test]
    fn a_kernel_without_room_is_a_fault_that_update_firmware_may_mend() {
        let words = "stinky would not boot the new system: the kernel takes the memory up to 0x2800000, and u-boot-pi3.bin \
                     loads the device tree at 0x2600000, which the kernel would overwrite; use a smaller kernel or another \
                     U-Boot";
        assert!(only_fault(0x261, &[]).starts_with("stinky would not "));
        assert_eq!(only_fault(0x26, &[]), words);
        // The U-Boot of the new configuration has room.
        let old = [
            ("0x00080000 0x02600000 ./u-boot", "0x00080000 0x02000000 ./u-boot"),
            ("file=bb  ./U-Boot-pi3.bin", ""),
        ];
        let found = only_fault(33, &old);
        assert!(found.contains("loads the device tree at 0x2000000"), "{found}");
        assert!(found.ends_with("run `sudo update-firmware` on stinky, or pass --keep-firmware"), "{found}");
    }

    #[test]
    fn a_board_without_its_device_tree_is_a_fault() {
        assert_eq!(
            only_fault(
                33,
                &[("tree=./broadcom/bcm2837-rpi-3-b.dtb", "tree=./broadcom/bcm2837-rpi-3-b-plus.dtb")]
            ),
            "stinky might not boot the new system: no broadcom/bcm2837-rpi-3-b-plus.dtb in the new system (for Raspberry Pi \
             3 Model B Rev 1.2): Linux gets the device tree of the firmware, which is made for another kernel; let \
             `hardware.deviceTree.filter` match such a file"
        );
        // U-Boot takes the device tree of the firmware.
        assert_eq!(faults(33, &[("tree=./broadcom/bcm2837-rpi-3-b.dtb\n", "")], &Trial::Absent), [""; 0]);
    }

    #[test]
    fn a_boot_menu_out_of_sight_is_a_fault() {
        assert_eq!(
            only_fault(33, &[("marked=2\n", "")]),
            "stinky would not boot at all: partition 2, which has the boot menu, is not marked bootable; run `sudo sfdisk \
             --activate /dev/mmcblk0 1 2` on stinky"
        );
        let none = only_fault(33, &[("marked=1\nmarked=2\n", "")]);
        assert!(none.contains("on partition 2: no partition is marked bootable; run `sudo sfdisk"), "{none}");
        let gpt = only_fault(33, &[("marked=2\n", ""), ("table=mbr\n", "table=gpt\n")]);
        let hint = "run `sudo sfdisk --part-attrs /dev/mmcblk0 2 LegacyBIOSBootable` on stinky";
        assert!(gpt.ends_with(hint), "{gpt}");
        // A damaged table is not read.
        assert_eq!(faults(33, &[("marked=2\n", ""), ("table=mbr\n", "")], &Trial::Absent), [""; 0]);
    }

    #[test]
    fn another_firmware_or_one_without_its_u_boot_is_a_fault() {
        let found = only_fault(33, &[("./overlays/a b.dtbo\n", "./overlays/other.dtbo\n")]);
        assert_eq!(
            found,
            "FIRMWARE of stinky is not that of the new system: `update-firmware` would change overlays/a b.dtbo; run `sudo \
             update-firmware` on stinky, or pass --keep-firmware"
        );
        let gone = [("  ./u-boot-pi3.bin\n", "  ./gone\n"), ("  ./U-Boot-pi3.bin\n", "  ./gone\n")];
        let words = "FIRMWARE of stinky does not start a system: config.txt names u-boot-pi3.bin, which does not exist; run";
        let found = faults(33, &gone, &Trial::Absent);
        assert!(found[0].starts_with(words) && found[1].contains("change u-boot-pi3.bin"), "{found:?}");
    }

    #[test]
    fn a_trial_that_is_not_possible_is_a_fault() {
        let reason = "boot.scr on FIRMWARE is missing or outdated (run update-firmware)";
        assert_eq!(
            faults(33, &[], &missing(reason)),
            [format!(
                "stinky cannot try the new system: {reason}; run `sudo update-firmware` on stinky, or pass --keep-firmware to \
                 boot the new system without a trial"
            )]
        );
    }

    /// Firmware of another kind may read the same menu.
    #[test]
    fn a_host_without_u_boot_is_not_judged_by_its_rules() {
        let other = [("uboot=0x00080000 0x02600000 ./u-boot-pi3.bin\n", ""), ("marked=2\n", "")];
        assert_eq!(faults(64, &other, &Trial::Absent), [""; 0]);
    }
}
