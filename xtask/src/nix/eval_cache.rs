//! The cache of evaluations. Flakes are evaluated purely: as long as a flake is the same, so is the result.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::warnings::Recorder;
use super::{FEATURES, KEEP_LOCK, version};
use crate::base::process::Launcher;
use crate::base::{FlakeRef, Reporter, git, percent_encoding, state};

/// How many results are kept.
const MAX_ENTRIES: usize = 64;
/// The most bytes that are read of a result.
const MAX_BYTES: u64 = 64 << 20;

/// The cache in the folder `evaluations` of the state folder.
pub struct EvalCache {
    folder: PathBuf,
}

impl EvalCache {
    pub fn new(state: &Path) -> Self {
        Self { folder: state.join("evaluations") }
    }

    /// Whether anything was ever cached.
    pub fn exists(&self) -> bool {
        self.folder.is_dir()
    }

    /// The result of `expression` on `flake`: the cached one of the very same flake and Nix, if it is `valid`,
    /// otherwise the one that `evaluate` returns. `reporter` gets the warnings of the evaluation, also of a cached one.
    pub fn get_or_evaluate(
        &self,
        launcher: &Launcher,
        flake: &FlakeRef,
        expression: &str,
        valid: impl Fn(&Value) -> bool,
        reporter: &dyn Reporter,
        evaluate: impl FnOnce(&dyn Reporter) -> Result<Value>,
    ) -> Result<Value> {
        let before = Fingerprint::of(launcher, flake);
        let cached = before.as_ref().and_then(|fingerprint| load(&self.file(fingerprint, expression)));
        if let Some(cached) = cached.filter(|cached| valid(&cached.result)) {
            cached.warnings.iter().for_each(|text| reporter.warn_once(text));
            return Ok(cached.result);
        }
        let recorder = Recorder::new(reporter);
        let result = evaluate(&recorder)?;
        let evaluated = Evaluated { warnings: recorder.into_warnings(), result };
        if let Some(fingerprint) = before.filter(|_| valid(&evaluated.result)) {
            self.keep(launcher, flake, &fingerprint, expression, &evaluated);
        }
        Ok(evaluated.result)
    }

    /// Keeps what the evaluation of `expression` on `flake`, which had this fingerprint before it, came to.
    fn keep(
        &self,
        launcher: &Launcher,
        flake: &FlakeRef,
        before: &Fingerprint,
        expression: &str,
        evaluated: &Evaluated,
    ) {
        // Somebody may have changed the flake during the evaluation.
        if Fingerprint::of(launcher, flake).as_ref() == Some(before) {
            // A result that cannot be stored is evaluated again the next time.
            let _ = self.store(&self.file(before, expression), evaluated);
        }
    }

    /// Keeps the `result` of an evaluation without warnings for [`Self::get`].
    pub fn remember(
        &self,
        launcher: &Launcher,
        flake: &FlakeRef,
        before: &Fingerprint,
        expression: &str,
        result: Value,
    ) {
        self.keep(launcher, flake, before, expression, &Evaluated { warnings: Vec::new(), result });
    }

    /// The cached result of `expression` on the flake with this fingerprint.
    pub fn get(&self, fingerprint: &Fingerprint, expression: &str) -> Option<Value> {
        load(&self.file(fingerprint, expression)).map(|cached| cached.result)
    }

    fn file(&self, fingerprint: &Fingerprint, expression: &str) -> PathBuf {
        let name = blake3::hash(format!("{}:{expression}{}", expression.len(), fingerprint.0).as_bytes());
        self.folder.join(format!("{}.json", name.to_hex()))
    }

    fn store(&self, file: &Path, evaluated: &Evaluated) -> Result<()> {
        state::create_private_folder(&self.folder)?;
        state::write(file, &serde_json::to_vec(evaluated)?)?;
        let mut entries = fs::read_dir(&self.folder)?
            .flatten()
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect::<Vec<_>>();
        entries.sort_unstable();
        let surplus = entries.len().saturating_sub(MAX_ENTRIES);
        entries[..surplus].iter().for_each(|(_, file)| drop(fs::remove_file(file)));
        Ok(())
    }
}

/// The result of an evaluation, and its warnings, which every use of the result repeats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Evaluated {
    result: Value,
    warnings: Vec<String>,
}

fn load(file: &Path) -> Option<Evaluated> {
    serde_json::from_slice(&state::read(file, MAX_BYTES).ok()??).ok()
}

/// The content of a flake and of all its inputs, and which Nix it is: the same ones give the same results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// `None` where Nix does not identify the content of the flake.
    pub fn of(launcher: &Launcher, flake: &FlakeRef) -> Option<Self> {
        let nix = version::identity(launcher)?;
        let args = [&FEATURES[..], &["flake", "metadata", "--json", KEEP_LOCK, flake.as_str()]].concat();
        let metadata = launcher.run_protected(|| launcher.read("nix", &args)).ok()?;
        let parsed = serde_json::from_str(&metadata).ok()?;
        let is_identified =
            is_fixed(&parsed) && work_trees(&parsed).all(|folder| shows_changes(launcher, &folder));
        is_identified.then(|| Self(format!("{nix}\n{metadata}")))
    }
}

/// Whether the output of `nix flake metadata --json` identifies the content of the flake and of all its inputs: by
/// Nix's own fingerprint, which flakes in plain folders lack, or by the hash of each.
fn is_fixed(metadata: &Value) -> bool {
    let has_hash = |node: &Value| node["locked"]["narHash"].is_string();
    let nodes = metadata["locks"]["nodes"].as_object();
    let root = metadata["locks"]["root"].as_str();
    let mut inputs = nodes.into_iter().flatten().filter(|(name, _)| Some(name.as_str()) != root);
    metadata["fingerprint"].is_string()
        || has_hash(metadata) && nodes.is_some() && inputs.all(|(_, node)| has_hash(node))
}

/// The git work trees that Nix reads: that of the flake, and those of inputs that the lock pins to no commit.
fn work_trees(metadata: &Value) -> impl Iterator<Item = PathBuf> {
    let inputs = metadata["locks"]["nodes"].as_object().into_iter().flat_map(|nodes| nodes.values());
    let unpinned = inputs.map(|node| &node["locked"]).filter(|locked| !locked["rev"].is_string());
    let git = std::iter::once(&metadata["locked"]).chain(unpinned).filter(|locked| locked["type"] == "git");
    let folder =
        |locked: &Value| locked["url"].as_str()?.strip_prefix("file://").map(percent_encoding::decode);
    git.filter_map(folder).map(|bytes| PathBuf::from(OsString::from_vec(bytes)))
}

/// Whether git shows all changes in a work tree. It hides those of files with `git update-index --assume-unchanged`,
/// which is advised for secrets; Nix (2.34) reads these files too, although git shows it no change.
fn shows_changes(launcher: &Launcher, folder: &Path) -> bool {
    let is_hidden = |line: &str| line.starts_with(|tag: char| tag.is_ascii_lowercase());
    git::capture(launcher, folder, git::Command::ListFiles, &[])
        .is_ok_and(|listed| listed.success() && !listed.stdout.lines().any(is_hidden))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn hashes_of_the_flake_and_its_inputs_or_a_fingerprint_identify_the_content() {
        let hash = json!({ "narHash": "sha256-x" });
        let open = json!({ "type": "git" });
        let locks =
            |input: &Value| json!({ "root": "r", "nodes": { "r": {}, "nixpkgs": { "locked": input } } });
        for (metadata, expected) in [
            (json!({ "locked": hash, "locks": locks(&hash) }), true),
            (json!({ "locked": hash, "locks": locks(&open) }), false),
            (json!({ "locked": open, "locks": locks(&hash) }), false),
            (json!({ "locked": open, "locks": locks(&open), "fingerprint": "x" }), true),
            (json!({ "locked": hash }), false),
        ] {
            assert_eq!(is_fixed(&metadata), expected, "{metadata}");
        }
    }

    #[test]
    fn work_trees_of_a_flake_and_its_unpinned_inputs() {
        let git = |url: &str| json!({ "type": "git", "url": url });
        let mut locked = git("file:///locked");
        locked["rev"] = json!("a");
        let nodes = json!({
            "root": {}, "a": { "locked": locked }, "b": { "locked": git("file:///open") },
            "c": { "locked": git("https://host/repo") }, "d": { "locked": { "type": "path", "path": "/d" } },
        });
        let mut own = git("file:///my%20pi");
        own["rev"] = json!("b");
        let metadata = json!({ "locked": own, "locks": { "root": "root", "nodes": nodes } });
        let found = work_trees(&metadata).collect::<Vec<_>>();
        assert_eq!(found, ["/my pi", "/open"].map(PathBuf::from));
        assert_eq!(work_trees(&json!({ "locked": { "type": "github" } })).count(), 0);
    }

    fn evaluated(number: usize) -> Evaluated {
        Evaluated { result: json!(number), warnings: vec!["w".to_owned()] }
    }

    #[test]
    fn the_oldest_results_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let cache = EvalCache::new(dir.path());
        let file = |number: usize| cache.folder.join(format!("{number}.json"));
        for number in 0..MAX_ENTRIES {
            cache.store(&file(number), &evaluated(number)).unwrap();
            let age = std::time::Duration::from_secs((2 * MAX_ENTRIES - number) as u64);
            let stored = fs::File::open(file(number)).unwrap();
            stored.set_modified(std::time::SystemTime::now() - age).unwrap();
        }
        assert_eq!(load(&file(0)), Some(evaluated(0)));
        cache.store(&file(MAX_ENTRIES), &evaluated(MAX_ENTRIES)).unwrap();
        assert_eq!((load(&file(0)), load(&file(1))), (None, Some(evaluated(1))));
        assert_eq!(load(&file(MAX_ENTRIES)), Some(evaluated(MAX_ENTRIES)));
    }

    #[test]
    fn only_regular_files_of_reasonable_size_are_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let cache = EvalCache::new(dir.path());
        let elsewhere = dir.path().join("elsewhere");
        let file = cache.folder.join("a.json");
        cache.store(&file, &evaluated(1)).unwrap();
        fs::rename(&file, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
        assert_eq!(load(&file), None);
        fs::remove_file(&file).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &file, 0o600.into()).unwrap();
        assert_eq!(load(&file), None);
        fs::remove_file(&file).unwrap();
        fs::File::create(&file).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(load(&file), None);
        cache.store(&file, &evaluated(2)).unwrap();
        assert_eq!(load(&file), Some(evaluated(2)));
    }

    #[test]
    fn fuzz() {
        let metadata = json!({
            "fingerprint": "x", "locked": { "type": "git", "url": "file:///my%20pi", "narHash": "sha256-x" },
            "locks": { "root": "root", "nodes": { "root": {}, "a": { "locked": { "narHash": "sha256-y" } } } },
        });
        crate::base::fuzz::check(&[metadata.to_string().as_bytes()], |bytes| {
            let metadata = serde_json::from_slice(bytes).unwrap_or_default();
            (is_fixed(&metadata), work_trees(&metadata).count())
        });
    }
}
