use std::fs;

use super::*;
use crate::base::failure::{ExitKind, hint, kind};

fn parse(text: &str) -> FlakeRef {
    FlakeRef::parse(text).unwrap_or_else(|error| panic!("{text}: {error:#}"))
}

/// Makes the folder `name` in `root` with a flake, and returns its path.
fn make_flake(root: &Path, name: &str) -> PathBuf {
    let folder = root.join(name);
    fs::create_dir_all(folder.join("nix/deep")).unwrap();
    fs::write(folder.join("flake.nix"), "").unwrap();
    folder
}

/// Like [`make_flake`], with a git repository in the folder.
fn make_repository(root: &Path, name: &str) -> PathBuf {
    let folder = make_flake(root, name);
    fs::create_dir(folder.join(".git")).unwrap();
    folder
}

#[test]
fn references_to_folders_become_absolute() {
    let dir = tempfile::tempdir().unwrap();
    let root = &dir.path().canonicalize().unwrap();
    let plain = make_flake(root, "cluster");
    let text = plain.display().to_string();
    for (given, reference, folder) in [
        (text.clone(), text.clone(), plain.clone()),
        (format!("{text}?dir=nix"), format!("{text}?dir=nix"), plain.join("nix")),
        (format!("path:{text}"), format!("path:{text}"), plain.clone()),
        (format!("path:{text}?dir=nix"), format!("path:{text}?dir=nix"), plain.join("nix")),
        (
            format!("git+file://{text}?ref=main&dir=nix"),
            format!("git+file://{text}?ref=main&dir=nix"),
            plain.join("nix"),
        ),
        (format!("git+file:{text}"), format!("git+file://{text}"), plain.clone()),
        (format!("{text}/nix/.."), text.clone(), plain.clone()),
        (format!("{text}/flake.nix"), text.clone(), plain.clone()),
        (format!("{text}/flake.nix?ref=main"), format!("{text}?ref=main"), plain.clone()),
        (format!("path:{text}/flake.nix"), format!("path:{text}"), plain.clone()),
        (format!("git+file://{text}/flake.nix"), format!("git+file://{text}"), plain.clone()),
    ] {
        let parsed = parse(&given);
        assert_eq!(
            (parsed.as_str(), parsed.folder()),
            (reference.as_str(), Some(folder.as_path())),
            "{given}"
        );
    }
}

#[test]
fn names_that_nix_takes_for_something_else_are_encoded() {
    let dir = tempfile::tempdir().unwrap();
    let root = &dir.path().canonicalize().unwrap();
    let base = root.display();
    for (name, encoded) in
        [("a b", "a%20b"), ("a#b", "a%23b"), ("a?b", "a%3Fb"), ("zürich", "z%C3%BCrich"), ("100%", "100%25")]
    {
        let plain = make_flake(root, &format!("plain {name}"));
        let given = plain.display().to_string();
        assert_eq!(parse(&given).as_str(), format!("path:{base}/plain%20{encoded}"));
        assert_eq!(parse(&format!("path:{given}")).as_str(), format!("path:{base}/plain%20{encoded}"));
        let repository = make_repository(root, &format!("git {name}"));
        let given = repository.display().to_string();
        assert_eq!(parse(&given).as_str(), format!("git+file://{base}/git%20{encoded}"));
        assert_eq!(
            parse(&format!("git+file:{given}")).as_str(),
            format!("git+file://{base}/git%20{encoded}")
        );
        let inner = make_flake(&repository, "inner");
        let reference = parse(&inner.display().to_string());
        assert_eq!(reference.as_str(), format!("git+file://{base}/git%20{encoded}?dir=inner"));
        assert_eq!(reference.folder(), Some(inner.as_path()));
        assert_eq!(parse(&format!("path:{given}?dir=inner")).folder(), Some(inner.as_path()));
    }
}

#[test]
fn references_to_other_machines_and_archives_stay_as_they_are() {
    for text in [
        "github:owner/name",
        "flake:nixpkgs",
        "flake:cluster/main",
        "git+ssh://git@host/repo?ref=main",
        "https://host/a.tar.gz",
    ] {
        let parsed = parse(text);
        assert_eq!((parsed.as_str(), parsed.folder()), (text, None));
        parsed.check().unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a.tar.gz").display().to_string();
    fs::write(&archive, "").unwrap();
    assert_eq!(parse(&archive).folder(), None);
}

#[test]
fn other_texts_are_no_references() {
    for (text, expected) in [
        ("", "the flake reference is empty"),
        (".#stinky", "--flake takes a flake, and `#stinky` names an attribute of one"),
        ("github:o/f#x", "--flake takes a flake, and `#x` names an attribute of one"),
        ("a b", "`a b` is neither a folder nor a flake reference"),
        (" ", "` ` is neither a folder nor a flake reference"),
        ("-x", "`-x` is neither a folder nor a flake reference"),
        ("nope", "no flake in nope: there is no folder `nope`"),
        ("nope/main", "no flake in nope/main: there is no folder `nope/main`"),
    ] {
        let error = FlakeRef::parse(text).unwrap_err();
        assert_eq!((kind(&error), error.to_string().as_str()), (ExitKind::Usage, expected), "{text}");
        assert!(hint(&error).is_some_and(|hint| hint.contains("--flake")), "{text}");
    }
}

#[test]
fn the_hint_about_an_attribute_names_a_flake_that_can_be_passed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = make_flake(dir.path(), "a#b").display().to_string();
    make_flake(dir.path(), "a");
    for (text, flake, attribute) in [
        ("#pi".to_owned(), ".".to_owned(), "pi"),
        (".#pi".to_owned(), ".".to_owned(), "pi"),
        ("path:.#pi".to_owned(), "path:.".to_owned(), "pi"),
        (format!("{folder}#pi"), format!("'{folder}'"), "pi"),
        (format!("{folder}?dir=nix#pi"), format!("'{folder}?dir=nix'"), "pi"),
        (format!("path:{folder}#pi"), format!("'path:{folder}'"), "pi"),
        (format!("path:{folder}?dir=nix#pi"), format!("'path:{folder}?dir=nix'"), "pi"),
        (format!("git+file:{folder}#images.pi"), format!("'git+file:{folder}'"), "images.pi"),
        (format!("git+file://{folder}#pi"), format!("'git+file://{folder}'"), "pi"),
        ("github:o/f#a#b".to_owned(), "github:o/f".to_owned(), "a#b"),
    ] {
        let error = FlakeRef::parse(&text).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("--flake takes a flake, and `#{attribute}` names an attribute of one")
        );
        let expected = format!("pass `--flake {flake}`, and the attribute as the host");
        assert_eq!(hint(&error), Some(&*expected), "{text}");
        parse(flake.trim_matches('\''));
    }
}

#[test]
fn a_folder_that_does_not_exist_is_not_the_flake_above() {
    let dir = tempfile::tempdir().unwrap();
    let plain = make_repository(dir.path(), "cluster").display().to_string();
    for rest in ["nope", "nope/", "nope/deeper", "nix/nope", "nope?ref=main"] {
        let error = parse(&format!("{plain}/{rest}")).check().unwrap_err();
        let folder = rest.split('?').next().unwrap();
        let expected = format!("no flake in {plain}/{folder}: there is no such folder");
        assert_eq!((kind(&error), error.to_string()), (ExitKind::Usage, expected), "{rest}");
    }
    let error = parse(&format!("{plain}/nix/deep")).check().unwrap_err();
    assert_eq!(error.to_string(), format!("no flake in {plain}/nix/deep: there is no flake.nix"));
}

/// However the user names a flake, its state is in one place.
#[test]
fn all_references_to_a_folder_have_one_place() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    for name in ["cluster", "a b#c"] {
        let plain = make_flake(&root, name);
        let link = root.join(format!("link to {name}"));
        std::os::unix::fs::symlink(&plain, &link).unwrap();
        let text = plain.display().to_string();
        let link = link.display().to_string();
        for given in [
            text.clone(),
            format!("{text}/"),
            format!("{text}/."),
            format!("{text}/nix/.."),
            format!("{text}/flake.nix"),
            format!("path:{text}"),
            format!("git+file:{text}"),
            format!("git+file://{}?ref=main", encode(&plain)),
            link.clone(),
            format!("{link}/"),
            format!("path:{link}"),
        ] {
            let parsed = parse(&given);
            assert_eq!(parsed.place(), plain.clone().into_os_string(), "{given}");
            assert!(parsed.is_same(&text) && parse(&text).is_same(&given), "{given}");
        }
        assert!(!parse(&text).is_same(&format!("{text}?dir=nix")));
    }
}

#[test]
fn links_to_folders_are_resolved() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let plain = make_flake(&root, "real/cluster").display().to_string();
    std::os::unix::fs::symlink("real/cluster", root.join("link")).unwrap();
    std::os::unix::fs::symlink("real", root.join("parent")).unwrap();
    for name in ["link", "link/", "parent/cluster", "link/flake.nix"] {
        let given = format!("{}/{name}", root.display());
        for (scheme, expected) in [("", ""), ("path:", "path:"), ("git+file:", "git+file://")] {
            assert_eq!(parse(&format!("{scheme}{given}")).as_str(), format!("{expected}{plain}"), "{name}");
        }
        assert_eq!(parse(&format!("{given}?dir=nix")).as_str(), format!("{plain}?dir=nix"), "{name}");
    }
}

#[test]
fn a_folder_without_a_flake_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().display().to_string();
    for (folder, expected) in [
        (text.clone(), format!("no flake in {text}: there is no flake.nix")),
        (format!("{text}/none"), format!("no flake in {text}/none: there is no such folder")),
    ] {
        let error = parse(&folder).check().unwrap_err();
        assert_eq!((kind(&error), error.to_string()), (ExitKind::Usage, expected));
    }
    let found = make_flake(dir.path(), "found");
    parse(&found.display().to_string()).check().unwrap();
}

#[test]
fn nix_copies_all_files_or_those_that_git_lists() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let plain = make_flake(&root, "plain");
    let repository = make_repository(&root, "repository");
    fs::create_dir_all(repository.join("nix")).unwrap();
    fs::write(repository.join("nix/flake.nix"), "{ }").unwrap();
    let copied = |text: String| parse(&text).copied_files();
    assert_eq!(copied(plain.display().to_string()), Some(CopiedFiles::All(plain.clone())));
    let listed = Some(CopiedFiles::Listed(repository.clone()));
    assert_eq!(copied(repository.join("nix").display().to_string()), listed);
    assert_eq!(copied(format!("git+file://{}?dir=nix", repository.display())), listed);
    assert_eq!(copied(format!("path:{}", repository.display())), Some(CopiedFiles::All(repository)));
    assert_eq!(copied("github:owner/name".into()), None);
    assert_eq!(copied(root.display().to_string()), None, "no flake");
    let link = root.join("link");
    std::os::unix::fs::symlink(&plain, &link).unwrap();
    assert_eq!(copied(link.display().to_string()), Some(CopiedFiles::All(plain)));
}

#[test]
fn the_place_of_a_url_has_no_version() {
    for (text, expected) in [
        ("github:owner/name/main?dir=pi", "github:owner/name"),
        ("github:owner/name", "github:owner/name"),
        ("git+ssh://git@host/a/b/c?ref=main", "git+ssh://git@host/a/b/c"),
        ("git+https://me:secret@host/a.git?ref=main", "git+https://host/a.git"),
        ("flake:cluster/main?dir=pi", "cluster/main"),
    ] {
        assert_eq!(parse(text).place(), expected);
    }
    assert!(parse("git+https://me:new@host/a.git").is_same("git+https://me:old@host/a.git"));
    // The name in a registry of which an earlier version made a state folder.
    assert!(parse("flake:cluster/main").is_same("cluster/main"));
    assert!(!parse("flake:cluster/main").is_same("cluster"));
}

/// The path of a folder has a maximum length, so it can end only at one of the first few thousand signs.
#[test]
fn a_text_of_many_signs_is_read_in_little_time() {
    let begin = crate::base::fuzz::cpu_time();
    for signs in ["#", "?", "?#", "#?", "/?#"] {
        let _ = FlakeRef::parse(&format!("./{}", signs.repeat(30_000)));
    }
    let used = crate::base::fuzz::cpu_time().saturating_sub(begin);
    assert!(used.as_secs() < 5, "{used:?}");
}

#[test]
fn fuzz() {
    crate::base::fuzz::check_text(&["path:/a b?dir=c", "git+file:.?x#y", "./a%20b"], |text| {
        FlakeRef::parse(text).is_ok_and(|flake| flake.check().is_ok())
    });
}

#[test]
fn a_reference_to_a_git_repository_names_one() {
    let dir = tempfile::tempdir().unwrap();
    let root = &dir.path().canonicalize().unwrap();
    let plain = make_flake(root, "plain");
    let repository = make_repository(root, "repository");
    let bare = root.join("bare.git");
    fs::create_dir_all(bare.join("objects")).unwrap();
    fs::write(bare.join("HEAD"), "").unwrap();
    let [plain, repository, bare] = [plain, repository, bare].map(|folder| folder.display().to_string());
    let error = parse(&format!("git+file:{plain}")).check().unwrap_err();
    assert_eq!(hint(&error).unwrap(), format!("pass --flake {plain}, without `git+file:`"));
    fs::remove_file(format!("{repository}/nix/../flake.nix")).unwrap();
    assert!(parse(&format!("git+file:{repository}")).check().is_err());
    for given in [plain, format!("git+file:{repository}?ref=main"), format!("git+file:{bare}?dir=nix")] {
        parse(&given).check().unwrap();
    }
}
