//! Runs the assembler with programs from Debian's packages.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::base::Context;
use crate::base::process::{Cost, Launcher};
use crate::dev::demo::Tools;
use crate::setup::debian::Arch;
use crate::{bail, failure};

/// The script, relative to the repository.
const SCRIPT: &str = "hosts/raspberry-pi/sd-image/assembler/assemble.sh";

/// The size of FIRMWARE in MiB.
const FIRMWARE_MIB: u64 = 40;

/// One run of the assembler.
pub struct Assembly<'a> {
    pub tools: &'a Tools,
    /// A folder with `root`, `firmware` and the file `paths`; also the folder of temporary files.
    pub content: &'a Path,
    /// The image to make.
    pub out: &'a Path,
    /// The compression level of zstd.
    pub level: u8,
}

impl Assembly<'_> {
    /// Makes the image and returns the cost of the assembler.
    pub fn run(&self, cx: &Context) -> Result<Cost> {
        self.run_script(cx, &script_of_this_checkout(), None)
    }

    /// Makes the image with the assembler `script`, which notes its phases in the file `phases`. Returns the cost.
    pub fn run_script(&self, cx: &Context, script: &Path, phases: Option<&Path>) -> Result<Cost> {
        let command = [self.tools.program("dash").into(), script.into()];
        let launcher = self.configure(&cx.launcher).with_env("PHASES", phases.unwrap_or(Path::new("")));
        let measured = launcher.measure(&[command.to_vec()])?;
        if measured.code == 0 {
            return Ok(measured.cost);
        }
        bail!(Other, "the assembler failed with exit code {}: {}", measured.code, measured.stderr.trim())
    }

    /// The launcher with the variables that the assembler reads.
    fn configure(&self, launcher: &Launcher) -> Launcher {
        let content_path = |name: &str| self.content.join(name).into_os_string();
        let variables: [(&str, OsString); _] = [
            ("PATH", self.tools.path().into()),
            ("OUT", self.out.into()),
            ("ROOT_TREE", content_path("root")),
            ("STORE_PATHS", content_path("paths")),
            ("FIRMWARE_TREE", content_path("firmware")),
            ("FIRMWARE_MIB", FIRMWARE_MIB.to_string().into()),
            ("ROOT_UUID", "44444444-4444-4444-8888-888888888888".into()),
            ("HEADROOM_MIB", "16".into()),
            ("SOURCE_DATE_EPOCH", "1".into()),
            ("ZSTD_LEVEL", self.level.to_string().into()),
            ("TMPDIR", self.content.into()),
        ];
        variables.into_iter().fold(launcher.clone(), |launcher, (name, value)| launcher.with_env(name, value))
    }
}

/// The assembler of the checkout that this program was built from.
pub fn script_of_this_checkout() -> PathBuf {
    crate::dev::checkout().join(SCRIPT)
}

/// Stages the programs for this machine.
///
/// # Errors
/// `Refused` on an architecture without programs, and any failure to fetch the programs.
pub fn native_tools(cx: &Context) -> Result<Tools> {
    let arch = Arch::of_this_machine()
        .ok_or_else(|| failure!(Refused, "the assembler has no programs for {}", std::env::consts::ARCH))?;
    Tools::stage(cx, arch)
}

/// Decompresses `compressed` to a sparse file beside it, and returns the path.
pub fn decompress(compressed: &Path) -> Result<PathBuf> {
    let path = compressed.with_extension("");
    let doing = || format!("decompressing {}", compressed.display());
    let from = zstd::Decoder::new(File::open(compressed).with_context(doing)?).with_context(doing)?;
    let into = File::create(&path).with_context(doing)?;
    super::image::copy_sparse(from, &into).with_context(doing)?;
    Ok(path)
}
