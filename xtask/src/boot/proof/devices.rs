//! The names by which Linux finds the partitions of a card.

use std::collections::BTreeSet;

/// The names of the partitions, as far as they are known.
#[derive(Clone, Debug, Default)]
pub struct Devices {
    /// In the form of `root=`, such as `LABEL=NIXOS_SD`.
    names: BTreeSet<String>,
    /// Whether some partition has a file system of another kind, whose label and UUID are not read.
    has_unread_filesystem: bool,
    /// Whether the partitions are in a GPT, whose names and UUIDs are not read.
    is_gpt: bool,
}

impl Devices {
    /// No names of a card whose partition table is a GPT, or an MBR.
    pub fn new(is_gpt: bool) -> Self {
        Self { is_gpt, ..Self::default() }
    }

    /// Notes a partition whose file system is of another kind, so that its label and UUID are not known.
    pub fn add_unread_filesystem(&mut self) {
        self.has_unread_filesystem = true;
    }

    /// Adds the partition `name`, in the form of `root=`.
    pub fn add(&mut self, name: &str) {
        self.names.insert(normalize(name));
    }

    /// Whether the card certainly lacks the `device` of an `fstab` or of `root=`. It need not have what is of another
    /// disk.
    pub fn lack(&self, device: &str) -> bool {
        let name = normalize(device);
        let is_readable = match name.split_once('=') {
            Some(("LABEL" | "UUID", _)) => !self.has_unread_filesystem,
            // An offset is relative to another partition.
            Some(("PARTUUID" | "PARTLABEL", value)) => !self.is_gpt && !value.contains('/'),
            _ => name.starts_with("/dev/mmcblk0p"),
        };
        is_readable && !self.names.contains(&name)
    }
}

/// `device` in the form of `root=`, without quotes and escapes. The case of a UUID does not matter.
fn normalize(device: &str) -> String {
    let device = device.replace(['"', '\''], "").replace("\\040", " ").replace("\\x20", " ");
    let named = match device.strip_prefix("/dev/disk/by-").and_then(|link| link.split_once('/')) {
        Some((kind, name)) => format!("{}={name}", kind.to_ascii_uppercase()),
        None => device,
    };
    match named.split_once('=') {
        Some((kind @ ("UUID" | "PARTUUID"), value)) => format!("{kind}={}", value.to_ascii_lowercase()),
        _ => named,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_missing_only_where_its_name_would_be_known() {
        let mut devices = Devices::default();
        for name in
            ["LABEL=NIXOS_SD", "UUID=ABCD-1234", "PARTUUID=2178694e-02", "/dev/mmcblk0p2", "LABEL=my card"]
        {
            devices.add(name);
        }
        let unread = Devices { has_unread_filesystem: true, ..devices.clone() };
        let gpt = Devices { is_gpt: true, ..devices.clone() };
        for (device, expected) in [
            ("LABEL=NIXOS_SD", [false, false, false]),
            ("/dev/disk/by-label/NIXOS_SD", [false, false, false]),
            ("LABEL=\"my card\"", [false, false, false]),
            ("/dev/disk/by-label/my\\x20card", [false, false, false]),
            ("LABEL=my\\040card", [false, false, false]),
            ("LABEL=other", [true, false, true]),
            ("UUID=abcd-1234", [false, false, false]),
            ("/dev/disk/by-uuid/ffff-ffff", [true, false, true]),
            ("PARTUUID=2178694E-02", [false, false, false]),
            ("PARTUUID=2178694e-03", [true, true, false]),
            ("PARTUUID=2178694e-01/PARTNROFF=1", [false, false, false]),
            ("PARTLABEL=root", [true, true, false]),
            ("/dev/mmcblk0p2", [false, false, false]),
            ("/dev/mmcblk0p3", [true, true, true]),
            ("/dev/mmcblk1p2", [false, false, false]),
            ("/dev/nvme0n1p2", [false, false, false]),
            ("/dev/disk/by-id/x", [false, false, false]),
            ("fstab", [false, false, false]),
            ("/dev/nfs", [false, false, false]),
        ] {
            assert_eq!([&devices, &unread, &gpt].map(|devices| devices.lack(device)), expected, "{device}");
        }
    }
}
