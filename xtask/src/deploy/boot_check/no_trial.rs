//! The message about a host that has trials, but cannot try a new system now, and its remedy.

use crate::base::HostName;

/// The message about a host with trials that cannot try a new system now, for the `reason` that the host gives.
pub fn cannot_try_message(host: &HostName, reason: &str) -> String {
    format!("{host} cannot try the new system: {reason}")
}

/// The remedy for a host that cannot try a new system now, for the `reason` that the host gives.
pub fn cannot_try_hint(host: &HostName, reason: &str) -> String {
    let remedy = trial_remedy(host, reason);
    format!("{remedy}, or pass --keep-firmware to boot the new system without a trial")
}

/// What makes trials possible on `host` again, for the `reason` that the host gives. `update-firmware` fails where
/// FIRMWARE is not mounted.
pub fn trial_remedy(host: &HostName, reason: &str) -> String {
    if reason.starts_with("FIRMWARE is not mounted") {
        format!("mount FIRMWARE on {host}")
    } else {
        format!("run `sudo update-firmware` on {host}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_firmware_that_is_not_mounted_is_not_updated() {
        for (reason, remedy) in [
            ("FIRMWARE is not mounted at /boot/firmware", "mount FIRMWARE on stinky"),
            ("trial.env on FIRMWARE is missing or damaged", "run `sudo update-firmware` on stinky"),
        ] {
            assert_eq!(trial_remedy(&"stinky".into(), reason), remedy);
        }
    }
}
