//! The cache of evaluations. Nix evaluates flakes purely: as long as a flake is the same, so is the result.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fingerprint::Fingerprint;
use super::warnings::{WarningRecorder, is_of_machine};
use crate::base::process::Launcher;
use crate::base::{FlakeRef, Reporter, parallel, state};

/// The most results that are kept.
const MAX_ENTRIES: usize = 2048;
/// How many files are written at once.
const MAX_WRITES: usize = 16;
/// The most bytes that are read of the file of a result.
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
        let cached = before
            .as_ref()
            .and_then(|fingerprint| self.get_valid(fingerprint, expression, &is_valid, reporter));
        if let Some(result) = cached {
            return Ok(result);
        }
        let evaluation = Evaluation::record(reporter, evaluate)?;
        if let Some(fingerprint) = before.filter(|_| is_valid(&evaluation.result)) {
            self.store_if_unchanged(launcher, flake, &fingerprint, &[(expression, &evaluation)]);
        }
        Ok(evaluation.result)
    }

    /// The cached result of `expression` on the flake with this fingerprint, if it `is_valid`. `reporter` gets the
    /// warnings of its evaluation that another evaluation would have, too.
    pub fn get_valid(
        &self,
        fingerprint: &Fingerprint,
        expression: &str,
        is_valid: impl Fn(&Value) -> bool,
        reporter: &dyn Reporter,
    ) -> Option<Value> {
        let cached = load(&self.file(fingerprint, expression)).filter(|cached| is_valid(&cached.result))?;
        for text in cached.warnings.iter().filter(|text| !is_of_machine(text)) {
            reporter.warn_once(text);
        }
        Some(cached.result)
    }

    /// Stores the `evaluations` of expressions on `flake`, unless the flake has another fingerprint than `before` them.
    /// A result that cannot be stored is evaluated again the next time.
    pub fn store_if_unchanged(
        &self,
        launcher: &Launcher,
        flake: &FlakeRef,
        before: &Fingerprint,
        evaluations: &[(&str, &Evaluation)],
    ) {
        // Somebody may have changed the flake during the evaluation.
        if !evaluations.is_empty() && Fingerprint::of(launcher, flake).as_ref() == Some(before) {
            // Each file waits for its disk.
            parallel::map(MAX_WRITES, evaluations, |(expression, evaluation)| {
                let _ = self.write(&self.file(before, expression), evaluation);
            });
            let _ = self.trim();
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
        self.store_if_unchanged(launcher, flake, before, &[(expression, &evaluation)]);
    }

    /// The cached result of `expression` on the flake with this fingerprint; `None` where none is cached.
    pub fn get(&self, fingerprint: &Fingerprint, expression: &str) -> Option<Value> {
        load(&self.file(fingerprint, expression)).map(|cached| cached.result)
    }

    /// The file for the result of `expression` on the flake with this fingerprint.
    fn file(&self, fingerprint: &Fingerprint, expression: &str) -> PathBuf {
        let name =
            blake3::hash(format!("{}:{expression}{}", expression.len(), fingerprint.as_str()).as_bytes());
        self.folder.join(format!("{}.json", name.to_hex()))
    }

    /// Writes `evaluation` to `file`.
    fn write(&self, file: &Path, evaluation: &Evaluation) -> Result<()> {
        state::create_private_folder(&self.folder)?;
        state::write(file, &serde_json::to_vec(evaluation)?)
    }

    /// Removes the oldest files beyond [`MAX_ENTRIES`].
    fn trim(&self) -> Result<()> {
        let mut entries = fs::read_dir(&self.folder)?
            .flatten()
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect::<Vec<_>>();
        entries.sort_unstable();
        let surplus = entries.len().saturating_sub(MAX_ENTRIES);
        entries[..surplus].iter().for_each(|(_modified, oldest)| drop(fs::remove_file(oldest)));
        Ok(())
    }
}

/// The result of an evaluation, and its warnings, which every use of the result repeats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluation {
    pub result: Value,
    pub warnings: Vec<String>,
}

impl Evaluation {
    /// Runs `evaluate`, and records the warnings that it reports to `reporter`.
    ///
    /// # Errors
    /// That of `evaluate`.
    pub fn record(
        reporter: &dyn Reporter,
        evaluate: impl FnOnce(&dyn Reporter) -> Result<Value>,
    ) -> Result<Self> {
        let recorder = WarningRecorder::new(reporter);
        let result = evaluate(&recorder)?;
        Ok(Self { warnings: recorder.into_warnings(), result })
    }
}

/// The evaluation in `file`; `None` where the file is missing or unusable.
fn load(file: &Path) -> Option<Evaluation> {
    serde_json::from_slice(&state::read(file, MAX_BYTES).ok()??).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
        cache.trim().unwrap();
        assert_eq!((load(&file(0)), load(&file(1))), (None, Some(evaluation(1))));
        assert_eq!(load(&file(MAX_ENTRIES)), Some(evaluation(MAX_ENTRIES)));
    }

    #[test]
    fn warnings_of_settings_and_servers_are_not_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let cache = EvalCache::new(dir.path());
        let fingerprint = Fingerprint("f".to_owned());
        let [of_flake, of_settings, of_server] =
            ["w", "unknown setting 'x'", "unable to download 'http://h': HTTP error 502; Nix retries"];
        let warnings = [of_settings, of_flake, of_server].map(str::to_owned).to_vec();
        cache.write(&cache.file(&fingerprint, "e"), &Evaluation { warnings, result: json!(1) }).unwrap();
        let recorder = WarningRecorder::new(&crate::base::Silent);
        assert_eq!(cache.get_valid(&fingerprint, "e", |_| true, &recorder), Some(json!(1)));
        assert_eq!(recorder.into_warnings(), [of_flake]);
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
}
