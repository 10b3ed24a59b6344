//! `extlinux.conf`, as U-Boot reads it: which kernel is started, with what.

/// The entry that is started when nobody is at the keyboard. Paths are as the file has them, relative to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootEntry {
    pub kernel: String,
    pub initrd: String,
    /// The device tree, where the menu names a file of its own.
    pub tree: Option<String>,
    /// The program that the kernel's command line names: `/nix/store/...-nixos-system-.../init`.
    pub init: String,
}

/// Reads the entry that `DEFAULT` or `ONTIMEOUT` names, or that says `MENU DEFAULT` of itself; the first one where none
/// does. Of several, U-Boot takes the last, and so it does of several lines with one key.
pub fn default_entry(text: &str) -> Option<BootEntry> {
    // To U-Boot it is a text of C.
    let text = text.split('\0').next()?;
    let lines = || text.lines().filter_map(|line| line.trim().split_once(char::is_whitespace));
    let default = default_label(lines());
    let own = lines()
        .skip_while(|(key, label)| {
            !key.eq_ignore_ascii_case("label") || default.is_some_and(|it| it != label.trim())
        })
        .skip(1);
    let own = own.take_while(|(key, _)| !key.eq_ignore_ascii_case("label")).collect::<Vec<_>>();
    let get = |names: &[&str]| {
        let named = |key: &str| names.iter().any(|name| key.eq_ignore_ascii_case(name));
        own.iter().rfind(|(key, _)| named(key)).map(|(_, value)| value.trim().to_owned())
    };
    let init = get(&["append"])?
        .split_whitespace()
        .rev()
        .find_map(|word| word.strip_prefix("init=").map(str::to_owned))?;
    // It starts something else than a kernel.
    if get(&["localboot"]).is_some() {
        return None;
    }
    let (kernel, tree) = (get(&["linux", "kernel"])?, get(&["fdt", "devicetree"]));
    Some(BootEntry { kernel, initrd: get(&["initrd"])?, tree, init })
}

fn default_label<'a>(lines: impl Iterator<Item = (&'a str, &'a str)>) -> Option<&'a str> {
    let (mut default, mut label) = (None, None);
    for (key, value) in lines.map(|(key, value)| (key, value.trim())) {
        match key.to_ascii_lowercase().as_str() {
            "label" => label = Some(value),
            "default" | "ontimeout" => default = Some(value),
            "menu" if value.eq_ignore_ascii_case("default") => default = label.or(default),
            _ => {}
        }
    }
    default
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "# made by NixOS\nDEFAULT nixos-default\nMENU TITLE ---\nTIMEOUT 50\n\nLABEL other\n  LINUX ../o\n  INITRD ../oi\n  APPEND init=/o\n\n\
        LABEL nixos-default\n  MENU LABEL NixOS - Default\n  LINUX ../nixos/k-Image\n  INITRD ../nixos/i-initrd\n  APPEND init=/nix/store/s/init loglevel=4\n  FDTDIR ../nixos/dtbs\n";

    #[test]
    fn the_default_entry() {
        let entry = |kernel: &str, initrd: &str, init: &str| {
            Some(BootEntry { kernel: kernel.into(), initrd: initrd.into(), tree: None, init: init.into() })
        };
        let nixos = entry("../nixos/k-Image", "../nixos/i-initrd", "/nix/store/s/init");
        assert_eq!(default_entry(TWO), nixos);
        assert_eq!(default_entry(&TWO.replace("DEFAULT", "#")), entry("../o", "../oi", "/o"));
        assert_eq!(default_entry(&TWO.replace("DEFAULT nixos-default", "default absent")), None);
        assert_eq!(default_entry(&TWO.replace("LINUX ../nixos/k-Image", "")), None);
        assert_eq!(default_entry(""), None);
        let marked = TWO.replace("LABEL other", "LABEL other\n  menu default");
        assert_eq!(default_entry(&marked), entry("../o", "../oi", "/o"));
        assert_eq!(default_entry(&TWO.replace("MENU LABEL", "MENU DEFAULT\n  MENU LABEL")), nixos);
    }

    /// Of a word that comes twice U-Boot and the kernel take the last one.
    #[test]
    fn what_counts_is_what_u_boot_takes() {
        let with = |end: &str| default_entry(&format!("{TWO}{end}")).unwrap();
        assert_eq!(with("  KERNEL ../later\n").kernel, "../later");
        assert_eq!(with("  INITRD ../later\n").initrd, "../later");
        assert_eq!(with("  APPEND init=/first init=/later\n").init, "/later");
        assert_eq!(with("ONTIMEOUT other\n").kernel, "../o");
        assert_eq!(with("  FDT ../tree.dtb\n").tree.as_deref(), Some("../tree.dtb"));
        assert_eq!(with("  DEVICETREE ../tree.dtb\n").tree.as_deref(), Some("../tree.dtb"));
        assert_eq!(default_entry(&format!("{TWO}  LOCALBOOT 1\n")), None);
        // The text ends with its first zero.
        assert_eq!(default_entry(&format!("\0{TWO}")), None);
        assert_eq!(with("\0KERNEL ../later\n").kernel, "../nixos/k-Image");
    }

    #[test]
    fn fuzz() {
        let many = (0..10_000).map(|it| format!("LABEL {it}\n APPEND init=/i\n")).collect::<String>();
        let line = format!("DEFAULT {}", "x ".repeat(1 << 19));
        crate::base::fuzz::check_text(&[TWO], default_entry);
        assert_eq!(default_entry(&many), None);
        assert_eq!(default_entry(&line), None);
    }
}
