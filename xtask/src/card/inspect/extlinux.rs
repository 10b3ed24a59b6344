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

// What is wrong with a menu.
const NO_ENTRY: &str = "has no default entry with LINUX, INITRD and init=";
const INCLUDES: &str = "includes another file, which is not looked into; put the lines of that file into it";
const GIVEN_UP: &str = "has a line whose value is missing, at which U-Boot gives up";

/// What is skipped in a line. A carriage return is none.
const BLANKS: [char; 2] = [' ', '\t'];

/// One `LABEL`, with the values as U-Boot takes them: to the end of the line, blanks at the end with it.
#[derive(Default)]
struct Label<'a> {
    name: &'a str,
    kernel: Option<&'a str>,
    initrd: Option<&'a str>,
    tree: Option<&'a str>,
    append: Option<&'a str>,
    folder: Option<&'a str>,
    overlays: Option<&'a str>,
    /// It starts something else than a kernel.
    local: bool,
}

/// What became of a word in a label.
enum Taken {
    /// It was read with its value.
    Line,
    /// What follows it is read as the next word.
    Word,
    /// It ends the label.
    Nothing,
}

#[derive(Default)]
struct Menu<'a> {
    default: Option<&'a str>,
    labels: Vec<Label<'a>>,
    /// Whether lines belong to the last label still.
    inside: bool,
}

/// Reads the entry that `DEFAULT` or `ONTIMEOUT` names, the last of them; or else the first one that says `MENU DEFAULT` of
/// itself; the first one of all where none does.
///
/// # Errors
/// In words, where there is no such entry, or where U-Boot would not come to it.
pub fn default_entry(text: &str) -> Result<BootEntry, &'static str> {
    let mut menu = Menu::default();
    // To U-Boot it is a text of C, and a line ends with nothing but a line feed.
    let text = text.split('\0').next().unwrap_or_default();
    text.split('\n').try_for_each(|line| menu.take(line))?;
    menu.chosen().ok_or(NO_ENTRY)
}

/// A word and what follows it. What begins with `#` is a comment, in place of either.
fn parted(line: &str) -> (&str, Option<&str>) {
    let line = line.trim_start_matches(BLANKS);
    let end = line.find(|it: char| it.is_ascii_whitespace() || it == '\x0b').unwrap_or(line.len());
    let (word, rest) = line.split_at(end);
    let rest = rest.trim_start_matches(BLANKS);
    (word, (!rest.is_empty() && !rest.starts_with('#')).then_some(rest))
}

impl<'a> Menu<'a> {
    fn take(&mut self, mut line: &'a str) -> Result<(), &'static str> {
        loop {
            let (word, value) = parted(line);
            if word.starts_with('#') || line.trim_start_matches(BLANKS).is_empty() {
                return Ok(());
            }
            let word = word.to_ascii_lowercase();
            match self.take_in_label(&word, value)? {
                Taken::Line => return Ok(()),
                Taken::Word => line = value.unwrap_or_default(),
                Taken::Nothing => return self.take_at_top(&word, value),
            }
        }
    }

    fn take_in_label(&mut self, word: &str, value: Option<&'a str>) -> Result<Taken, &'static str> {
        let Some(label) = self.labels.last_mut().filter(|_| self.inside) else { return Ok(Taken::Nothing) };
        if word != "menu" {
            return label.take(word, value.ok_or(GIVEN_UP));
        }
        let own = is_word(value, "default").then_some(label.name);
        self.default = self.default.or(own);
        Ok(Taken::Line)
    }

    /// What it does not know, or knows of a label alone, it looks over.
    fn take_at_top(&mut self, word: &str, value: Option<&'a str>) -> Result<(), &'static str> {
        self.inside = word == "label";
        match word {
            "label" => self.labels.push(Label { name: value.ok_or(GIVEN_UP)?, ..Label::default() }),
            "default" | "ontimeout" => self.default = Some(value.ok_or(GIVEN_UP)?),
            "include" => return Err(INCLUDES),
            "menu" if is_word(value, "include") => return Err(INCLUDES),
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
        let (kernel, initrd) = (label.kernel?.to_owned(), label.initrd?.to_owned());
        let entry = BootEntry { kernel, initrd, tree: label.tree.map(str::to_owned), init: init.to_owned() };
        (!label.local).then_some(entry)
    }
}

fn is_word(value: Option<&str>, word: &str) -> bool {
    value.is_some_and(|value| parted(value).0.eq_ignore_ascii_case(word))
}

impl<'a> Label<'a> {
    fn take(&mut self, word: &str, value: Result<&'a str, &'static str>) -> Result<Taken, &'static str> {
        // Of some the first one counts, and the value of another is not even taken for one.
        let first = match word {
            "initrd" => &mut self.initrd,
            "fdt" | "devicetree" => &mut self.tree,
            "fdtdir" | "devicetreedir" => &mut self.folder,
            "fdtoverlays" => &mut self.overlays,
            "kaslrseed" => return Ok(Taken::Word),
            _ => return self.take_last(word, value),
        };
        if first.is_some() {
            return Ok(Taken::Word);
        }
        *first = Some(value?);
        Ok(Taken::Line)
    }

    /// Of these the last one counts.
    fn take_last(&mut self, word: &str, value: Result<&'a str, &'static str>) -> Result<Taken, &'static str> {
        match word {
            "linux" | "kernel" => self.kernel = Some(value?),
            "append" => self.append(value?),
            "localboot" => self.local = value.map(|_| true)?,
            "ipappend" => drop(value?),
            _ => return Ok(Taken::Nothing),
        }
        Ok(Taken::Line)
    }

    /// An `initrd=` of the kernel's command line is the initrd too, where none was named before.
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
    fn the_default_entry() {
        let entry = |kernel: &str, initrd: &str, init: &str| {
            Ok(BootEntry { kernel: kernel.into(), initrd: initrd.into(), tree: None, init: init.into() })
        };
        let nixos = entry("../nixos/k-Image", "../nixos/i-initrd", "/nix/store/s/init");
        assert_eq!(default_entry(TWO), nixos);
        assert_eq!(default_entry(&TWO.replace("DEFAULT", "#")), entry("../o", "../oi", "/o"));
        assert_eq!(default_entry(&TWO.replace("DEFAULT nixos-default", "default absent")), Err(NO_ENTRY));
        assert_eq!(default_entry(&TWO.replace("LINUX ../nixos/k-Image", "")), Err(NO_ENTRY));
        assert_eq!(default_entry(""), Err(NO_ENTRY));
        let marked = TWO.replace("  MENU LABEL", "  MENU DEFAULT\n  MENU LABEL");
        assert_eq!(default_entry(&marked.replace("DEFAULT nixos-default", "")), nixos);
        let other = "LABEL other\n  menu default";
        assert_eq!(default_entry(&marked.replace("LABEL other", other)), nixos);
        let marked = marked.replace("LABEL other", other).replace("DEFAULT nixos-default", "");
        assert_eq!(default_entry(&marked), entry("../o", "../oi", "/o"));
    }

    /// Of a word that comes twice U-Boot takes the last one for some, and the first for others.
    #[test]
    fn what_counts_is_what_u_boot_takes() {
        let with = |end: &str| default_entry(&format!("{TWO}{end}")).unwrap();
        assert_eq!(with("  KERNEL ../later\n").kernel, "../later");
        assert_eq!(with("  INITRD ../later\n").initrd, "../nixos/i-initrd");
        assert_eq!(with("  APPEND init=/first init=/later\n").init, "/later");
        // The value of a second one is a word that ends the label.
        assert_eq!(with("  INITRD x\n  LINUX ../later\n").kernel, "../nixos/k-Image");
        assert_eq!(with("  INITRD LINUX ../later\n").kernel, "../later");
        assert_eq!(with("  APPEND init=/later initrd=../later x\n").initrd, "../nixos/i-initrd");
        assert_eq!(default_entry(&TWO.replace("  INITRD ../nixos/i-initrd\n", "")), Err(NO_ENTRY));
        let appended = TWO.replace("INITRD ../nixos/i-initrd\n  APPEND", "APPEND initrd=../own");
        assert_eq!(default_entry(&appended).unwrap().initrd, "../own");
        assert_eq!(with("ONTIMEOUT other\n").kernel, "../o");
        assert_eq!(with("  FDT ../tree.dtb\n  FDT ../other.dtb\n").tree.as_deref(), Some("../tree.dtb"));
        assert_eq!(with("  DEVICETREE ../tree.dtb\n").tree.as_deref(), Some("../tree.dtb"));
        assert_eq!(default_entry(&format!("{TWO}  LOCALBOOT 1\n")), Err(NO_ENTRY));
        // Of two labels of one name it is the last.
        let twin = "LABEL nixos-default\nLINUX ../twin\nINITRD ../i\nAPPEND init=/i\n";
        assert_eq!(with(twin).kernel, "../twin");
        // The text ends with its first zero.
        assert_eq!(default_entry(&format!("\0{TWO}")), Err(NO_ENTRY));
        assert_eq!(with("\0KERNEL ../later\n").kernel, "../nixos/k-Image");
    }

    /// A card with such a menu was said to boot.
    #[test]
    fn what_u_boot_does_not_come_to() {
        // Any word that is none of a label ends it.
        for word in ["TIMEOUT 50", "PROMPT 1", "FROBNICATE", "\r"] {
            assert_eq!(default_entry(&TWO.replace("  INITRD", &format!("{word}\n  INITRD"))), Err(NO_ENTRY));
        }
        for line in ["INCLUDE more.conf", "include more.conf", "MENU INCLUDE more.conf"] {
            assert_eq!(default_entry(&format!("{line}\n{TWO}")), Err(INCLUDES), "{line}");
        }
        assert!(default_entry(&format!("{TWO}  MENU INCLUDE more.conf\n")).is_ok());
        for line in ["LABEL", "DEFAULT # x", "LABEL x\nLINUX \t", "LABEL x\nAPPEND #"] {
            assert_eq!(default_entry(&format!("{line}\n{TWO}")), Err(GIVEN_UP), "{line}");
        }
        // Blanks and carriage returns at the end of a line belong to the name.
        let entry = default_entry(&TWO.replace("k-Image", "k-Image ")).unwrap();
        assert_eq!(entry.kernel, "../nixos/k-Image ");
        let entry = default_entry(&TWO.replace("\n\n", "\n").replace('\n', "\r\n")).unwrap();
        assert_eq!((entry.kernel.as_str(), entry.init.as_str()), ("../nixos/k-Image\r", "/nix/store/s/init"));
        assert_eq!(
            default_entry(&TWO.replace("DEFAULT nixos-default", "DEFAULT nixos-default ")),
            Err(NO_ENTRY)
        );
    }

    #[test]
    fn fuzz() {
        let many = (0..10_000).map(|it| format!("LABEL {it}\n APPEND init=/i\n")).collect::<String>();
        let line = format!("DEFAULT {}", "x ".repeat(1 << 19));
        crate::base::fuzz::check_text(&[TWO], default_entry);
        assert_eq!(default_entry(&many), Err(NO_ENTRY));
        assert_eq!(default_entry(&line), Err(NO_ENTRY));
        assert_eq!(default_entry(&format!("LABEL a\n{}", "INITRD ".repeat(100_000))), Err(NO_ENTRY));
        let labels = "LABEL a\n".repeat(100_000);
        assert_eq!(default_entry(&labels), Err(NO_ENTRY));
    }
}
