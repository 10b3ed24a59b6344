//! The addresses to which a U-Boot loads the kernel and the device tree: settings that are built into the program.

/// The addresses that are built into a U-Boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The address to which U-Boot loads the kernel.
    pub kernel: u64,
    /// The address to which U-Boot loads the device tree.
    pub device_tree: u64,
}

impl Addresses {
    /// Finds the addresses that are built into `program`; `None` where it has none, so that it is no U-Boot.
    pub fn find_in(program: &[u8]) -> Option<Self> {
        Self::parse(setting(program, b"\0kernel_addr_r=")?, setting(program, b"\0fdt_addr_r=")?)
    }

    /// The addresses by the values of the settings `kernel_addr_r` and `fdt_addr_r`; `None` where one of the values is
    /// no hexadecimal number.
    pub fn parse(kernel: &str, device_tree: &str) -> Option<Self> {
        let number = |value: &str| u64::from_str_radix(value.trim_start_matches("0x"), 16).ok();
        Some(Self { kernel: number(kernel)?, device_tree: number(device_tree)? })
    }
}

/// The value of the setting `name` in a U-Boot `program`; `None` where the program has no such setting, or its value is
/// not UTF-8.
fn setting<'a>(program: &'a [u8], name: &[u8]) -> Option<&'a str> {
    let at = program.windows(name.len()).position(|window| window == name)? + name.len();
    let value = program[at..].split(|byte| *byte == 0).next()?;
    str::from_utf8(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: &[u8] =
        b"code\0kernel_addr_r\0fdt_high=ffffffff\0fdt_addr_r=0x02600000\0kernel_addr_r=0x00080000\0code";

    #[test]
    fn the_addresses_are_settings_of_the_program() {
        assert_eq!(
            Addresses::find_in(PROGRAM),
            Some(Addresses { kernel: 0x8_0000, device_tree: 0x260_0000 })
        );
        assert_eq!(Addresses::find_in(b"\0kernel_addr_r=80000\0"), None);
        assert_eq!(Addresses::find_in(b"\0kernel_addr_r=${a}\0fdt_addr_r=1\0"), None);
    }
}
