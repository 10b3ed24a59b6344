//! Changes that are made, cut off at every step, refused, and made by two runs at once.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;
use crate::base::failure::{ExitKind, kind, with_hint};
use crate::identity::key::PublicKey;
use crate::identity::secret::Secret;
use crate::identity::stored::KeyPair;

const KEYS: [&str; 2] = [
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKCcGufY3wZYjbxCpm9xo3W2XeGl1+70HxLJuItPZBaw",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA8Zi3n7QmQeAeBK3r2lT8pGkTzQZLD8CGSrjZ6bVj4t",
];

/// A project with a published `known_hosts`.
struct Project {
    dir: tempfile::TempDir,
    identities: Identities,
}

impl Project {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let flake = dir.path().join("flake");
        fs::create_dir(&flake).unwrap();
        fs::write(flake.join("flake.nix"), "{ }").unwrap();
        let flake = FlakeRef::of_folder(&flake);
        let identities = Identities::new(&dir.path().join("state"), &flake, None).unwrap();
        Self { dir, identities }
    }

    /// Makes the identity of `host` with the key of this number, known and published.
    fn add(&self, host: &str, number: usize) {
        let mut change = self.identities.begin_change().unwrap();
        change.put(&identity(host, number)).unwrap();
        let keys = NewKeys::from([(host.into(), vec![KEYS[number].to_owned()])]);
        change.set_known(keys.clone());
        change.set_published(keys);
        change.commit().unwrap();
    }

    /// Everything that a change may change: the key of each host and the lines of both files.
    fn snapshot(&self) -> Vec<String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.identities.folder()).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            if !entry.path().is_dir() {
                continue;
            }
            assert_eq!(entry.metadata().unwrap().mode() & 0o777, 0, "{name} is open");
            fs::set_permissions(entry.path(), PermissionsExt::from_mode(0o700)).unwrap();
            let key = fs::read_to_string(entry.path().join("ssh_host_ed25519_key")).unwrap();
            fs::set_permissions(entry.path(), PermissionsExt::from_mode(0o0)).unwrap();
            found.push(format!("{name} {key}"));
        }
        for file in [&self.identities.known_hosts.path, self.identities.published.as_ref().unwrap().path()] {
            found.push(fs::read_to_string(file).unwrap_or_default());
        }
        found.sort();
        found
    }
}

fn identity(host: &str, number: usize) -> StoredIdentity {
    let public = PublicKey::parse(KEYS[0]).unwrap();
    let private = Secret::new(format!("private {number}").into_bytes());
    let key = Some(KeyPair { private, public });
    StoredIdentity { host: host.into(), key, pending: None, known: None }
}

/// A change of `project` that is not committed yet: `a` is replaced, `b` removed, `c` renamed to `d`.
fn prepare(project: &Project) -> Change<'_> {
    let mut change = project.identities.begin_change().unwrap();
    change.put(&identity("a", 1)).unwrap();
    change.remove(&"b".into());
    change.rename(&"c".into(), &"d".into());
    let keys = NewKeys::from([
        ("a".into(), vec![KEYS[1].to_owned()]),
        ("b".into(), Vec::new()),
        ("c".into(), Vec::new()),
        ("d".into(), vec![KEYS[0].to_owned()]),
    ]);
    change.set_known(keys.clone());
    change.set_published(keys);
    change
}

fn project_with_three_hosts() -> Project {
    let project = Project::new();
    for host in ["a", "b", "c"] {
        project.add(host, 0);
    }
    project
}

#[test]
fn a_change_is_made_as_a_whole() {
    let project = project_with_three_hosts();
    prepare(&project).commit().unwrap();
    let lines = format!("a {}\nd {}\n", KEYS[1], KEYS[0]);
    assert_eq!(project.snapshot(), ["a private 1".into(), lines.clone(), lines, "d private 0".into()]);
    let names = fs::read_dir(project.identities.folder()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names = names.map(|name| name.into_string().unwrap()).collect::<Vec<_>>();
    names.sort();
    let locks = [".access.lock", ".change.lock", ".known_hosts.lock", ".published.lock"];
    let expected =
        locks.iter().chain(&["a", "d", "known_hosts"]).filter(|name| names.contains(&(**name).to_owned()));
    assert_eq!(names.iter().map(String::as_str).collect::<Vec<_>>(), expected.copied().collect::<Vec<_>>());
}

/// A power cut after each write leaves the old state or the new one.
#[test]
fn a_change_that_is_cut_off_is_finished_or_was_never_made() {
    let project = project_with_three_hosts();
    let old = project.snapshot();
    // Before the journal, whatever was prepared is swept away.
    drop(prepare(&project));
    assert!(!project.identities.finish_interrupted_change().unwrap());
    assert_eq!(project.snapshot(), old);
    let made = project_with_three_hosts();
    prepare(&made).commit().unwrap();
    let new = made.snapshot();
    let steps = prepare(&project_with_three_hosts()).journal.steps();
    assert_eq!(steps, 6);
    for cut in 0..=steps {
        let project = project_with_three_hosts();
        let change = prepare(&project);
        change.journal.write(project.identities.folder()).unwrap();
        for step in 0..cut {
            change.journal.run_step(&project.identities, step).unwrap();
        }
        drop(change);
        assert!(project.identities.finish_interrupted_change().unwrap());
        assert_eq!(project.snapshot(), new, "cut after step {cut}");
        assert!(!project.identities.finish_interrupted_change().unwrap());
    }
}

#[test]
fn what_a_killed_run_prepared_is_closed_to_others_and_removed() {
    let project = Project::new();
    project.add("a", 0);
    let old = project.snapshot();
    let mut change = project.identities.begin_change().unwrap();
    change.put(&identity("b", 1)).unwrap();
    let staged = project.identities.folder().join(".new.b");
    assert_eq!(staged.metadata().unwrap().mode() & 0o777, 0);
    assert_eq!(project.identities.hosts().unwrap(), ["a".into()].into());
    drop(change);
    assert!(!staged.exists());
    assert_eq!(project.snapshot(), old);
}

#[test]
fn a_failed_step_is_undone() {
    let project = project_with_three_hosts();
    let old = project.snapshot();
    let change = prepare(&project);
    // Somebody else puts a folder where the renamed one must go.
    let taken = project.identities.folder().join("d");
    fs::create_dir(&taken).unwrap();
    let error = change.commit().unwrap_err();
    assert!(with_hint(&error).contains("nothing was changed: renaming"), "{error:#}");
    fs::remove_dir(&taken).unwrap();
    assert_eq!(project.snapshot(), old);
    assert!(!Journal::exists(project.identities.folder()));
}

/// Also all lines of a host that had several.
#[test]
fn keys_that_were_written_are_undone() {
    let project = project_with_three_hosts();
    let published = project.identities.published.as_ref().unwrap().path().to_owned();
    let two = NewKeys::from([("a".into(), KEYS.map(str::to_owned).to_vec())]);
    project.identities.known_hosts.set_all(&two).unwrap();
    let elsewhere = project.dir.path().join("elsewhere");
    fs::rename(&published, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &published).unwrap();
    let old = project.snapshot();
    let change = prepare(&project);
    let error = change.commit().unwrap_err();
    assert!(with_hint(&error).contains("nothing was changed: "), "{error:#}");
    assert_eq!(project.snapshot(), old);
    assert_eq!(project.identities.known_hosts.keys_of("a").unwrap(), KEYS);
}

#[test]
fn two_changes_exclude_each_other_and_a_run_that_uses_the_key() {
    let project = Project::new();
    project.add("a", 0);
    let mut change = project.identities.begin_change().unwrap();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| project.add("b", 1));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!second.is_finished());
        change.lock_key(&"a".into()).unwrap();
        let folder = project.identities.key_folder(&"a".into()).unwrap();
        let error = folder.lock_for_change().unwrap_err();
        assert!(error.to_string().starts_with("another run is using the key of a"), "{error}");
        drop(change);
        second.join().unwrap();
    });
    assert_eq!(project.identities.hosts().unwrap(), ["a".into(), "b".into()].into());
}

/// Every run of the tool closes the folders that an earlier one left open.
#[test]
fn a_run_that_closes_folders_hinders_no_change() {
    let project = Project::new();
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                crate::identity::make_all_unreadable(project.identities.folder()).unwrap();
            }
        });
        let changed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for number in 0..20 {
                project.add("a", number % 2);
            }
        }));
        is_done.store(true, std::sync::atomic::Ordering::Relaxed);
        changed.unwrap();
    });
    assert!(project.snapshot()[0].starts_with("a "), "{:?}", project.snapshot());
}

#[test]
fn a_damaged_journal_is_refused_and_changes_nothing() {
    let project = project_with_three_hosts();
    let old = project.snapshot();
    let journal = project.identities.folder().join(".change.json");
    for text in [
        "",
        "{}",
        r#"{"version":9,"renames":[],"keys":[]}"#,
        r#"{"version":1,"renames":[["a","../../x"]],"keys":[]}"#,
        r#"{"version":1,"renames":[["..","b"]],"keys":[]}"#,
    ] {
        fs::write(&journal, text).unwrap();
        let error = project.identities.finish_interrupted_change().unwrap_err();
        assert_eq!(kind(&error), ExitKind::Refused, "{text}");
        fs::remove_file(&journal).unwrap();
        assert_eq!(project.snapshot(), old, "{text}");
    }
}

#[test]
fn of_a_linked_folder_only_the_link_is_removed() {
    let project = Project::new();
    project.add("a", 0);
    let elsewhere = project.dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("letter"), "").unwrap();
    std::os::unix::fs::symlink(&elsewhere, project.identities.folder().join("b")).unwrap();
    let mut change = project.identities.begin_change().unwrap();
    change.remove(&"b".into());
    change.commit().unwrap();
    assert!(elsewhere.join("letter").exists());
    assert!(project.identities.folder().join("b").symlink_metadata().is_err());
}
