//! After the writing: the card is let go of, so that it can be pulled out.

use super::{Disk, Kind};
use crate::base::process::Launcher;

/// The programs that let go of a medium behind USB, in the order in which they are tried: `eject`
/// (util-linux) needs the device, `udisksctl` asks the desktop's service. The card is named after them.
const PROGRAMS: [&[&str]; 2] =
    [&["eject"], &["udisksctl", "power-off", "--no-user-interaction", "--block-device"]];

impl Disk {
    /// Ejects a medium behind USB with what the machine has for it, and says in one line what the user
    /// may do now. Card slots have no eject, and everything was synced before; a virtual card stays.
    pub fn eject(&self, launcher: &Launcher) -> Option<String> {
        let path = self.path.display();
        match self.kind {
            Kind::Usb if self.ejected(launcher) => Some(format!("{path} is ejected; pull it out")),
            Kind::Usb | Kind::SdCard => Some(format!("{path} is written to the end; it may be pulled out")),
            _ => None,
        }
    }

    fn ejected(&self, launcher: &Launcher) -> bool {
        let present = PROGRAMS.iter().filter(|words| launcher.which(words[0]).is_some());
        present.into_iter().any(|words| {
            let args = words[1..].iter().map(AsRef::as_ref).chain([self.path.as_os_str()]);
            launcher.capture(words[0], &args.collect::<Vec<_>>()).is_ok_and(|output| output.success())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::FakeMachine;
    use super::*;

    #[test]
    fn a_card_is_let_go_of() {
        let (machine, bin) = (FakeMachine::new(), tempfile::tempdir().unwrap());
        machine.with_card(&[]).with_stick();
        let launcher = Launcher::new(bin.path()).with_env("PATH", bin.path());
        let said = |name| machine.disk(name).eject(&launcher).unwrap();
        assert_eq!(said("mmcblk0"), "/dev/mmcblk0 is written to the end; it may be pulled out");
        assert_eq!(said("sdb"), "/dev/sdb is written to the end; it may be pulled out");
        // A shell under the name of the program reads its first argument as a script.
        let shell = Launcher::new("/").which("sh").unwrap();
        std::os::unix::fs::symlink(shell, bin.path().join("udisksctl")).unwrap();
        let script = "[ \"$*\" = '--no-user-interaction --block-device /dev/sdb' ]";
        std::fs::write(bin.path().join("power-off"), script).unwrap();
        assert_eq!(said("sdb"), "/dev/sdb is ejected; pull it out");
    }
}
