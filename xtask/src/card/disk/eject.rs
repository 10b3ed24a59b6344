//! Ejecting a card after it was written, so that it can be removed.

use super::{Disk, DiskKind};
use crate::base::process::Launcher;

/// The programs that eject a medium behind USB, with their arguments before the device path, in the order in which they
/// are tried: `eject` (util-linux) needs access to the device, `udisksctl` asks the service of the desktop.
const PROGRAMS: &[(&str, &[&str])] =
    &[("eject", &[]), ("udisksctl", &["power-off", "--no-user-interaction", "--block-device"])];

impl Disk {
    /// Ejects a USB card. Returns the line for the user that the card can be removed; `None` for a virtual card. A card
    /// that no program can eject, such as one in a card slot, can be removed too: all its data was synced before.
    pub fn eject(&self, launcher: &Launcher) -> Option<String> {
        let path = self.path.display();
        match self.kind {
            DiskKind::Usb if self.try_eject(launcher) => {
                Some(format!("{path} is ejected and can be removed"))
            }
            DiskKind::Usb | DiskKind::SdCard => Some(format!("{path} is fully written and can be removed")),
            _ => None,
        }
    }

    /// Runs [`PROGRAMS`] until one of them has ejected the medium, and returns whether one has.
    fn try_eject(&self, launcher: &Launcher) -> bool {
        for (program, options) in PROGRAMS {
            if launcher.which(program).is_none() {
                continue;
            }
            let args = options.iter().map(AsRef::as_ref).chain([self.path.as_os_str()]).collect::<Vec<_>>();
            if launcher.capture(program, &args).is_ok_and(|output| output.success()) {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::FakeMachine;
    use super::*;

    #[test]
    fn a_card_can_be_removed_whether_or_not_a_program_ejects_it() {
        let machine = FakeMachine::new();
        let bin = tempfile::tempdir().unwrap();
        machine.with_card(&[]).with_stick();
        let launcher = Launcher::new(bin.path()).with_env("PATH", bin.path());
        let note = |name| machine.disk(name).eject(&launcher).unwrap();
        assert_eq!(note("mmcblk0"), "/dev/mmcblk0 is fully written and can be removed");
        assert_eq!(note("sdb"), "/dev/sdb is fully written and can be removed");
        // A shell under the name of the program reads its first argument as a script.
        let shell = Launcher::new("/").which("sh").unwrap();
        std::os::unix::fs::symlink(shell, bin.path().join("udisksctl")).unwrap();
        let script = "[ \"$*\" = '--no-user-interaction --block-device /dev/sdb' ]";
        std::fs::write(bin.path().join("power-off"), script).unwrap();
        assert_eq!(note("sdb"), "/dev/sdb is ejected and can be removed");
    }
}
