//! Parsing `extlinux.conf` as U-Boot does.

use super::*;

const TWO: &str = "# made by NixOS\nDEFAULT nixos-default\nMENU TITLE ---\nTIMEOUT 50\n\nLABEL other\n  LINUX ../o\n  INITRD ../oi\n  APPEND init=/o\n\n\
    LABEL nixos-default\n  MENU LABEL NixOS - Default\n  LINUX ../nixos/k-Image\n  INITRD ../nixos/i-initrd\n  APPEND init=/nix/store/s/init loglevel=4\n  FDTDIR ../nixos/dtbs\n";

#[test]
fn the_default_entry_is_the_named_else_the_first_marked_else_the_first_one() {
    let entry = |kernel: &str, initrd: &str, init: &str| {
        Ok(BootEntry {
            kernel: kernel.into(),
            initrd: initrd.into(),
            device_tree: None,
            device_tree_folder: kernel.ends_with("k-Image").then(|| "../nixos/dtbs".into()),
            init: init.into(),
        })
    };
    let nixos = entry("../nixos/k-Image", "../nixos/i-initrd", "/nix/store/s/init");
    assert_eq!(default_entry(TWO), nixos);
    assert_eq!(default_entry(&TWO.replace("DEFAULT", "#")), entry("../o", "../oi", "/o"));
    assert_eq!(
        default_entry(&TWO.replace("DEFAULT nixos-default", "default absent")),
        Err(MenuError::NoEntry)
    );
    assert_eq!(default_entry(&TWO.replace("LINUX ../nixos/k-Image", "")), Err(MenuError::NoEntry));
    assert_eq!(default_entry(""), Err(MenuError::NoEntry));
    let marked = TWO.replace("  MENU LABEL", "  MENU DEFAULT\n  MENU LABEL");
    let both_marked = marked.replace("LABEL other", "LABEL other\n  menu default");
    let without_name = |menu: &str| menu.replace("DEFAULT nixos-default", "");
    assert_eq!(default_entry(&without_name(&marked)), nixos);
    assert_eq!(default_entry(&both_marked), nixos);
    assert_eq!(default_entry(&without_name(&both_marked)), entry("../o", "../oi", "/o"));
}

/// Of some words U-Boot takes the last one, of others the first one.
#[test]
fn of_a_word_that_comes_twice_the_one_counts_that_u_boot_takes() {
    let with = |end: &str| default_entry(&format!("{TWO}{end}")).unwrap();
    assert_eq!(with("  KERNEL ../later\n").kernel, "../later");
    assert_eq!(with("  INITRD ../later\n").initrd, "../nixos/i-initrd");
    assert_eq!(with("  APPEND init=/first init=/later\n").init, "/later");
    // The value of a second INITRD is parsed as a word, which ends the label.
    assert_eq!(with("  INITRD x\n  LINUX ../later\n").kernel, "../nixos/k-Image");
    assert_eq!(with("  INITRD LINUX ../later\n").kernel, "../later");
    assert_eq!(with("  FDT ../tree.dtb\n  FDT ../other.dtb\n").device_tree.as_deref(), Some("../tree.dtb"));
    // The last of two labels with the same name counts.
    let twin = "LABEL nixos-default\nLINUX ../twin\nINITRD ../i\nAPPEND init=/i\n";
    assert_eq!(with(twin).kernel, "../twin");
}

#[test]
fn the_command_line_names_the_initrd_where_no_line_does() {
    let appended = TWO.replace("INITRD ../nixos/i-initrd\n  APPEND", "APPEND initrd=../own");
    assert_eq!(default_entry(&appended).unwrap().initrd, "../own");
    let both = format!("{TWO}  APPEND init=/later initrd=../later x\n");
    assert_eq!(default_entry(&both).unwrap().initrd, "../nixos/i-initrd");
    assert_eq!(default_entry(&TWO.replace("  INITRD ../nixos/i-initrd\n", "")), Err(MenuError::NoEntry));
}

#[test]
fn synonyms_are_understood_and_local_boot_starts_no_kernel() {
    let with = |end: &str| default_entry(&format!("{TWO}{end}"));
    assert_eq!(with("ONTIMEOUT other\n").unwrap().kernel, "../o");
    assert_eq!(with("  DEVICETREE ../tree.dtb\n").unwrap().device_tree.as_deref(), Some("../tree.dtb"));
    assert_eq!(with("  LOCALBOOT 1\n"), Err(MenuError::NoEntry));
}

#[test]
fn the_menu_ends_at_the_first_zero_byte() {
    assert_eq!(default_entry(&format!("\0{TWO}")), Err(MenuError::NoEntry));
    assert_eq!(default_entry(&format!("{TWO}\0KERNEL ../later\n")).unwrap().kernel, "../nixos/k-Image");
}

#[test]
fn a_menu_is_read_only_as_far_as_u_boot_reads_it() {
    // A word that cannot be in a label ends it.
    for word in ["TIMEOUT 50", "PROMPT 1", "FROBNICATE", "\r"] {
        assert_eq!(
            default_entry(&TWO.replace("  INITRD", &format!("{word}\n  INITRD"))),
            Err(MenuError::NoEntry)
        );
    }
    for line in ["INCLUDE more.conf", "include more.conf", "MENU INCLUDE more.conf"] {
        assert_eq!(default_entry(&format!("{line}\n{TWO}")), Err(MenuError::Include), "{line}");
    }
    assert!(default_entry(&format!("{TWO}  MENU INCLUDE more.conf\n")).is_ok());
    for line in ["LABEL", "DEFAULT # x", "LABEL x\nLINUX \t", "LABEL x\nAPPEND #"] {
        assert_eq!(default_entry(&format!("{line}\n{TWO}")), Err(MenuError::MissingValue), "{line}");
    }
    // Blanks and carriage returns at the end of a line belong to the name.
    let entry = default_entry(&TWO.replace("k-Image", "k-Image ")).unwrap();
    assert_eq!(entry.kernel, "../nixos/k-Image ");
    let entry = default_entry(&TWO.replace("\n\n", "\n").replace('\n', "\r\n")).unwrap();
    assert_eq!((entry.kernel.as_str(), entry.init.as_str()), ("../nixos/k-Image\r", "/nix/store/s/init"));
    assert_eq!(
        default_entry(&TWO.replace("DEFAULT nixos-default", "DEFAULT nixos-default ")),
        Err(MenuError::NoEntry)
    );
}

#[test]
fn fuzz() {
    let many = (0..10_000).map(|number| format!("LABEL {number}\n APPEND init=/i\n")).collect::<String>();
    let line = format!("DEFAULT {}", "x ".repeat(1 << 19));
    crate::base::fuzz::check_text(&[TWO], default_entry);
    assert_eq!(default_entry(&many), Err(MenuError::NoEntry));
    assert_eq!(default_entry(&line), Err(MenuError::NoEntry));
    assert_eq!(default_entry(&format!("LABEL a\n{}", "INITRD ".repeat(100_000))), Err(MenuError::NoEntry));
    let labels = "LABEL a\n".repeat(100_000);
    assert_eq!(default_entry(&labels), Err(MenuError::NoEntry));
}
