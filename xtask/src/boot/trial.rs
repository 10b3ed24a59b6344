//! The files of a trial on FIRMWARE: `boot.scr`, the script that U-Boot runs before it reads the boot menu, and
//! `trial.env`, the flag that lets that script start another entry once.

use std::fmt;

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bail;

/// The name of the script.
pub const SCRIPT: &str = "boot.scr";
/// The name of the flag.
pub const FLAG: &str = "trial.env";

/// The size of the header of a U-Boot script, in bytes (U-Boot, `include/image.h`).
const HEADER: usize = 64;
/// The first bytes of the header of a U-Boot script.
const MAGIC: [u8; 4] = [0x27, 0x05, 0x19, 0x56];
/// The type of an image that is a script.
const SCRIPT_TYPE: u8 = 6;
/// The size of the flag in bytes: a sector, which is written whole or not at all.
const FLAG_SIZE: usize = 512;
/// The variable of the flag that names the entry.
const VARIABLE: &str = "trial_label=";

/// Whether the next boot may start another system than the default of the boot menu.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "state")]
#[schemars(rename = "TrialOfCard")]
pub enum Trial {
    /// FIRMWARE has no `boot.scr`: each boot starts the default.
    Absent,
    /// A trial can be armed; the next boot starts the default.
    Ready,
    /// The next boot tries this entry of the boot menu, once.
    Armed { entry: String },
    /// Each boot starts the default, for this reason.
    Impossible { why: String },
}

impl Trial {
    /// What U-Boot does with these contents of `boot.scr` and `trial.env`; `None` is a missing file. U-Boot runs the
    /// script only where FIRMWARE `is_marked` as bootable.
    pub fn of(script: Option<&[u8]>, flag: Option<&[u8]>, is_marked: bool) -> Self {
        let Some(script) = script else { return Self::Absent };
        let checked = check_mark(is_marked).and_then(|()| check_script(script));
        match checked.and_then(|()| armed_entry(flag)) {
            Ok(Some(entry)) => Self::Armed { entry },
            Ok(None) => Self::Ready,
            Err(error) => Self::Impossible { why: format!("{error:#}") },
        }
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("impossible: no boot.scr on FIRMWARE"),
            Self::Ready => f.write_str("possible"),
            Self::Armed { entry } => write!(f, "the next boot tries the entry {entry}, once"),
            Self::Impossible { why } => write!(f, "impossible: {why}"),
        }
    }
}

/// Fails where FIRMWARE is not marked as bootable.
fn check_mark(is_marked: bool) -> Result<()> {
    if !is_marked {
        bail!(Verification, "FIRMWARE is not marked bootable, so U-Boot does not run {SCRIPT}");
    }
    Ok(())
}

/// Fails where U-Boot does not run `script`, or where the script starts no trials.
fn check_script(script: &[u8]) -> Result<()> {
    let Some((header, rest)) = script.split_at_checked(HEADER) else {
        bail!(Verification, "{SCRIPT} has {} bytes, fewer than its header of {HEADER}", script.len());
    };
    if !header.starts_with(&MAGIC) || header[30] != SCRIPT_TYPE {
        bail!(Verification, "{SCRIPT} is no script of U-Boot");
    }
    // The checksum of the header is computed with zeros in its own place.
    let without_checksum = [&header[..4], &[0; 4], &header[8..]].concat();
    if be32(&header[4..]) != crc32(&without_checksum) {
        bail!(Verification, "{SCRIPT} is damaged: the checksum of its header is wrong");
    }
    let size = usize::try_from(be32(&header[12..]))?;
    let Some(text) = rest.get(..size) else { bail!(Verification, "{SCRIPT} is truncated") };
    if be32(&header[24..]) != crc32(text) {
        bail!(Verification, "{SCRIPT} is damaged: the checksum of its text is wrong");
    }
    if !text.windows(FLAG.len()).any(|bytes| bytes == FLAG.as_bytes()) {
        bail!(Verification, "{SCRIPT} is another script, which does not read {FLAG}");
    }
    Ok(())
}

/// The entry of the boot menu that `flag` names; `None` where the flag names none.
///
/// # Errors
/// A flag that is missing or damaged.
fn armed_entry(flag: Option<&[u8]>) -> Result<Option<String>> {
    let Some(flag) = flag else { bail!(Verification, "{FLAG} is missing") };
    if flag.len() != FLAG_SIZE {
        bail!(Verification, "{FLAG} has {} bytes, not {FLAG_SIZE}", flag.len());
    }
    // A flag that is not armed is all zeros, without a checksum.
    if flag.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let (sum, data) = flag.split_at(4);
    if u32::from_le_bytes([sum[0], sum[1], sum[2], sum[3]]) != crc32(data) {
        bail!(Verification, "{FLAG} is damaged: its checksum is wrong");
    }
    let settings = data.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let mut entries = settings.filter_map(|text| text.strip_prefix(VARIABLE).map(str::to_owned));
    Ok(entries.next().filter(|entry| !entry.is_empty()))
}

/// The big-endian number at the start of `bytes`; 0 where there are fewer than four.
fn be32(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |word| u32::from_be_bytes(*word))
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;

    /// A file of a trial: the output of the host's `script` for `arg`.
    #[expect(clippy::disallowed_methods, reason = "the output is no text")]
    fn make_file(script: &str, arg: &str) -> Vec<u8> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hosts/raspberry-pi/trial");
        let output = Command::new("sh").current_dir(dir).args([script, arg]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    }

    /// The trial by these files on a FIRMWARE that is marked as bootable, as people see it.
    fn shown_trial(script: &[u8], flag: &[u8]) -> String {
        Trial::of(Some(script), Some(flag), true).to_string()
    }

    #[test]
    fn a_trial_needs_the_files_that_the_host_makes_and_a_bootable_firmware() {
        let script = make_file("boot-script.sh", "boot.cmd");
        let flag = make_file("trial-flag.sh", "nixos-trial");
        assert_eq!(shown_trial(&script, &[0; 512]), "possible");
        assert_eq!(shown_trial(&script, &flag), "the next boot tries the entry nixos-trial, once");
        assert_eq!(Trial::of(None, Some(&flag), true).to_string(), "impossible: no boot.scr on FIRMWARE");
        let unmarked = Trial::of(Some(&script), Some(&flag), false).to_string();
        assert_eq!(unmarked, "impossible: FIRMWARE is not marked bootable, so U-Boot does not run boot.scr");
        assert_eq!(Trial::of(Some(&script), None, true).to_string(), "impossible: trial.env is missing");
    }

    #[test]
    fn every_damaged_byte_is_found() {
        let script = make_file("boot-script.sh", "boot.cmd");
        let flag = make_file("trial-flag.sh", "nixos-trial");
        for (file, other) in [(&script, &flag), (&flag, &script)] {
            for at in 0..file.len() {
                let mut damaged = file.clone();
                damaged[at] ^= 1;
                let [script, flag] = if file == &script { [&damaged, other] } else { [other, &damaged] };
                assert!(shown_trial(script, flag).starts_with("impossible: "), "byte {at}");
            }
        }
    }

    #[test]
    fn a_truncated_file_or_another_script_makes_a_trial_impossible() {
        let script = make_file("boot-script.sh", "boot.cmd");
        let flag = make_file("trial-flag.sh", "nixos-trial");
        for len in 0..script.len() {
            assert!(shown_trial(&script[..len], &flag).starts_with("impossible: boot.scr "), "{len} bytes");
        }
        assert_eq!(shown_trial(&script, &flag[..511]), "impossible: trial.env has 511 bytes, not 512");
        let other = make_file("boot-script.sh", "fat.sh");
        let text = "impossible: boot.scr is another script, which does not read trial.env";
        assert_eq!(shown_trial(&other, &flag), text);
    }
}
