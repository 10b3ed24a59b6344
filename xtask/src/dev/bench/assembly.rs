//! Running the assembler with programs out of Debian's packages.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::base::failure::ExitKind;
use crate::base::process::{Cost, Launcher};
use crate::base::{Context, project};
use crate::dev::demo::Tools;
use crate::setup::debian::Arch;

/// The script, seen from the repository.
const SCRIPT: &str = "hosts/raspberry-pi/sd-image/assembler/assemble.sh";

/// The size of FIRMWARE in MiB.
const FIRMWARE_MIB: u64 = 40;

/// One run of the assembler.
pub struct Assembly<'a> {
    pub tools: &'a Tools,
    /// A folder with `root`, `firmware` and the file `paths`. Working files go there too.
    pub content: &'a Path,
    /// The image to make.
    pub out: &'a Path,
    /// How hard it is compressed.
    pub level: u8,
}

impl Assembly<'_> {
    /// Makes the image, and says what it cost.
    pub fn run(&self, cx: &Context) -> Result<Cost> {
        let script = project::root().join(SCRIPT);
        let command = [self.tools.program("dash").into(), script.into_os_string()];
        let measured = self.launcher(&cx.launcher).measure(&[command.to_vec()])?;
        if measured.code == 0 {
            return Ok(measured.cost);
        }
        let text =
            format!("the assembler failed with exit code {}: {}", measured.code, measured.stderr.trim());
        Err(ExitKind::Other.error(text))
    }

    fn launcher(&self, launcher: &Launcher) -> Launcher {
        let at = |name: &str| self.content.join(name).into_os_string();
        [
            ("PATH", self.tools.path().into()),
            ("OUT", self.out.into()),
            ("ROOT_TREE", at("root")),
            ("STORE_PATHS", at("paths")),
            ("FIRMWARE_TREE", at("firmware")),
            ("FIRMWARE_MIB", FIRMWARE_MIB.to_string().into()),
            ("ROOT_UUID", "44444444-4444-4444-8888-888888888888".into()),
            ("HEADROOM_MIB", "16".into()),
            ("SOURCE_DATE_EPOCH", "1".into()),
            ("ZSTD_LEVEL", self.level.to_string().into()),
            ("TMPDIR", self.content.into()),
        ]
        .into_iter()
        .fold(launcher.clone(), |launcher, (name, value): (_, std::ffi::OsString)| {
            launcher.with_env(name, value)
        })
    }
}

/// The programs for the machine that this is.
///
/// # Errors
/// Refused on another kind of machine than those that programs are there for; otherwise what kept them from
/// being fetched.
pub fn native_tools(cx: &Context) -> Result<Tools> {
    let text = || format!("there are no programs for the assembler on {}", std::env::consts::ARCH);
    let arch = Arch::of_this_machine().ok_or_else(|| ExitKind::Refused.error(text()))?;
    Tools::stage(cx, arch)
}

/// Decompresses `packed` beside itself, with holes for its zeros, and returns the file.
pub fn unpack(packed: &Path) -> Result<PathBuf> {
    let path = packed.with_extension("");
    let doing = || format!("decompressing {}", packed.display());
    let from = zstd::Decoder::new(File::open(packed).with_context(doing)?).with_context(doing)?;
    let into = File::create(&path).with_context(doing)?;
    super::image::copy_sparse(from, &into).with_context(doing)?;
    Ok(path)
}
