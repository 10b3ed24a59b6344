//! The FIRMWARE of a card, as the wing `boot` reads it.

use anyhow::Result;

use super::fat::Fat;
use crate::boot::{Firmware, FirmwareFile, MAX_CONFIG};

impl Firmware for Fat<'_> {
    fn config(&self) -> Result<Option<String>> {
        let text = self.read_within("config.txt", MAX_CONFIG)?;
        Ok(text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn has(&self, name: &str) -> Result<bool> {
        Ok(Fat::size(self, name)?.is_some())
    }

    fn file(&self, name: &str) -> Result<Option<FirmwareFile>> {
        Ok(self.read(name)?.map(|bytes| FirmwareFile::of(&bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::{Budget, LimitedRegion};
    use super::*;
    use crate::boot::uboot_programs;

    const PROGRAM: &[u8] = b"code\0fdt_addr_r=0x02600000\0kernel_addr_r=0x00080000\0code";

    /// The number of U-Boot programs on a FIRMWARE with these files, or the error.
    fn count_programs(files: &[(&str, &[u8])]) -> Result<usize, String> {
        let files = files.iter().map(|(name, bytes)| (*name, bytes.to_vec())).collect::<Vec<_>>();
        let image = super::super::fat::tests::make_fat32(&files);
        let disk = tempfile::tempfile().unwrap();
        std::os::unix::fs::FileExt::write_all_at(&disk, &image, 0).unwrap();
        let part = LimitedRegion::new(&disk, 0, image.len() as u64, Budget::without_stop());
        let found = uboot_programs(&Fat::open(part).unwrap());
        found.map(|found| found.len()).map_err(|error| error.to_string())
    }

    #[test]
    #[ignore = "needs mtools and dosfstools: run `cargo xtask test`"]
    fn a_firmware_with_nothing_to_start_is_refused() {
        let nothing = "and there is no kernel8.img either: the firmware of a Pi starts nothing";
        assert_eq!(count_programs(&[]).unwrap_err(), format!("there is no config.txt, {nothing}"));
        let silent = ("config.txt", &b"arm_64bit=1\n"[..]);
        assert_eq!(count_programs(&[silent]).unwrap_err(), format!("config.txt names no kernel, {nothing}"));
        assert_eq!(count_programs(&[silent, ("kernel8.img", PROGRAM)]), Ok(1));
        assert_eq!(count_programs(&[("kernel8.img", b"a kernel")]), Ok(0));
        assert_eq!(count_programs(&[("config.txt", b"include other.txt\n")]), Ok(0));
        let named = ("config.txt", &b"kernel=u-boot.bin\n"[..]);
        assert_eq!(count_programs(&[named, ("u-boot.bin", PROGRAM)]), Ok(1));
        assert_eq!(
            count_programs(&[named]).unwrap_err(),
            "config.txt names u-boot.bin, which does not exist"
        );
        let empty = |file: &str| format!("{file}, which the firmware starts, is empty");
        assert_eq!(count_programs(&[named, ("u-boot.bin", b"")]).unwrap_err(), empty("u-boot.bin"));
        assert_eq!(count_programs(&[("kernel8.img", b"")]).unwrap_err(), empty("kernel8.img"));
    }
}
