//! `extlinux.conf`, parsed as U-Boot does: which kernel it starts, with which initrd and device tree.

use std::fmt;

use crate::failure;

/// The entry that U-Boot starts when nobody is at the keyboard. A path that is not absolute is relative to the folder
/// of the menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootEntry {
    pub kernel: String,
    pub initrd: String,
    /// The device tree, where the entry names one.
    pub device_tree: Option<String>,
    /// The folder with the device trees of all boards, where the entry names one. A named device tree comes first.
    pub device_tree_folder: Option<String>,
    /// The first program, as the kernel's command line names it: `/nix/store/...-nixos-system-.../init`.
    pub init: String,
}

/// Why U-Boot starts nothing from a menu, or why this parser cannot read the menu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MenuError {
    NoEntry,
    Include,
    MissingValue,
}

impl MenuError {
    /// The error for the menu `file`, with a hint where there is a remedy.
    pub fn into_error(self, file: &str) -> anyhow::Error {
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
const BLANKS: &[char] = &[' ', '\t'];

/// One `LABEL`, with the values as U-Boot reads them: up to the end of the line, with blanks at the end.
#[derive(Default)]
struct Label<'a> {
    name: &'a str,
    kernel: Option<&'a str>,
    initrd: Option<&'a str>,
    device_tree: Option<&'a str>,
    append: Option<&'a str>,
    device_tree_folder: Option<&'a str>,
    overlays: Option<&'a str>,
    /// Whether the label has `LOCALBOOT`, which starts something else than a kernel.
    has_local_boot: bool,
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

/// A menu, as far as it is parsed.
#[derive(Default)]
struct Menu<'a> {
    /// The name of the label that U-Boot starts by default.
    default: Option<&'a str>,
    labels: Vec<Label<'a>>,
    /// Whether the current line still belongs to the last label.
    in_label: bool,
}

/// The entry that the last `DEFAULT` or `ONTIMEOUT` names; without these the first entry with `MENU DEFAULT`; without
/// one, the first entry.
///
/// # Errors
/// A menu without such an entry, and one that U-Boot does not read as far as the entry.
pub fn default_entry(text: &str) -> Result<BootEntry, MenuError> {
    let mut menu = Menu::default();
    // U-Boot reads a C string, and only a line feed ends a line.
    let c_string = text.split('\0').next().unwrap_or_default();
    c_string.split('\n').try_for_each(|line| menu.parse_line(line))?;
    menu.default_entry().ok_or(MenuError::NoEntry)
}

/// The first word of `line`, and the text after the word; `None` where there is no such text, or a comment, which
/// begins with `#`.
fn split_word(line: &str) -> (&str, Option<&str>) {
    let line = line.trim_start_matches(BLANKS);
    let is_space = |c: char| c.is_ascii_whitespace() || c == '\x0b';
    let end = line.find(is_space).unwrap_or(line.len());
    let (word, rest) = line.split_at(end);
    let rest = rest.trim_start_matches(BLANKS);
    let has_value = !rest.is_empty() && !rest.starts_with('#');
    (word, has_value.then_some(rest))
}

impl<'a> Menu<'a> {
    fn parse_line(&mut self, mut line: &'a str) -> Result<(), MenuError> {
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

    /// Parses `word` as a word of the last label, if `word` still belongs to that label.
    fn parse_in_label(&mut self, word: &str, value: Option<&'a str>) -> Result<Consumed, MenuError> {
        let Some(label) = self.labels.last_mut().filter(|_| self.in_label) else {
            return Ok(Consumed::Nothing);
        };
        if word != "menu" {
            return label.parse_word(word, value.ok_or(MenuError::MissingValue));
        }
        if begins_with_word(value, "default") {
            self.default.get_or_insert(label.name);
        }
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
            "menu" if begins_with_word(value, "include") => return Err(MenuError::Include),
            _ => {}
        }
        Ok(())
    }

    /// The entry that U-Boot starts; `None` where there is none, or one without a kernel, an initrd or an `init=`.
    fn default_entry(&self) -> Option<BootEntry> {
        let mut labels = self.labels.iter();
        let label = match self.default {
            Some(name) => labels.rfind(|label| label.name == name),
            None => labels.next(),
        }?;
        let init = label.append?.split_whitespace().rev().find_map(|word| word.strip_prefix("init="))?;
        if label.has_local_boot {
            return None;
        }
        Some(BootEntry {
            kernel: label.kernel?.to_owned(),
            initrd: label.initrd?.to_owned(),
            device_tree: label.device_tree.map(str::to_owned),
            device_tree_folder: label.device_tree_folder.map(str::to_owned),
            init: init.to_owned(),
        })
    }
}

/// Whether the first word of `value` is `word`, in upper or lower case.
fn begins_with_word(value: Option<&str>, word: &str) -> bool {
    value.is_some_and(|value| split_word(value).0.eq_ignore_ascii_case(word))
}

impl<'a> Label<'a> {
    /// Parses `word`. A missing `value` is an error only where the word needs one.
    fn parse_word(&mut self, word: &str, value: Result<&'a str, MenuError>) -> Result<Consumed, MenuError> {
        // Where one of these words comes twice, the first one counts, and the text after the second one is parsed as
        // another word, not as a value.
        let first = match word {
            "initrd" => &mut self.initrd,
            "fdt" | "devicetree" => &mut self.device_tree,
            "fdtdir" | "devicetreedir" => &mut self.device_tree_folder,
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

    /// Parses a word of which the last one counts where it comes twice.
    fn parse_last(&mut self, word: &str, value: Result<&'a str, MenuError>) -> Result<Consumed, MenuError> {
        match word {
            "linux" | "kernel" => self.kernel = Some(value?),
            "append" => self.set_command_line(value?),
            "localboot" => {
                value?;
                self.has_local_boot = true;
            }
            "ipappend" => {
                value?;
            }
            _ => return Ok(Consumed::Nothing),
        }
        Ok(Consumed::Line)
    }

    /// Sets the command line. Its `initrd=` is the initrd where no line before names one.
    fn set_command_line(&mut self, value: &'a str) {
        self.append = Some(value);
        let named = value.split_once("initrd=").map(|(_, rest)| rest.split(' ').next().unwrap_or(rest));
        self.initrd = self.initrd.or(named);
    }
}

#[cfg(test)]
mod tests;
