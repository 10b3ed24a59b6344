//! The answers of earlier evaluations. Flakes are evaluated purely: as long as a flake is the same, so is the answer.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use super::FEATURES;
use crate::base::process::Launcher;
use crate::base::{git, percent_encoding, state};

/// How many answers are kept.
const MOST: usize = 64;
/// The most bytes that are read of one.
const LARGEST: u64 = 64 << 20;

/// The answers in a folder of the project's state.
pub struct EvalCache {
    folder: PathBuf,
}

impl EvalCache {
    pub fn new(state: &Path) -> Self {
        Self { folder: state.join("evaluations") }
    }

    /// The answer to `question` about `flake`: that of an earlier evaluation of the very same flake, if it `serves`,
    /// or what `evaluate` returns.
    pub fn recall_or(
        &self,
        launcher: &Launcher,
        flake: &str,
        question: &str,
        serves: impl Fn(&Value) -> bool,
        evaluate: impl FnOnce() -> Result<Value>,
    ) -> Result<Value> {
        let question = format!("{}{question}", launcher.read("nix", &["--version"])?);
        let file = self.file(launcher, flake, &question);
        if let Some(answer) = file.as_deref().and_then(recall).filter(&serves) {
            return Ok(answer);
        }
        let answer = evaluate()?;
        // Somebody may have changed the flake meanwhile.
        if let Some(file) = file
            .filter(|_| serves(&answer))
            .filter(|file| self.file(launcher, flake, &question).as_ref() == Some(file))
        {
            // Where it cannot be kept, it is evaluated again the next time.
            let _ = self.keep(&file, &answer);
        }
        Ok(answer)
    }

    /// Where the answer is kept; `None` where nix does not tell this flake from others.
    fn file(&self, launcher: &Launcher, flake: &str, question: &str) -> Option<PathBuf> {
        let args = [&FEATURES[..], &["flake", "metadata", "--json", flake]].concat();
        let metadata = launcher.closed(|| launcher.read("nix", &args)).ok()?;
        let known = serde_json::from_str(&metadata).ok()?;
        (is_fixed(&known) && work_trees(&known).all(|folder| shows_changes(launcher, &folder)))
            .then_some(())?;
        let name = blake3::hash(format!("{}:{question}{metadata}", question.len()).as_bytes());
        Some(self.folder.join(format!("{}.json", name.to_hex())))
    }

    fn keep(&self, file: &Path, answer: &Value) -> Result<()> {
        state::private_folder(&self.folder)?;
        state::write(file, answer.to_string().as_bytes())?;
        let mut known = fs::read_dir(&self.folder)?
            .flatten()
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect::<Vec<_>>();
        known.sort_unstable();
        let surplus = known.len().saturating_sub(MOST);
        known[..surplus].iter().for_each(|(_, file)| drop(fs::remove_file(file)));
        Ok(())
    }
}

fn recall(file: &Path) -> Option<Value> {
    serde_json::from_slice(&state::read(file, LARGEST).ok()??).ok()
}

/// Whether what `nix flake metadata --json` says names the content of the flake and of all its inputs: by Nix's own
/// fingerprint, which flakes in plain folders do not have, or by the hash of each.
fn is_fixed(metadata: &Value) -> bool {
    let has_hash = |node: &Value| node["locked"]["narHash"].is_string();
    let (nodes, root) = (metadata["locks"]["nodes"].as_object(), metadata["locks"]["root"].as_str());
    let mut inputs = nodes.into_iter().flatten().filter(|(name, _)| Some(name.as_str()) != root);
    metadata["fingerprint"].is_string()
        || has_hash(metadata) && nodes.is_some() && inputs.all(|(_, node)| has_hash(node))
}

/// The work trees of git that Nix reads: that of the flake, and those of inputs that no lock holds to a commit.
fn work_trees(metadata: &Value) -> impl Iterator<Item = PathBuf> {
    let inputs = metadata["locks"]["nodes"].as_object().into_iter().flat_map(|nodes| nodes.values());
    let open = inputs.map(|node| &node["locked"]).filter(|locked| !locked["rev"].is_string());
    let git = std::iter::once(&metadata["locked"]).chain(open).filter(|locked| locked["type"] == "git");
    let folder =
        |locked: &Value| locked["url"].as_str()?.strip_prefix("file://").map(percent_encoding::decode);
    git.filter_map(folder).map(|bytes| PathBuf::from(OsString::from_vec(bytes)))
}

/// Whether git tells of all changes in a work tree. Nix (2.34) takes its word, and yet reads the files that it was told
/// to take for unchanged (`git update-index --assume-unchanged`), as is advised for secrets.
fn shows_changes(launcher: &Launcher, folder: &Path) -> bool {
    let unchanged = |line: &str| line.starts_with(|tag: char| tag.is_ascii_lowercase());
    git::capture(launcher, folder, git::Command::ListFiles, &[])
        .is_ok_and(|listed| listed.success() && !listed.stdout.lines().any(unchanged))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn flakes_that_are_told_from_others() {
        let (hash, open) = (json!({ "narHash": "sha256-x" }), json!({ "type": "git" }));
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
    fn work_trees_that_are_read() {
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

    #[test]
    fn the_oldest_answers_make_room() {
        let dir = tempfile::tempdir().unwrap();
        let answers = EvalCache::new(dir.path());
        let file = |number: usize| answers.folder.join(format!("{number}.json"));
        for number in 0..MOST {
            answers.keep(&file(number), &json!(number)).unwrap();
            let age = std::time::Duration::from_secs((2 * MOST - number) as u64);
            let kept = fs::File::open(file(number)).unwrap();
            kept.set_modified(std::time::SystemTime::now() - age).unwrap();
        }
        assert_eq!(recall(&file(0)), Some(json!(0)));
        answers.keep(&file(MOST), &json!("new")).unwrap();
        assert_eq!((recall(&file(0)), recall(&file(1))), (None, Some(json!(1))));
        assert_eq!(recall(&file(MOST)), Some(json!("new")));
    }

    #[test]
    fn what_is_no_answer() {
        let dir = tempfile::tempdir().unwrap();
        let (answers, elsewhere) = (EvalCache::new(dir.path()), dir.path().join("elsewhere"));
        let file = answers.folder.join("a.json");
        answers.keep(&file, &json!(1)).unwrap();
        fs::rename(&file, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
        assert_eq!(recall(&file), None);
        fs::remove_file(&file).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &file, 0o600.into()).unwrap();
        assert_eq!(recall(&file), None);
        fs::remove_file(&file).unwrap();
        fs::File::create(&file).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(recall(&file), None);
        answers.keep(&file, &json!(2)).unwrap();
        assert_eq!(recall(&file), Some(json!(2)));
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
