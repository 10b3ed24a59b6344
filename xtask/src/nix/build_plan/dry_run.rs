//! What `nix build --dry-run` prints: there is no JSON of it.

use crate::nix::StorePath;

/// The words after the paths that Nix would build, fetch, or cannot make.
const BUILT: &str = " will be built:";
const FETCHED: &str = " will be fetched (";
const UNKNOWN: &str = "don't know how to build these paths";

/// The units of Nix's sizes, with their factors.
const UNITS: &[(&str, f64)] = &[
    ("B", 1.0),
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("TiB", 1_099_511_627_776.0),
];

/// What Nix would do, by the lines that it prints.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DryRun {
    /// The derivations to build, in the order of the builds.
    pub to_build: Vec<StorePath>,
    /// How many paths are fetched from binary caches.
    pub fetched: u64,
    /// The size of the downloads, in bytes.
    pub download_bytes: u64,
    /// The size of the fetched paths in the store, in bytes.
    pub unpacked_bytes: u64,
    /// Paths that Nix can neither build nor fetch.
    pub unknown: Vec<StorePath>,
    /// Whether Nix announces builds or missing paths, whatever it names.
    has_work: bool,
    list: List,
}

/// The list that the next paths belong to.
#[derive(Debug, Default, PartialEq, Eq)]
enum List {
    #[default]
    Other,
    ToBuild,
    Fetched,
    Unknown,
}

impl DryRun {
    /// Reads the next line of stderr.
    pub fn read_line(&mut self, line: &str) {
        match line.strip_prefix("  ").map(StorePath::containing) {
            Some(Some(path)) => self.add(path),
            Some(None) => {}
            None => self.begin_list(line),
        }
    }

    fn add(&mut self, path: StorePath) {
        match self.list {
            List::ToBuild => self.to_build.push(path),
            List::Fetched => self.fetched += 1,
            List::Unknown => self.unknown.push(path),
            List::Other => {}
        }
    }

    /// Any line that is no path begins a list or ends one.
    fn begin_list(&mut self, line: &str) {
        self.has_work |= line.ends_with(BUILT) || line.contains(UNKNOWN);
        self.list = if line.ends_with(BUILT) {
            List::ToBuild
        } else if let Some((_, sizes)) = line.split_once(FETCHED) {
            let mut sizes = sizes.split(", ").map(parse_size);
            self.download_bytes = sizes.next().flatten().unwrap_or(0);
            self.unpacked_bytes = sizes.next().flatten().unwrap_or(0);
            List::Fetched
        } else if line.contains(UNKNOWN) {
            List::Unknown
        } else {
            List::Other
        };
    }

    /// Whether Nix has nothing to build, and lacks nothing.
    pub fn builds_nothing(&self) -> bool {
        !self.has_work
    }
}

/// The bytes of a text that begins with a size: `12.34 MiB download`.
fn parse_size(text: &str) -> Option<u64> {
    let (number, rest) = text.trim().split_once(' ')?;
    let unit = rest.split([' ', ')']).next()?;
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let bytes = number.parse::<f64>().ok()? * factor;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rounded size, at least 0")]
    (0.0..1e18).contains(&bytes).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "0123456789abcdfghijklmnpqrsvwxyz";

    fn read(text: &str) -> DryRun {
        let mut run = DryRun::default();
        text.replace("HASH", HASH).lines().for_each(|line| run.read_line(line));
        run
    }

    #[test]
    fn builds_fetches_and_unknown_paths_are_read() {
        let run = read(
            "warning: Git tree is dirty\nthese 2 derivations will be built:\n  /nix/store/HASH-a.drv\n  \
             /nix/store/HASH-b.drv\nthese 3 paths will be fetched (1.50 MiB download, 6.00 MiB unpacked):\n  \
             /nix/store/HASH-c\n  /nix/store/HASH-d\n  /nix/store/HASH-e\n\
             don't know how to build these paths:\n  /nix/store/HASH-f\n",
        );
        let names = |paths: &[StorePath]| paths.iter().map(|path| path.name().to_owned()).collect::<Vec<_>>();
        assert_eq!(names(&run.to_build), ["a.drv", "b.drv"]);
        assert_eq!((run.fetched, run.download_bytes, run.unpacked_bytes), (3, 3 << 19, 6 << 20));
        assert_eq!(names(&run.unknown), ["f"]);
        assert!(!run.builds_nothing());
    }

    #[test]
    fn one_of_each_is_read_too_and_sizes_have_units() {
        let run = read(
            "this derivation will be built:\n  /nix/store/HASH-a.drv\n\
             this path will be fetched (0.5 KiB download, 1.25 GiB unpacked):\n  /nix/store/HASH-c\n",
        );
        assert_eq!((run.to_build.len(), run.fetched), (1, 1));
        assert_eq!((run.download_bytes, run.unpacked_bytes), (512, 1_342_177_280));
        let unknown = "don't know how to build these paths (may be caused by read-only store access):\n  \
                       /nix/store/HASH-f\n";
        assert!(!read(unknown).builds_nothing());
        assert!(read("").builds_nothing() && read("warning: x\n  /nix/store/HASH-a.drv").builds_nothing());
    }

    #[test]
    fn fuzz() {
        crate::base::fuzz::check_text(
            &["these 2 paths will be fetched (1 MiB download, 6.0 MiB unpacked):\n  /nix/store/HASH-a"],
            read,
        );
    }
}
