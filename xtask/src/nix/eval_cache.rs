//! The cache of evaluations. Nix evaluates flakes purely: as long as a flake is the same, so is the result.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::warnings::WarningRecorder;
use super::{FEATURES, KEEP_LOCK, version};
use crate::base::process::{Bounds, Launcher, Output};
use crate::base::{FlakeRef, Reporter, git, percent_encoding, state};

/// The most results that are kept.
const MAX_ENTRIES: usize = 256;
/// The most bytes that are read of the file of a result, and of what Nix prints about a flake.
const MAX_BYTES: u64 = 64 << 20;

/// The cache in the folder `evaluations` of the state folder.
pub struct EvalCache {
    folder: PathBuf,
}

impl EvalCache {
    /// The cache in the state folder `state`.
    pub fn new(state: &Path) -> Self {
        Self { folder: state.join("evaluations") }
    }

    /// Whether any result was ever cached.
    pub fn exists(&self) -> bool {
        self.folder.is_dir()
    }

    /// The result of `expression` on `flake`: the cached result of the very same flake and Nix, if the result
    /// `is_valid`, otherwise the result that `evaluate` returns. `reporter` gets the warnings of the evaluation, also
    /// of a cached one.
    pub fn get_or_evaluate(
        &self,
        launcher: &Launcher,
        flake: &FlakeRef,
        expression: &str,
        is_valid: impl Fn(&Value) -> bool,
        reporter: &dyn Reporter,
        evaluate: impl FnOnce(&dyn Reporter) -> Result<Value>,
    ) -> Result<Value> {
        let before = Fingerprint::of(launcher, flake);
        let cached = before.as_ref().and_then(|fingerprint| load(&self.file(fingerprint, expression)));
        if let Some(cached) = cached.filter(|cached| is_valid(&cached.result)) {
            for text in &cached.warnings {
                reporter.warn_once(text);
            }
            return Ok(cached.result);
        }
        let recorder = WarningRecorder::new(reporter);
        let result = evaluate(&recorder)?;
        let evaluation = Evaluation { warnings: recorder.into_warnings(), result };
        if let Some(fingerprint) = before.filter(|_| is_valid(&evaluation.result)) {
            self.store_if_unchanged(launcher, flake, &fingerprint, expression, &evaluation);
        }
        Ok(evaluation.result)
    }

    /// Stores the `evaluation` of `expression` on `flake`, unless the flake has another fingerprint than `before` the
    /// evaluation. A result that cannot be stored is evaluated again the next time.
    fn store_if_unchanged(
        &self,
        launcher: &Launcher,
        flake: &FlakeRef,
        before: &Fingerprint,
        expression: &str,
        evaluation: &Evaluation,
    ) {
        // Somebody may have changed the flake during the evaluation.
        if Fingerprint::of(launcher, flake).as_ref() == Some(before) {
            let _ = self.write(&self.file(before, expression), evaluation);
        }
    }

    /// Stores the `result` of an evaluation without warnings for [`Self::get`], unless the flake has another
    /// fingerprint than `before` the evaluation.
    pub fn store(
        &self,
        launcher: &Launcher,
        flake: &FlakeRef,
        before: &Fingerprint,
        expression: &str,
        result: Value,
    ) {
        let evaluation = Evaluation { warnings: Vec::new(), result };
        self.store_if_unchanged(launcher, flake, before, expression, &evaluation);
    }

    /// The cached result of `expression` on the flake with this fingerprint; `None` where none is cached.
    pub fn get(&self, fingerprint: &Fingerprint, expression: &str) -> Option<Value> {
        load(&self.file(fingerprint, expression)).map(|cached| cached.result)
    }

    /// The file for the result of `expression` on the flake with this fingerprint.
    fn file(&self, fingerprint: &Fingerprint, expression: &str) -> PathBuf {
        let name = blake3::hash(format!("{}:{expression}{}", expression.len(), fingerprint.0).as_bytes());
        self.folder.join(format!("{}.json", name.to_hex()))
    }

    /// Writes `evaluation` to `file`, and removes the oldest files beyond [`MAX_ENTRIES`].
    fn write(&self, file: &Path, evaluation: &Evaluation) -> Result<()> {
        state::create_private_folder(&self.folder)?;
        state::write(file, &serde_json::to_vec(evaluation)?)?;
        let mut entries = fs::read_dir(&self.folder)?
            .flatten()
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect::<Vec<_>>();
        entries.sort_unstable();
        let surplus = entries.len().saturating_sub(MAX_ENTRIES);
        for (_modified, oldest) in &entries[..surplus] {
            let _ = fs::remove_file(oldest);
        }
        Ok(())
    }
}

/// The result of an evaluation, and its warnings, which every use of the result repeats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Evaluation {
    result: Value,
    warnings: Vec<String>,
}

/// The evaluation in `file`; `None` where the file is missing or unusable.
fn load(file: &Path) -> Option<Evaluation> {
    serde_json::from_slice(&state::read(file, MAX_BYTES).ok()??).ok()
}

/// A text that identifies the content of a flake and of all its inputs, and the Nix that evaluates them: with the same
/// fingerprint, an expression has the same result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The fingerprint of `flake` as it is now; `None` where Nix does not identify its content.
    pub fn of(launcher: &Launcher, flake: &FlakeRef) -> Option<Self> {
        let nix = version::identity(launcher)?;
        let args = [&FEATURES[..], &["flake", "metadata", "--json", KEEP_LOCK, flake.as_str()]].concat();
        let bounds = Bounds { output: MAX_BYTES, time: launcher.evaluation_limit().duration() };
        let read = || launcher.run_bounded("nix", &args, bounds, &|| Ok(()));
        let output = launcher.run_protected(read).ok().filter(Output::success)?;
        let metadata = serde_json::from_str(&output.stdout).ok()?;
        let hides_changes = || work_trees(&metadata).any(|folder| git_can_hide_changes(launcher, &folder));
        let is_identified = identifies_content(&metadata) && !hides_changes();
        is_identified.then(|| Self(format!("{nix}\n{}", output.stdout)))
    }
}

/// Whether `metadata`, the output of `nix flake metadata --json`, identifies the content of the flake and of all its
/// inputs: by Nix's own fingerprint, which flakes in plain folders lack, or by the hash of the flake and of each input.
fn identifies_content(metadata: &Value) -> bool {
    if metadata["fingerprint"].is_string() {
        return true;
    }
    let has_hash = |node: &Value| node["locked"]["narHash"].is_string();
    let Some(nodes) = metadata["locks"]["nodes"].as_object() else { return false };
    let root = metadata["locks"]["root"].as_str();
    let mut inputs = nodes.iter().filter(|(name, _)| Some(name.as_str()) != root);
    has_hash(metadata) && inputs.all(|(_, node)| has_hash(node))
}

/// The git work trees that Nix reads: the work tree of the flake, and those of inputs that the lock pins to no commit.
fn work_trees(metadata: &Value) -> impl Iterator<Item = PathBuf> {
    let inputs = metadata["locks"]["nodes"].as_object().into_iter().flat_map(|nodes| nodes.values());
    let unpinned = inputs.map(|node| &node["locked"]).filter(|locked| !locked["rev"].is_string());
    let sources = std::iter::once(&metadata["locked"]).chain(unpinned);
    let git_urls =
        sources.filter(|locked| locked["type"] == "git").filter_map(|locked| locked["url"].as_str());
    let paths = git_urls.filter_map(|url| url.strip_prefix("file://"));
    paths.map(|path| PathBuf::from(OsString::from_vec(percent_encoding::decode(path))))
}

/// Whether a file in the work tree `folder` may change without a change that git shows: after
/// `git update-index --assume-unchanged`, which is advised for secrets, or where git cannot list the files. Nix (2.34)
/// reads these files too, although git shows it no change.
fn git_can_hide_changes(launcher: &Launcher, folder: &Path) -> bool {
    // `git ls-files -v` marks such a file with a tag in lower case.
    let is_hidden = |line: &str| line.starts_with(|tag: char| tag.is_ascii_lowercase());
    git::capture(launcher, folder, git::Command::ListFiles, &[])
        .map_or(true, |output| !output.success() || output.stdout.lines().any(is_hidden))
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
            assert_eq!(identifies_content(&metadata), expected, "{metadata}");
        }
    }

    #[test]
    fn git_work_trees_of_the_flake_and_its_unpinned_inputs_are_found() {
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

    fn evaluation(number: usize) -> Evaluation {
        Evaluation { result: json!(number), warnings: vec!["w".to_owned()] }
    }

    #[test]
    fn the_oldest_results_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let cache = EvalCache::new(dir.path());
        let file = |number: usize| cache.folder.join(format!("{number}.json"));
        for number in 0..MAX_ENTRIES {
            cache.write(&file(number), &evaluation(number)).unwrap();
            let age = std::time::Duration::from_secs((2 * MAX_ENTRIES - number) as u64);
            let stored = fs::File::open(file(number)).unwrap();
            stored.set_modified(std::time::SystemTime::now() - age).unwrap();
        }
        assert_eq!(load(&file(0)), Some(evaluation(0)));
        cache.write(&file(MAX_ENTRIES), &evaluation(MAX_ENTRIES)).unwrap();
        assert_eq!((load(&file(0)), load(&file(1))), (None, Some(evaluation(1))));
        assert_eq!(load(&file(MAX_ENTRIES)), Some(evaluation(MAX_ENTRIES)));
    }

    #[test]
    fn only_regular_files_of_reasonable_size_are_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let cache = EvalCache::new(dir.path());
        let elsewhere = dir.path().join("elsewhere");
        let file = cache.folder.join("a.json");
        cache.write(&file, &evaluation(1)).unwrap();
        fs::rename(&file, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
        assert_eq!(load(&file), None);
        fs::remove_file(&file).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &file, 0o600.into()).unwrap();
        assert_eq!(load(&file), None);
        fs::remove_file(&file).unwrap();
        fs::File::create(&file).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(load(&file), None);
        cache.write(&file, &evaluation(2)).unwrap();
        assert_eq!(load(&file), Some(evaluation(2)));
    }

    #[test]
    fn fuzz() {
        let metadata = json!({
            "fingerprint": "x", "locked": { "type": "git", "url": "file:///my%20pi", "narHash": "sha256-x" },
            "locks": { "root": "root", "nodes": { "root": {}, "a": { "locked": { "narHash": "sha256-y" } } } },
        });
        crate::base::fuzz::check(&[metadata.to_string().as_bytes()], |bytes| {
            let metadata = serde_json::from_slice(bytes).unwrap_or_default();
            (identifies_content(&metadata), work_trees(&metadata).count())
        });
    }
}
