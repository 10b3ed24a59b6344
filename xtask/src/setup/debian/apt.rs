//! Runs apt on a private state: its folders and options, and the formats of its output.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::base::state;
use crate::failure;

/// A package in the version of the mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    pub name: String,
    pub version: String,
    /// The file name of the download, in which `%3a` stands for the colon of the epoch.
    pub file: String,
    /// The size of the download in bytes.
    pub size: u64,
}

impl Package {
    /// The package with its version, as apt-get takes it.
    pub fn pinned(&self) -> String {
        format!("{}={}", self.name, self.version)
    }
}

/// Creates the private state of apt under `dir`, with `sources` (deb822) as the only source.
pub fn create_state(dir: &Path, sources: &str) -> Result<()> {
    let context = || format!("preparing {}", dir.display());
    for part in ["sources.d", "state/lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(dir.join(part)).with_context(context)?;
    }
    // An empty package database: no package counts as installed, so apt lists all dependencies.
    state::write(&dir.join("status"), b"").with_context(context)?;
    state::write(&dir.join("sources.d/mirror.sources"), sources.as_bytes()).with_context(context)
}

/// The options that make apt use the private state under `dir` instead of the system's. The machine's configuration
/// (proxies) applies, its pinning does not. apt reports its progress on stderr, in lines that begin with `dlstatus`.
pub fn options(dir: &Path, arch: &str) -> Vec<OsString> {
    let path_option = |key: &str, part: &str| {
        let mut option = OsString::from(format!("{key}="));
        option.push(dir.join(part));
        option
    };
    let paths = [
        path_option("Dir::Etc::SourceParts", "sources.d"),
        path_option("Dir::State", "state"),
        path_option("Dir::State::Lists", "state/lists"),
        path_option("Dir::State::Status", "status"),
        path_option("Dir::Cache", "cache"),
        path_option("Dir::Cache::Archives", "cache/archives"),
    ];
    let arch = [format!("APT::Architecture={arch}"), format!("APT::Architectures={arch}")];
    let mut words = vec!["-q".into(), "-q".into()];
    for option in
        paths.into_iter().chain(FIXED_OPTIONS.iter().map(OsString::from)).chain(arch.map(OsString::from))
    {
        words.extend(["-o".into(), option]);
    }
    words
}

/// The options that are the same for each private state.
const FIXED_OPTIONS: &[&str] = &[
    "Dir::Etc::SourceList=/dev/null",
    "Dir::Etc::Preferences=/dev/null",
    "Dir::Etc::PreferencesParts=/dev/null",
    "APT::Install-Recommends=false",
    // The user `_apt` may have no access to the private folders.
    "APT::Sandbox::User=root",
    "APT::Status-Fd=2",
    // Otherwise a mirror that does not answer is only a warning.
    "APT::Update::Error-Mode=any",
    "Acquire::Languages=none",
];

/// Parses the output of `apt-get --print-uris`: lines of `'URI' FILE SIZE HASH` among others.
///
/// # Errors
/// `Other` for a line of another format that begins with a quote.
pub fn parse_uris(text: &str) -> Result<Vec<Package>> {
    let lines = text.lines().filter(|line| line.starts_with('\''));
    let package_of =
        |line| parse_uri(line).ok_or_else(|| failure!(Other, "apt printed an unexpected line {line:?}"));
    lines.map(package_of).collect()
}

/// Parses one line of [`parse_uris`]; `None` for another format. FILE is `NAME_VERSION_ARCHITECTURE.deb`.
fn parse_uri(line: &str) -> Option<Package> {
    let mut words = line.rsplit_once('\'')?.1.split_whitespace();
    let file = words.next()?;
    let size = words.next()?.parse().ok()?;
    let mut parts = file.strip_suffix(".deb")?.splitn(3, '_');
    let name = parts.next()?.to_owned();
    let version = parts.next()?.replace("%3a", ":");
    let _architecture = parts.next()?;
    Some(Package { name, version, file: file.to_owned(), size })
}

/// The percentage in a line of the form `dlstatus:COUNT:PERCENT:TEXT`; `None` for another line.
pub fn parse_percent(line: &str) -> Option<f64> {
    line.strip_prefix("dlstatus:")?.split(':').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read_from_the_addresses_that_apt_prints() {
        let text = "Reading package lists...\n\
            'http://mirror/pool/b/busybox-static_1.35.0-4%2bdeb12u1_arm64.deb' busybox-static_1%3a1.35.0-4+deb12u1_arm64.deb 822004 MD5Sum:0123\n";
        let package = Package {
            name: "busybox-static".into(),
            version: "1:1.35.0-4+deb12u1".into(),
            file: "busybox-static_1%3a1.35.0-4+deb12u1_arm64.deb".into(),
            size: 822_004,
        };
        assert_eq!(package.pinned(), "busybox-static=1:1.35.0-4+deb12u1");
        assert_eq!(parse_uris(text).unwrap(), [package]);
        assert_eq!(
            parse_uris("'http://mirror/x' x").unwrap_err().to_string(),
            r#"apt printed an unexpected line "'http://mirror/x' x""#
        );
    }

    #[test]
    fn the_progress_is_read_from_status_lines_of_downloads() {
        assert_eq!(parse_percent("dlstatus:1:12.5:Retrieving file 1 of 8 (0s remaining)"), Some(12.5));
        assert_eq!(parse_percent("pmstatus:dpkg:1:x"), None);
        assert_eq!(parse_percent("E: no"), None);
    }

    #[test]
    fn apt_works_in_folders_of_its_own() {
        let words = options(Path::new("/p"), "arm64");
        let text = words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let places = "-q -q -o Dir::Etc::SourceParts=/p/sources.d -o Dir::State=/p/state -o Dir::State::Lists=/p/state/lists \
            -o Dir::State::Status=/p/status -o Dir::Cache=/p/cache -o Dir::Cache::Archives=/p/cache/archives ";
        assert!(text.starts_with(places), "{text}");
        assert!(text.ends_with(" -o APT::Architecture=arm64 -o APT::Architectures=arm64"), "{text}");
    }

    #[test]
    fn fuzz() {
        let text = "Reading package lists...\n\
            'http://mirror/pool/b/busybox-static_1.35.0-4%2bdeb12u1_arm64.deb' busybox-static_1%3a1.35.0-4+deb12u1_arm64.deb 822004 MD5Sum:0123\n";
        crate::base::fuzz::check_text(&[text, "dlstatus:1:12.5:Retrieving file 1 of 2"], |text| {
            (parse_uris(text).map(|found| found.len()).ok(), text.lines().filter_map(parse_percent).count())
        });
    }
}
