//! `extlinux.conf`, as U-Boot reads it: which kernel is started, with what.

/// The entry that is started when nobody is at the keyboard. Paths are as the file has them, relative to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub kernel: String,
    pub initrd: String,
    /// The program that the kernel's command line names: `/nix/store/...-nixos-system-.../init`.
    pub init: String,
}

/// Reads the entry that `DEFAULT` names; the first one where it names none.
pub fn default_entry(text: &str) -> Option<Entry> {
    let lines = || text.lines().filter_map(|line| line.trim().split_once(char::is_whitespace));
    let default = lines().find(|(key, _)| key.eq_ignore_ascii_case("default")).map(|(_, label)| label.trim());
    let own = lines()
        .skip_while(|(key, label)| {
            !key.eq_ignore_ascii_case("label") || default.is_some_and(|it| it != label.trim())
        })
        .skip(1);
    let own = own.take_while(|(key, _)| !key.eq_ignore_ascii_case("label")).collect::<Vec<_>>();
    let get = |names: &[&str]| {
        let named = |key: &str| names.iter().any(|name| key.eq_ignore_ascii_case(name));
        own.iter().find(|(key, _)| named(key)).map(|(_, value)| value.trim().to_owned())
    };
    let init = get(&["append"])?
        .split_whitespace()
        .find_map(|word| word.strip_prefix("init=").map(str::to_owned))?;
    Some(Entry { kernel: get(&["linux", "kernel"])?, initrd: get(&["initrd"])?, init })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "# made by NixOS\nDEFAULT nixos-default\nMENU TITLE ---\nTIMEOUT 50\n\nLABEL other\n  LINUX ../o\n  INITRD ../oi\n  APPEND init=/o\n\n\
        LABEL nixos-default\n  MENU LABEL NixOS - Default\n  LINUX ../nixos/k-Image\n  INITRD ../nixos/i-initrd\n  APPEND init=/nix/store/s/init loglevel=4\n  FDTDIR ../nixos/dtbs\n";

    #[test]
    fn the_default_entry() {
        let entry = |kernel: &str, initrd: &str, init: &str| {
            Some(Entry { kernel: kernel.into(), initrd: initrd.into(), init: init.into() })
        };
        let nixos = entry("../nixos/k-Image", "../nixos/i-initrd", "/nix/store/s/init");
        assert_eq!(default_entry(TWO), nixos);
        assert_eq!(default_entry(&TWO.replace("DEFAULT", "#")), entry("../o", "../oi", "/o"));
        assert_eq!(default_entry(&TWO.replace("DEFAULT nixos-default", "default absent")), None);
        assert_eq!(default_entry(&TWO.replace("LINUX ../nixos/k-Image", "")), None);
        assert_eq!(default_entry(""), None);
    }
}
