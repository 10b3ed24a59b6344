//! The peers: other programs that write cards, with their command lines.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::base::process::Launcher;

/// A pipeline of commands, each with its program and arguments.
pub type Pipeline = Vec<Vec<OsString>>;

/// The image file and the device of a run.
#[derive(Clone, Debug)]
pub struct Job {
    pub image: PathBuf,
    pub device: PathBuf,
    /// The size of the device in bytes.
    pub device_size: u64,
}

impl Job {
    /// The path of bmaptool's block map of the image.
    pub fn block_map(&self) -> PathBuf {
        self.image.with_extension("bmap")
    }
}

/// Another program that does the work of `flash` or a part of it.
#[derive(Debug)]
pub struct Peer {
    pub name: &'static str,
    programs: &'static [&'static str],
    /// The package or command that installs the peer.
    source: &'static str,
    /// Builds the command line.
    pub pipeline: fn(&Job) -> Pipeline,
}

pub static DD_FSYNC: Peer = Peer {
    name: "dd fsync",
    programs: &["zstd", "dd"],
    source: "packages zstd and coreutils",
    pipeline: |job| {
        vec![unpack_command(job), words(&[&"dd", &output_argument(job), &"bs=4M", &"conv=fsync"])]
    },
};

pub static DD_DIRECT: Peer = Peer {
    name: "dd direct",
    programs: &["zstd", "dd"],
    source: "packages zstd and coreutils",
    // A read from a pipe returns less than 4 MiB, and direct I/O needs whole blocks.
    pipeline: |job| {
        let flags: [&dyn AsRef<OsStr>; 4] = [&"bs=4M", &"iflag=fullblock", &"oflag=direct", &"conv=fsync"];
        vec![unpack_command(job), [words(&[&"dd", &output_argument(job)]), words(&flags)].concat()]
    },
};

pub static BMAPTOOL: Peer = Peer {
    name: "bmaptool",
    programs: &["bmaptool"],
    source: "package bmap-tools",
    pipeline: |job| {
        vec![words(&[&"bmaptool", &"copy", &"--bmap", &job.block_map(), &job.image, &job.device])]
    },
};

pub static BMAPTOOL_NOBMAP: Peer = Peer {
    name: "bmaptool --nobmap",
    programs: &["bmaptool"],
    source: "package bmap-tools",
    pipeline: |job| vec![words(&[&"bmaptool", &"copy", &"--nobmap", &job.image, &job.device])],
};

pub static CALIGULA: Peer = Peer {
    name: "caligula",
    programs: &["caligula"],
    source: "cargo install caligula",
    pipeline: |job| {
        let fixed = "burn --force --interactive never --root never --compression zst --hash skip -o";
        let mut burn = vec!["caligula".into()];
        burn.extend(fixed.split(' ').map(OsString::from));
        burn.extend([job.device.clone().into(), job.image.clone().into()]);
        vec![burn]
    },
};

/// The decompression, a part of the work of every writer.
pub static UNPACK: Peer = Peer {
    name: "zstd -dc",
    programs: &["zstd"],
    source: "package zstd",
    pipeline: |job| vec![unpack_command(job)],
};

impl Peer {
    /// The text about a program of the peer that is not on `PATH`, with how to install it; `None` where none is
    /// missing.
    pub fn missing_program(&self, launcher: &Launcher) -> Option<String> {
        let program = self.programs.iter().find(|program| launcher.which(program).is_none())?;
        Some(format!("{}: there is no {program} on PATH ({})", self.name, self.source))
    }

    /// Whether the peer runs `program`.
    pub fn uses(&self, program: &str) -> bool {
        self.programs.contains(&program)
    }
}

fn unpack_command(job: &Job) -> Vec<OsString> {
    words(&[&"zstd", &"-dc", &job.image])
}

/// The argument `of=DEVICE` of dd.
fn output_argument(job: &Job) -> OsString {
    let mut argument = OsString::from("of=");
    argument.push(&job.device);
    argument
}

/// Owned copies of the words of a command.
fn words(words: &[&dyn AsRef<OsStr>]) -> Vec<OsString> {
    words.iter().map(|word| (*word).as_ref().to_owned()).collect()
}

/// The command line of the tool itself. `mode` is the value of `--mode`; `None` for the default.
pub fn tool_pipeline(job: &Job, mode: Option<&str>) -> anyhow::Result<Pipeline> {
    use anyhow::Context as _;
    let program = std::env::current_exe().context("finding this program")?;
    let size = job.device_size.to_string();
    let mut flash = words(&[&program, &"flash", &"--image", &job.image, &job.device]);
    flash.extend(words(&[&"--allow-virtual", &"--yes", &"--expect-size", &size, &"--no-eject", &"--json"]));
    if let Some(mode) = mode {
        flash.extend(words(&[&"--mode", &mode]));
    }
    Ok(vec![flash])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Job {
        Job { image: "/i/a b.img.zst".into(), device: "/dev/loop7".into(), device_size: 4096 }
    }

    /// The pipeline in one line; the words of a command are separated by `_`.
    fn in_one_line(pipeline: &Pipeline) -> String {
        let line = |words: &Vec<OsString>| words.join(OsStr::new("_")).into_string().unwrap();
        pipeline.iter().map(line).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn each_peer_has_its_command_line() {
        let unpack = "zstd_-dc_/i/a b.img.zst";
        for (peer, expected) in [
            (&DD_FSYNC, format!("{unpack} | dd_of=/dev/loop7_bs=4M_conv=fsync")),
            (
                &DD_DIRECT,
                format!("{unpack} | dd_of=/dev/loop7_bs=4M_iflag=fullblock_oflag=direct_conv=fsync"),
            ),
            (&BMAPTOOL, "bmaptool_copy_--bmap_/i/a b.img.bmap_/i/a b.img.zst_/dev/loop7".into()),
            (&BMAPTOOL_NOBMAP, "bmaptool_copy_--nobmap_/i/a b.img.zst_/dev/loop7".into()),
            (
                &CALIGULA,
                "caligula_burn_--force_--interactive_never_--root_never_--compression_zst_--hash_skip_\
                 -o_/dev/loop7_/i/a b.img.zst"
                    .into(),
            ),
            (&UNPACK, unpack.into()),
        ] {
            assert_eq!(in_one_line(&(peer.pipeline)(&job())), expected, "{}", peer.name);
        }
    }

    #[test]
    fn the_tool_is_this_program() {
        let own = std::env::current_exe().unwrap().display().to_string();
        let words = format!(
            "{own}_flash_--image_/i/a b.img.zst_/dev/loop7_--allow-virtual_--yes_--expect-size_4096_\
             --no-eject_--json"
        );
        assert_eq!(in_one_line(&tool_pipeline(&job(), None).unwrap()), words);
        assert_eq!(
            in_one_line(&tool_pipeline(&job(), Some("delta")).unwrap()),
            format!("{words}_--mode_delta")
        );
    }

    #[test]
    fn a_missing_peer_is_listed_with_what_installs_it() {
        let launcher = Launcher::new("/").with_env("PATH", "/no/such/folder");
        let text = "caligula: there is no caligula on PATH (cargo install caligula)";
        assert_eq!(CALIGULA.missing_program(&launcher).as_deref(), Some(text));
    }
}
