use std::sync::atomic::AtomicBool;

use super::super::programs::{E2fsprogs, Limits, ProgramSource};
use super::check as check_entries;
use super::*;

fn entry(path: &str, kind: EntryKind) -> PayloadEntry {
    PayloadEntry { path: path.into(), mode: 0o640, owner: Owner { user: 1000, group: 0x2_0003 }, kind }
}

fn file(path: &str) -> PayloadEntry {
    let content = EntryKind::File(Secret::new(b"psk".to_vec()));
    PayloadEntry { mode: 0o600, owner: Owner::ROOT, ..entry(path, content) }
}

/// Asserts the commands for `entries` in a file system that has `existing`; CONTENT stands for the paths of contents.
#[track_caller]
fn check(entries: &[PayloadEntry], existing: &[(&str, PathState)], expected: &[&str], replaced: &[&str]) {
    let state = |path: &str| existing.iter().find(|(known, _)| *known == path).map(|(_, state)| *state);
    let script =
        build_script(&PayloadRoot::persist(), entries, |path| Ok(state(path).unwrap_or(PathState::Missing)))
            .unwrap();
    let contents = script.contents.iter().map(memfd::path);
    let commands = contents.fold(script.commands, |text, path| text.replace(&path, "CONTENT"));
    assert_eq!(commands.lines().collect::<Vec<_>>(), expected);
    assert_eq!(script.replaced, replaced);
}

const ROOT: (&str, PathState) = ("/persist", PathState::Folder);

#[test]
fn a_payload_may_belong_into_the_root_of_the_partition() {
    let state = |path: &str| Ok(if path == "/" { PathState::Folder } else { PathState::Missing });
    let script = build_script(&PayloadRoot::partition(), &[file("psk")], state).unwrap();
    let commands = script.commands.replace(&memfd::path(&script.contents[0]), "CONTENT");
    let expected = ["cd /", "write CONTENT psk", "sif /psk mode 0100600", "sif /psk uid 0", "sif /psk gid 0"];
    assert_eq!(commands.lines().collect::<Vec<_>>(), expected);
}

/// debugfs has another working directory by then.
#[test]
fn entries_of_the_root_folder_are_there_after_a_file_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    std::fs::create_dir_all(tree.join("nix/store")).unwrap();
    std::fs::write(tree.join("old"), "of the image").unwrap();
    let path = dir.path().join("fs");
    std::fs::write(&path, crate::card::inspect::ext4::tests::make_ext4(&["-d", tree.to_str().unwrap()], 40))
        .unwrap();
    let link = entry("zlink", EntryKind::Link("nix".into()));
    let [etc, home] = ["etc", "home"].map(|name| entry(name, EntryKind::Folder));
    let old = entry("old", EntryKind::Link("etc/key".into()));
    let entries = [etc, file("etc/key"), home, file("home/key"), old, link];
    let state = |path: &str| Ok(if path == "/old" { PathState::Other } else { PathState::Missing });
    let script = build_script(&PayloadRoot::partition(), &entries, state).unwrap();
    let programs = E2fsprogs::find(ProgramSource::OnPath).unwrap();
    let cancel = AtomicBool::new(false);
    let limits = Limits { cancel: &cancel, memory: None };
    let stderr = programs.debugfs(&script, path.to_str().unwrap(), &limits).unwrap();
    let disk = File::open(&path).unwrap();
    let size = disk.metadata().unwrap().len();
    let budget = crate::card::inspect::Budget::without_stop();
    let names = crate::card::inspect::Ext4::open(&disk, 0, size, budget).unwrap().root_names().unwrap();
    let mut names = names.iter().map(|name| String::from_utf8_lossy(name)).collect::<Vec<_>>();
    names.retain(|name| !name.starts_with('.') && name != "lost+found");
    names.sort_unstable();
    assert_eq!(names, ["etc", "home", "nix", "old", "zlink"], "{stderr}");
    programs.e2fsck(path.to_str().unwrap(), &cancel).unwrap();
}

#[test]
fn the_missing_folders_of_the_root_are_made() {
    let root = PayloadRoot::new("/state/my keys", "etc/ssh/k").unwrap();
    let state = |path: &str| Ok(if path == "/state" { PathState::Folder } else { PathState::Missing });
    let script = build_script(&root, &[], state).unwrap();
    let expected = ["mkdir", "sif"].map(|word| format!("{word} \"/state/my keys\""));
    let lines = script.commands.lines().collect::<Vec<_>>();
    assert_eq!(lines.len(), 4);
    assert!(
        lines[0] == expected[0] && lines[1..].iter().all(|line| line.starts_with(&expected[1])),
        "{lines:?}"
    );
}

#[test]
fn a_root_that_cannot_be_made_is_refused() {
    let root = PayloadRoot::new("/state/my keys", "etc/ssh/k").unwrap();
    let error = build_script(&root, &[], |_| Ok(PathState::Other)).err().unwrap();
    assert_eq!(error.to_string(), "/state must be a folder, but is a file or a link in the image");
    assert!(super::check(&PayloadRoot::new("/a\nb", "k").unwrap(), &[]).is_err());
}

#[test]
fn commands_are_quoted_and_set_mode_and_owner() {
    let place = ["mkdir /./persist", "sif /persist mode 040755", "sif /persist uid 0", "sif /persist gid 0"];
    check(&[], &[], &place, &[]);
    check(
        &[entry("a b", EntryKind::Folder), file("a b/say \"x\"")],
        &[ROOT],
        &[
            "mkdir \"/persist/a b\"",
            "sif \"/persist/a b\" mode 040640",
            "sif \"/persist/a b\" uid 1000",
            "sif \"/persist/a b\" gid 131075",
            "cd \"/persist/a b\"",
            "write CONTENT \"say \"\"x\"\"\"",
            "sif \"/persist/a b/say \"\"x\"\"\" mode 0100600",
            "sif \"/persist/a b/say \"\"x\"\"\" uid 0",
            "sif \"/persist/a b/say \"\"x\"\"\" gid 0",
        ],
        &[],
    );
    check(
        &[entry("l", EntryKind::Link("../x y".into()))],
        &[ROOT, ("/persist/l", PathState::Other)],
        &[
            "rm /persist/l",
            "symlink /persist/l \"../x y\"",
            "sif /persist/l uid 1000",
            "sif /persist/l gid 131075",
        ],
        &["l"],
    );
    check(&[entry("f", EntryKind::Folder)], &[ROOT, ("/persist/f", PathState::Folder)], &[], &[]);
}

/// For the largest number of files with the longest paths, debugfs prints more than `OUTPUT_LIMIT`, the limit of the
/// other programs.
#[test]
fn thousands_of_files_with_long_paths_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fs");
    std::fs::write(&path, crate::card::inspect::ext4::tests::make_ext4(&["-N", "12000"], 40)).unwrap();
    let folder = "x".repeat(90);
    let mut entries = vec![entry(&folder, EntryKind::Folder)];
    entries
        .extend((0..9_999).map(|number| entry(&format!("{folder}/{number}"), EntryKind::Link("a".into()))));
    check_entries(&PayloadRoot::persist(), &entries).unwrap();
    let script = build_script(&PayloadRoot::persist(), &entries, |_| Ok(PathState::Missing)).unwrap();
    let programs = E2fsprogs::find(ProgramSource::OnPath).unwrap();
    let cancel = AtomicBool::new(false);
    let limits = Limits { cancel: &cancel, memory: None };
    let stderr = programs.debugfs(&script, path.to_str().unwrap(), &limits).unwrap();
    assert!(!stderr.contains("Could not"), "{stderr}");
    programs.e2fsck(path.to_str().unwrap(), &cancel).unwrap();
}

/// A deep tree has more bytes in its paths than in its files.
#[test]
fn paths_of_too_many_bytes_together_are_refused() {
    let deep = (1..1_500).map(|depth| entry(&"d/".repeat(depth), EntryKind::Folder)).collect::<Vec<_>>();
    let error = check_entries(&PayloadRoot::persist(), &deep).unwrap_err();
    assert_eq!(crate::base::failure::kind(&error), ExitKind::Refused);
    assert!(error.to_string().contains("have 2.1 MiB together, more than 1.0 MiB"), "{error}");
}

#[test]
fn a_file_replaces_no_folder_and_a_folder_no_file() {
    for (entry, existing, expected) in [
        (
            file("x"),
            PathState::Folder,
            "/persist/x is a folder in the image, which a file or a link cannot replace",
        ),
        (
            entry("x", EntryKind::Folder),
            PathState::Other,
            "/persist/x must be a folder, but is a file or a link in the image",
        ),
    ] {
        let state = |path: &str| Ok(if path == "/persist" { PathState::Folder } else { existing });
        let error = build_script(&PayloadRoot::persist(), &[entry], state).err().unwrap();
        assert_eq!(error.to_string(), expected);
    }
}

/// debugfs would run the rest of a longer line as a command of its own.
#[test]
fn a_command_is_never_longer_than_debugfs_reads_at_once() {
    let deep = vec!["\"".repeat(250); 15].join("/");
    let target = format!("{}!touch x", "f/".repeat(450));
    let refused = |entry: PayloadEntry, text: &str| {
        let path = format!("/persist/{}", entry.path);
        let written =
            build_script(&PayloadRoot::persist(), std::slice::from_ref(&entry), |_| Ok(PathState::Missing))
                .err()
                .unwrap();
        for error in [super::check(&PayloadRoot::persist(), &[entry]).unwrap_err(), written] {
            assert_eq!(crate::base::failure::kind(&error), ExitKind::Refused);
            assert_eq!(error.to_string(), text.replace("PATH", &path));
        }
    };
    let long = "PATH cannot be written to a card: its path, with the target of a link, is too long";
    refused(entry(&format!("{deep}/l"), EntryKind::Link(target.clone())), long);
    refused(file(&deep), long);
    refused(entry(&deep, EntryKind::Folder), long);
    refused(
        file("a\n!b"),
        "/persist/a\\u{a}!b cannot be written to a card: its path, or the target of a link, contains \
         control characters",
    );
    let fits = [entry("l", EntryKind::Link(target)), file(&"\"".repeat(1900))];
    super::check(&PayloadRoot::persist(), &fits).unwrap();
    let state = |path: &str| Ok(if path == "/persist" { PathState::Folder } else { PathState::Other });
    let script = build_script(&PayloadRoot::persist(), &fits, state).unwrap();
    assert!(script.commands.lines().all(|line| line.len() <= MAX_COMMAND && !line.starts_with('!')));
}
