//! `extlinux.conf`, parsed as U-Boot does: which kernel it starts, with which initrd and device tree.

use std::fmt;

use crate::failure;

/// The entry that U-Boot starts when nobody is at the keyboard. Paths are relative to the folder of the file, as in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootEntry {
    pub kernel: String,
    pub initrd: String,
    /// The device tree, where the entry names one.
    pub device_tree: Option<String>,
    /// The first program, as the kernel's command line names it: `/nix/store/...-nixos-system-.../init`.
    pub init: String,
}

/// Why U-Boot starts nothing from a menu, or this parser cannot follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MenuError {
    NoEntry,
    Include,
    MissingValue,
}

impl MenuError {
    /// The error for the menu in `file`, with the remedy as hint where there is one.
    pub fn in_file(self, file: &str) -> anyhow::Error {
        match self {
            Self::Include => {
                failure!(Verification, "{file} {self}"; hint: "copy the lines of the included file into {file}")
            }
            _ => failure!(Verification, "{file} {self}"),
        }
    }
}

impl fmt::Display for MenuError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoEntry => "has no default entry with LINUX, INITRD and init=",
            Self::Include => "includes another file, which this check does not read",
            Self::MissingValue => "has a line without its value, at which U-Boot gives up",
        })
    }
}

/// The characters that U-Boot skips in a line. A carriage return is not one of them.
const BLANKS: [char; 2] = [' ', '\t'];

/// One `LABEL`, with the values as U-Boot reads them: up to the end of the line, with blanks at the end.
#[derive(Default)]
struct Label<'a> {
    name: &'a str,
    kernel: Option<&'a str>,
    initrd: Option<&'a str>,
    device_tree: Option<&'a str>,
    append: Option<&'a str>,
    folder: Option<&'a str>,
    overlays: Option<&'a str>,
    /// Whether the label starts something else than a kernel.
    local: bool,
}

/// How much of a line a label consumes.
enum Consumed {
    /// The word and its value.
    Line,
    /// The word alone: the next word is parsed as another one of the label.
    Word,
    /// Nothing: the word ends the label.
    Nothing,
}

#[derive(Default)]
struct Menu<'a> {
    default: Option<&'a str>,
    labels: Vec<Label<'a>>,
    /// Whether the current line still belongs to the last label.
    in_label: bool,
}

/// The entry that the last `DEFAULT` or `ONTIMEOUT` names; without these the first entry with `MENU DEFAULT`; without one,
/// the first entry.
///
/// # Errors
/// A menu without such an entry, and one that U-Boot does not read as far as the entry.
pub fn default_entry(text: &str) -> Result<BootEntry, MenuError> {
    let mut menu = Menu::default();
    // U-Boot reads a C string, and only a line feed ends a line.
    let c_string = text.split('\0').next().unwrap_or_default();
    c_string.split('\n').try_for_each(|line| menu.parse(line))?;
    menu.chosen().ok_or(MenuError::NoEntry)
}

/// The first word of `line` and the text after it. A `#` in the place of either begins a comment.
fn split_word(line: &str) -> (&str, Option<&str>) {
    let line = line.trim_start_matches(BLANKS);
    let end = line.find(|it: char| it.is_ascii_whitespace() || it == '\x0b').unwrap_or(line.len());
    let (word, rest) = line.split_at(end);
    let rest = rest.trim_start_matches(BLANKS);
    (word, (!rest.is_empty() && !rest.starts_with('#')).then_some(rest))
}

impl<'a> Menu<'a> {
    fn parse(&mut self, mut line: &'a str) -> Result<(), MenuError> {
        loop {
            let (word, value) = split_word(line);
            if word.starts_with('#') || line.trim_start_matches(BLANKS).is_empty() {
                return Ok(());
            }
            let word = word.to_ascii_lowercase();
            match self.parse_in_label(&word, value)? {
                Consumed::Line => return Ok(()),
                Consumed::Word => line = value.unwrap_or_default(),
                Consumed::Nothing => return self.parse_at_top(&word, value),
            }
        }
    }

    fn parse_in_label(&mut self, word: &str, value: Option<&'a str>) -> Result<Consumed, MenuError> {
        let Some(label) = self.labels.last_mut().filter(|_| self.in_label) else {
            return Ok(Consumed::Nothing);
        };
        if word != "menu" {
            return label.parse(word, value.ok_or(MenuError::MissingValue));
        }
        let own = is_word(value, "default").then_some(label.name);
        self.default = self.default.or(own);
        Ok(Consumed::Line)
    }

    /// Parses a word outside of labels. U-Boot ignores unknown words here, and words that only a label may have.
    fn parse_at_top(&mut self, word: &str, value: Option<&'a str>) -> Result<(), MenuError> {
        self.in_label = word == "label";
        match word {
            "label" => {
                self.labels.push(Label { name: value.ok_or(MenuError::MissingValue)?, ..Label::default() });
            }
            "default" | "ontimeout" => self.default = Some(value.ok_or(MenuError::MissingValue)?),
            "include" => return Err(MenuError::Include),
            "menu" if is_word(value, "include") => return Err(MenuError::Include),
            _ => {}
        }
        Ok(())
    }

    fn chosen(&self) -> Option<BootEntry> {
        let mut labels = self.labels.iter();
        let label = match self.default {
            Some(name) => labels.rfind(|label| label.name == name),
            None => labels.next(),
        }?;
        let init = label.append?.split_whitespace().rev().find_map(|word| word.strip_prefix("init="))?;
        let entry = BootEntry {
            kernel: label.kernel?.to_owned(),
            initrd: label.initrd?.to_owned(),
            device_tree: label.device_tree.map(str::to_owned),
            init: init.to_owned(),
        };
        (!label.local).then_some(entry)
    }
}

fn is_word(value: Option<&str>, word: &str) -> bool {
    value.is_some_and(|value| split_word(value).0.eq_ignore_ascii_case(word))
}

impl<'a> Label<'a> {
    fn parse(&mut self, word: &str, value: Result<&'a str, MenuError>) -> Result<Consumed, MenuError> {
        // The first of these words counts. The text after a second one is parsed as another word, not as its value.
        let first = match word {
            "initrd" => &mut self.initrd,
            "fdt" | "devicetree" => &mut self.device_tree,
            "fdtdir" | "devicetreedir" => &mut self.folder,
            "fdtoverlays" => &mut self.overlays,
            "kaslrseed" => return Ok(Consumed::Word),
            _ => return self.parse_last(word, value),
        };
        if first.is_some() {
            return Ok(Consumed::Word);
        }
        *first = Some(value?);
        Ok(Consumed::Line)
    }

    /// Parses a word of which the last one counts.
    fn parse_last(&mut self, word: &str, value: Result<&'a str, MenuError>) -> Result<Consumed, MenuError> {
        match word {
            "linux" | "kernel" => self.kernel = Some(value?),
            "append" => self.append(value?),
            "localboot" => self.local = value.map(|_| true)?,
            "ipappend" => drop(value?),
            _ => return Ok(Consumed::Nothing),
        }
        Ok(Consumed::Line)
    }

    /// Sets the command line. Its `initrd=` is the initrd where no line before names one.
    fn append(&mut self, value: &'a str) {
        self.append = Some(value);
        let named = value.split_once("initrd=").map(|(_, rest)| rest.split(' ').next().unwrap_or(rest));
        self.initrd = self.initrd.or(named);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "# made by NixOS\nDEFAULT nixos-default\nMENU TITLE ---\nTIMEOUT 50\n\nLABEL other\n  LINUX ../o\n  INITRD ../oi\n  APPEND init=/o\n\n\
        LABEL nixos-default\n  MENU LABEL NixOS - Default\n  LINUX ../nixos/k-Image\n  INITRD ../nixos/i-initrd\n  APPEND init=/nix/store/s/init loglevel=4\n  FDTDIR ../nixos/dtbs\n";

    #[test]
    fn the_default_entry_is_the_named_or_marked_or_first_one() {
        let entry = |kernel: &str, initrd: &str, init: &str| {
            Ok(BootEntry {
                kernel: kernel.into(),
                initrd: initrd.into(),
                device_tree: None,
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
        assert_eq!(default_entry(&marked.replace("DEFAULT nixos-default", "")), nixos);
        let other = "LABEL other\n  menu default";
        assert_eq!(default_entry(&marked.replace("LABEL other", other)), nixos);
        let marked = marked.replace("LABEL other", other).replace("DEFAULT nixos-default", "");
        assert_eq!(default_entry(&marked), entry("../o", "../oi", "/o"));
    }

    /// U-Boot takes the last one of some words that come twice, and the first one of others.
    #[test]
    fn what_counts_is_what_u_boot_takes() {
        let with = |end: &str| default_entry(&format!("{TWO}{end}")).unwrap();
        assert_eq!(with("  KERNEL ../later\n").kernel, "../later");
        assert_eq!(with("  INITRD ../later\n").initrd, "../nixos/i-initrd");
        assert_eq!(with("  APPEND init=/first init=/later\n").init, "/later");
        // The value of a second INITRD is parsed as a word, which ends the label.
        assert_eq!(with("  INITRD x\n  LINUX ../later\n").kernel, "../nixos/k-Image");
        assert_eq!(with("  INITRD LINUX ../later\n").kernel, "../later");
        assert_eq!(with("  APPEND init=/later initrd=../later x\n").initrd, "../nixos/i-initrd");
        assert_eq!(default_entry(&TWO.replace("  INITRD ../nixos/i-initrd\n", "")), Err(MenuError::NoEntry));
        let appended = TWO.replace("INITRD ../nixos/i-initrd\n  APPEND", "APPEND initrd=../own");
        assert_eq!(default_entry(&appended).unwrap().initrd, "../own");
        assert_eq!(with("ONTIMEOUT other\n").kernel, "../o");
        assert_eq!(
            with("  FDT ../tree.dtb\n  FDT ../other.dtb\n").device_tree.as_deref(),
            Some("../tree.dtb")
        );
        assert_eq!(with("  DEVICETREE ../tree.dtb\n").device_tree.as_deref(), Some("../tree.dtb"));
        assert_eq!(default_entry(&format!("{TWO}  LOCALBOOT 1\n")), Err(MenuError::NoEntry));
        // The last of two labels with the same name counts.
        let twin = "LABEL nixos-default\nLINUX ../twin\nINITRD ../i\nAPPEND init=/i\n";
        assert_eq!(with(twin).kernel, "../twin");
        // The text ends at the first zero byte.
        assert_eq!(default_entry(&format!("\0{TWO}")), Err(MenuError::NoEntry));
        assert_eq!(with("\0KERNEL ../later\n").kernel, "../nixos/k-Image");
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
        let many = (0..10_000).map(|it| format!("LABEL {it}\n APPEND init=/i\n")).collect::<String>();
        let line = format!("DEFAULT {}", "x ".repeat(1 << 19));
        crate::base::fuzz::check_text(&[TWO], default_entry);
        assert_eq!(default_entry(&many), Err(MenuError::NoEntry));
        assert_eq!(default_entry(&line), Err(MenuError::NoEntry));
        assert_eq!(
            default_entry(&format!("LABEL a\n{}", "INITRD ".repeat(100_000))),
            Err(MenuError::NoEntry)
        );
        let labels = "LABEL a\n".repeat(100_000);
        assert_eq!(default_entry(&labels), Err(MenuError::NoEntry));
    }
}
