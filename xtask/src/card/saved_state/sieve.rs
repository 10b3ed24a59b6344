//! Decides for each entry of a saved state whether a card gets it, and where.

use std::collections::HashSet;

use anyhow::Result;

use super::entry::{RawEntry, RawKind, StateEntry, StateKind};
use super::survey::Skipped;
use crate::bail;
use crate::base::Plain;
use crate::card::ext4::can_write;
use crate::identity::PayloadRoot;

/// Why a card does not get an entry.
const SPECIAL: &str = "special files (devices, sockets, pipes)";
const ELSEWHERE: &str = "entries outside of the folder of the state";
const UNWRITABLE: &str = "entries with names that cannot be written to a card";
const CLIMBING: &str = "entries with `..` in the path";
const HOST_KEY: &str = "entries of the host key, which the identity replaces";
const OTHER_NAME: &str = "entries with a hard link to what is not restored";

/// What a card does not get of an entry that it gets.
const ATTRIBUTES: &str =
    "sets of extended attributes (ACLs, capabilities), of entries that are restored without them";

/// The deepest folder: a path of more parts takes too long to find.
pub const MAX_DEPTH: usize = 200;
/// The most paths of skipped files that are remembered.
const MAX_SKIPPED: usize = 1_000_000;

/// Where the state is in its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// Below this folder, without `/` at its ends.
    Fixed(String),
    /// Below this folder if the first entry that is not around it is below it, and else at the top.
    Guessed(String),
}

/// Sieves the entries of one reading of a state.
pub struct Sieve<'a> {
    root: &'a PayloadRoot,
    prefix: Prefix,
    /// Whether the state is below the prefix; `None` until an entry tells.
    is_below: Option<bool>,
    pub skipped: Skipped,
    /// The paths of the files that no card gets, of which hard links may be other names.
    skipped_files: HashSet<String>,
}

impl<'a> Sieve<'a> {
    /// A sieve for a state that goes to `root`.
    pub fn new(root: &'a PayloadRoot, prefix: Prefix) -> Self {
        let is_below = matches!(prefix, Prefix::Fixed(_)).then_some(true);
        Self { root, prefix, is_below, skipped: Skipped::default(), skipped_files: HashSet::new() }
    }

    /// The entry that a card gets for `raw`; `None` for one that no card gets.
    ///
    /// # Errors
    /// `Refused` where it is ambiguous where the state is in its source, and for a path that is too deep.
    pub fn sift(&mut self, raw: RawEntry) -> Result<Option<StateEntry>> {
        let shown = String::from_utf8_lossy(&raw.path).into_owned();
        let Some(whole) = normalize(&raw.path) else {
            self.skipped.add(CLIMBING, &shown);
            return Ok(None);
        };
        let Ok(whole) = String::from_utf8(whole) else {
            self.skipped.add(UNWRITABLE, &shown);
            return Ok(None);
        };
        let Some(path) = self.below_prefix(&whole)? else { return Ok(None) };
        check_depth(&path)?;
        let Some(kind) = self.kind(raw.kind, &path)? else {
            if self.skipped_files.len() >= MAX_SKIPPED {
                bail!(Refused, "more than {MAX_SKIPPED} entries of the state cannot be restored");
            }
            self.skipped_files.insert(path);
            return Ok(None);
        };
        self.skipped_files.remove(&path);
        if raw.has_attributes {
            self.skipped.add(ATTRIBUTES, &path);
        }
        let mode = u16::try_from(raw.mode & 0o7777).unwrap_or_default();
        Ok(Some(StateEntry { path, kind, mode, owner: raw.owner, modified: raw.modified }))
    }

    /// The kind of the entry at `path`; `None`, and a note, for one that no card gets.
    fn kind(&mut self, raw: RawKind, path: &str) -> Result<Option<StateKind>> {
        if path.is_empty() && raw != RawKind::Folder {
            bail!(Refused, "the state is no folder");
        }
        let is_key = self.root.is_of_key(path);
        let target = match &raw {
            RawKind::Link(target) => std::str::from_utf8(target).map(str::to_owned),
            _ => Ok(String::new()),
        };
        let kind = match (raw, target) {
            (RawKind::Special, _) => Err(SPECIAL),
            (kind, _) if is_key && kind != RawKind::Folder => Err(HOST_KEY),
            (_, Err(_)) => Err(UNWRITABLE),
            (_, Ok(target)) if !can_write(&self.root.join(path), &target) => Err(UNWRITABLE),
            (RawKind::Folder, _) => Ok(StateKind::Folder),
            (RawKind::File(size), _) => Ok(StateKind::File(size)),
            (RawKind::Link(_), Ok(target)) => Ok(StateKind::Link(target)),
            (RawKind::HardLink(target), _) => match self.hard_link_target(&target)? {
                Some(target) if self.skipped_files.contains(&target) => Err(OTHER_NAME),
                Some(target) => Ok(StateKind::HardLink(target)),
                None => Err(ELSEWHERE),
            },
        };
        Ok(kind.map_err(|reason| self.skipped.add(reason, path)).ok())
    }

    /// The path of the first name of a file, below the prefix; `None` for a path elsewhere.
    fn hard_link_target(&mut self, target: &[u8]) -> Result<Option<String>> {
        let whole = normalize(target).and_then(|bytes| String::from_utf8(bytes).ok());
        let path = whole.map(|whole| self.below_prefix(&whole)).transpose()?.flatten();
        Ok(path.filter(|path| !path.is_empty() && !self.root.is_of_key(path)))
    }

    /// The part of `whole` below the prefix. `None` for a folder around the prefix, and for an entry elsewhere.
    fn below_prefix(&mut self, whole: &str) -> Result<Option<String>> {
        let (Prefix::Fixed(prefix) | Prefix::Guessed(prefix)) = &self.prefix;
        let below = rest_below(prefix, whole);
        let is_around = below.is_none() && rest_below(whole, prefix).is_some();
        if self.is_below.is_none() && !is_around && below != Some("") {
            self.is_below = Some(below.is_some());
        }
        match (self.is_below, below) {
            (Some(true), Some(path)) => Ok(Some(path.to_owned())),
            // The folder itself comes before its content, which tells.
            (None, Some(_)) => Ok(Some(String::new())),
            (Some(true), None) if !is_around => {
                self.skipped.add(ELSEWHERE, whole);
                Ok(None)
            }
            (Some(false), Some(path)) if !path.is_empty() => bail!(
                Refused, "the state has {}, and other entries outside of {prefix}: it is unknown which of both is meant",
                Plain(whole);
                hint: "name the folder of the state with --state-path"
            ),
            (Some(false), _) => Ok(Some(whole.to_owned())),
            (_, None) => Ok(None),
        }
    }
}

/// Refuses a `path` of more than [`MAX_DEPTH`] folders.
fn check_depth(path: &str) -> Result<()> {
    if path.matches('/').count() <= MAX_DEPTH {
        return Ok(());
    }
    let beginning = path.chars().take(60).collect::<String>();
    bail!(
        Refused, "a path of the state is more than {MAX_DEPTH} folders deep: {}…", Plain(beginning);
        hint: "leave it out of the state"
    )
}

/// The rest of `path` below `folder`; empty for `folder` itself, `None` for a path elsewhere. An empty folder contains
/// every path.
fn rest_below<'p>(folder: &str, path: &'p str) -> Option<&'p str> {
    if folder.is_empty() {
        return Some(path);
    }
    let rest = path.strip_prefix(folder)?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix('/') }
}

/// `path` without empty parts and `.`; `None` for one with `..`.
pub fn normalize(path: &[u8]) -> Option<Vec<u8>> {
    let parts = path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    let parts = parts.collect::<Vec<_>>();
    (!parts.contains(&&b".."[..])).then(|| parts.join(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::super::entry::Modified;
    use super::*;
    use crate::base::fuzz;
    use crate::identity::Owner;

    fn raw(path: &str, kind: RawKind) -> RawEntry {
        RawEntry {
            path: path.into(),
            kind,
            mode: 0o100_640,
            owner: Owner::ROOT,
            modified: Modified::default(),
            has_attributes: false,
        }
    }

    fn guessed() -> Prefix {
        Prefix::Guessed("nix/persist".into())
    }

    /// The paths that a card gets of files at `paths`, and the reasons for the others.
    fn sift(prefix: Prefix, paths: &[&str]) -> Result<(Vec<String>, Vec<String>)> {
        let root = PayloadRoot::persist();
        let mut sieve = Sieve::new(&root, prefix);
        let mut found = Vec::new();
        for path in paths {
            let kind = if path.ends_with('/') { RawKind::Folder } else { RawKind::File(1) };
            found.extend(sieve.sift(raw(path, kind))?.map(|entry| entry.path));
        }
        Ok((found, sieve.skipped.sentences().collect()))
    }

    #[test]
    fn the_folder_of_the_state_is_found_in_its_source() {
        let elsewhere = |path: &str| vec![format!("1 entry outside of the folder of the state: {path}")];
        for (paths, expected, skipped) in [
            (&["./", "./etc/", "./etc/a"][..], &["etc", "etc/a"][..], vec![]),
            (&["nix/", "nix/persist/", "nix/persist/a"], &["", "a"], vec![]),
            (&["/nix/persist/a", "/nix/persist/b/c"], &["a", "b/c"], vec![]),
            (&["nix/persist/a", "etc/b"], &["a"], elsewhere("etc/b")),
            (&["nix/other"], &["nix/other"], vec![]),
            (&["nixpersist/a"], &["nixpersist/a"], vec![]),
        ] {
            assert_eq!(
                sift(guessed(), paths).unwrap(),
                (expected.iter().map(ToString::to_string).collect(), skipped)
            );
        }
        let error = sift(guessed(), &["etc/a", "nix/persist/b"]).unwrap_err();
        assert!(error.to_string().starts_with("the state has nix/persist/b, and other entries"), "{error}");
        let fixed = Prefix::Fixed("srv".into());
        assert_eq!(
            sift(fixed, &["srv/", "srv/a", "b"]).unwrap(),
            (vec![String::new(), "a".into()], elsewhere("b"))
        );
    }

    #[test]
    fn what_no_card_gets_is_skipped_with_its_reason() {
        let root = PayloadRoot::persist();
        let mut sieve = Sieve::new(&root, Prefix::Fixed(String::new()));
        for (path, kind) in [
            ("run/socket", RawKind::Special),
            ("../../etc/passwd", RawKind::File(1)),
            ("a/../b", RawKind::Link(b"x".into())),
            ("two\nlines", RawKind::File(1)),
            ("link", RawKind::Link(b"two\nlines".into())),
            ("link", RawKind::Link(b"caf\xe9".into())),
            ("hard", RawKind::HardLink(b"../x".into())),
            ("etc/ssh/ssh_host_ed25519_key", RawKind::File(1)),
            ("etc/ssh/ssh_host_ed25519_key.pub", RawKind::Link(b"x".into())),
        ] {
            assert_eq!(sieve.sift(raw(path, kind)).unwrap(), None, "{path}");
        }
        assert_eq!(sieve.skipped.sentences().count(), 5, "{:?}", sieve.skipped);
        let other_name = |sieve: &mut Sieve| sieve.sift(raw("b", RawKind::HardLink(b"run/socket".into())));
        assert_eq!(other_name(&mut sieve).unwrap(), None);
        assert_eq!(sieve.skipped.sentences().count(), 6, "{:?}", sieve.skipped);
        sieve.sift(raw("run/socket", RawKind::File(1))).unwrap().unwrap();
        other_name(&mut sieve).unwrap().unwrap();
        let kept = sieve.sift(raw("etc/ssh/ssh_host_ed25519_key_2", RawKind::File(1))).unwrap().unwrap();
        assert_eq!((kept.mode, kept.path.as_str()), (0o640, "etc/ssh/ssh_host_ed25519_key_2"));
    }

    #[test]
    fn a_path_that_is_too_deep_is_refused() {
        let root = PayloadRoot::persist();
        let mut sieve = Sieve::new(&root, Prefix::Fixed(String::new()));
        let mut deep = |depth| sieve.sift(raw(&format!("{}x", "d/".repeat(depth)), RawKind::File(1)));
        deep(MAX_DEPTH).unwrap().unwrap();
        let error = deep(MAX_DEPTH + 1).unwrap_err().to_string();
        assert!(error.starts_with("a path of the state is more than 200 folders deep: d/d/"), "{error}");
    }

    #[test]
    fn fuzz() {
        fuzz::check(&[b"a/./b//c", b"/nix/persist/x", b"../x"], |bytes| {
            let path = normalize(bytes).unwrap_or_default();
            assert!(!path.starts_with(b"/") && path.split(|byte| *byte == b'/').all(|part| part != b".."));
        });
    }
}
