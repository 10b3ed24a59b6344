//! The plan of a build in words.

use std::collections::BTreeMap;
use std::fmt;

use super::{BuildPlan, Place, PlannedBuild};
use crate::base::Bytes;

/// How many builds a line names.
const MAX_NAMED: usize = 5;

impl fmt::Display for BuildPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() && self.unavailable.is_empty() {
            return f.write_str("build   nothing: all of it is in the store");
        }
        writeln!(f, "build   {}", self.builds())?;
        if let Some(names) = named(self.derivations.iter().filter(|build| build.is_heavy)) {
            writeln!(f, "heavy   {names}")?;
        }
        if let Some(time) = self.time() {
            writeln!(f, "time    {time}")?;
        }
        if !self.unavailable.is_empty() {
            let paths = self.unavailable.iter().take(MAX_NAMED).map(ToString::to_string).collect::<Vec<_>>();
            writeln!(f, "lacks   {}, which nix can neither build nor fetch", paths.join(", "))?;
        }
        if let Some(text) = self.dead_builders_text(", which ") {
            writeln!(f, "without {text}")?;
        }
        writeln!(f, "fetch   {}", self.fetches())?;
        let free = self.free_bytes.map_or_else(|| "unknown".to_owned(), |free| Bytes(free).to_string());
        write!(f, "store   {free} free")
    }
}

impl BuildPlan {
    /// The whole plan in one line: `14 derivations, 9 by emulation, about 42 min; 210.5 MiB to download`.
    pub fn summary(&self) -> String {
        let emulated = self.derivations.iter().filter(|build| build.place == Place::Emulated).count();
        let mut parts = vec![count(self.derivations.len(), "derivation")];
        if emulated > 0 {
            parts.push(format!("{emulated} by emulation"));
        }
        if let Some(seconds) = self.seconds {
            parts.push(format!("about {}", duration(seconds)));
        }
        let builds = parts.join(", ");
        if self.fetched_paths == 0 {
            builds
        } else {
            format!("{builds}; {} to download", Bytes(self.download_bytes))
        }
    }

    /// The remote builders that do not answer, each with the words `between` and the reason: `the remote builder
    /// ssh://pi, which does not answer: …`. `None` where all do.
    pub fn dead_builders_text(&self, between: &str) -> Option<String> {
        let texts = self.dead_builders.iter().map(|dead| format!("{}{between}{}", dead.address, dead.reason));
        let texts = texts.collect::<Vec<_>>();
        (!texts.is_empty()).then(|| format!("the remote builder {}", texts.join("; ")))
    }

    /// The derivations to build by their systems.
    fn builds(&self) -> String {
        let mut groups = BTreeMap::<(&str, Place), usize>::new();
        for build in &self.derivations {
            *groups
                .entry((build.system.as_deref().unwrap_or("an unknown system"), build.place))
                .or_default() += 1;
        }
        let groups = groups
            .into_iter()
            .map(|((system, place), count)| format!("{count} for {system}{}", place.words()));
        let groups = groups.collect::<Vec<_>>().join(", ");
        match self.derivations.len() {
            0 => "nothing".to_owned(),
            amount => format!("{}: {groups}", count(amount, "derivation")),
        }
    }

    fn fetches(&self) -> String {
        match self.fetched_paths {
            0 => "nothing".to_owned(),
            paths => format!(
                "{}: {} to download, {} in the store",
                count(usize::try_from(paths).unwrap_or(usize::MAX), "path"),
                Bytes(self.download_bytes),
                Bytes(self.unpacked_bytes)
            ),
        }
    }

    /// The estimate, and how much of the work it leaves out; `None` where there is nothing to build.
    fn time(&self) -> Option<String> {
        let all = self.derivations.len();
        let unknown = all - self.known_times();
        match self.seconds {
            _ if all == 0 => None,
            None => Some("unknown: none of this was built here before".to_owned()),
            Some(seconds) if unknown == 0 => Some(format!("about {}", duration(seconds))),
            Some(seconds) => Some(format!(
                "about {}, without {unknown} of {all} that were not built here before",
                duration(seconds)
            )),
        }
    }
}

impl Place {
    /// How a derivation is built, behind its system; empty for this machine itself.
    fn words(self) -> &'static str {
        match self {
            Self::Native => "",
            Self::Emulated => " by emulation",
            Self::Remote => " by a remote builder",
            Self::Nowhere => ", which nothing here builds for",
            Self::Unknown => " (perhaps by emulation)",
        }
    }
}

/// The first names of `builds`, each once, and how many others there are; `None` for none.
pub fn named<'a>(builds: impl Iterator<Item = &'a PlannedBuild>) -> Option<String> {
    let mut names = Vec::<String>::new();
    for build in builds {
        if !names.contains(&build.name) {
            names.push(build.name.clone());
        }
    }
    if let Some(others) = names.len().checked_sub(MAX_NAMED).filter(|others| *others > 0) {
        names.truncate(MAX_NAMED);
        names.push(format!("{others} more"));
    }
    (!names.is_empty()).then(|| names.join(", "))
}

/// `1 path`, `2 paths`.
fn count(amount: usize, noun: &str) -> String {
    format!("{amount} {noun}{}", if amount == 1 { "" } else { "s" })
}

/// `seconds` for people: `40 s`, `12 min`, `3 h`.
fn duration(seconds: f64) -> String {
    match seconds {
        ..100.0 => format!("{seconds:.0} s"),
        ..6000.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}
