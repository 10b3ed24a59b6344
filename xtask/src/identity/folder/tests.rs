//! Who may change the key of a host, and to what.

use super::*;

#[test]
fn nothing_but_its_own_key_is_settled() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new("pi", Some(dir.path())).unwrap();
    state::private_folder(folder.path()).unwrap();
    for (file, text) in [(FILE, "old"), (WAITING, "of another")] {
        fs::write(folder.path().join(file), text).unwrap();
    }
    let line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKCcGufY3wZYjbxCpm9xo3W2XeGl1+70HxLJuItPZBaw";
    let public = PublicKey::parse(line).unwrap();
    let identity = Identity { host: "pi".into(), fingerprint: public.fingerprint(), novelty: KeyOrigin::New };
    let (private, lock) = (Secret::new(b"own".to_vec()), folder.lock(Choice::New).unwrap());
    let key = HostKey { folder: folder.clone(), file: WAITING, identity, public, private, _lock: lock };
    let said = format!("{} is not the key any more that the card has", folder.waiting_place().display());
    assert_eq!(key.settle().unwrap_err().to_string(), said);
    assert_eq!(folder.read(FILE).unwrap().reveal(), b"old");
    assert_eq!(folder.read(WAITING).unwrap().reveal(), b"of another");
}

#[test]
fn who_may_change_the_key_is_alone() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new("pi", Some(dir.path())).unwrap();
    state::private_folder(folder.path()).unwrap();
    let first = folder.lock(Choice::Keep).unwrap();
    let place = folder.path().display();
    let said = format!("another run has the key of pi in hand ({place}); wait for its end");
    assert_eq!(folder.lock(Choice::Keep).unwrap_err().to_string(), said);
    drop(first);
    fs::write(folder.path().join(FILE), "").unwrap();
    let both = [Choice::Keep; 2].map(|choice| folder.lock(choice).unwrap());
    assert_eq!(folder.lock(Choice::New).unwrap_err().to_string(), said);
    drop(both);
    let _alone = folder.lock(Choice::New).unwrap();
    assert_eq!(folder.lock(Choice::Keep).unwrap_err().to_string(), said);
}

#[test]
fn a_key_that_is_no_file_of_this_user_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new("pi", Some(dir.path())).unwrap();
    state::private_folder(folder.path()).unwrap();
    let key = folder.path().join(FILE);
    let refused = || {
        let error = folder.public(&Launcher::new("/")).unwrap_err();
        assert_eq!(crate::base::failure::kind(&error), ExitKind::Refused, "{error:#}");
        error.to_string()
    };
    rustix::fs::mkfifoat(rustix::fs::CWD, &key, 0o600.into()).unwrap();
    assert_eq!(refused(), format!("the host key {} is no file; move it away", key.display()));
    fs::remove_file(&key).unwrap();
    let sparse = File::create(&key).unwrap();
    sparse.set_len(1 << 40).unwrap();
    sparse.set_permissions(fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(refused(), format!("{} is larger than 64.0 KiB, the most that is read of it", key.display()));
    // Another one could be put in the place of what the link leads to.
    let shared = dir.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).unwrap();
    fs::rename(&key, shared.join("key")).unwrap();
    std::os::unix::fs::symlink(shared.join("key"), &key).unwrap();
    assert!(refused().starts_with(&format!("{} has mode 0777", shared.display())));
}

/// Whatever runs meanwhile, such as the Nix of another run, finds the folder closed.
#[test]
fn nothing_else_runs_while_the_folder_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new("pi", Some(&dir.path().join("keys"))).unwrap();
    let made = folder.choose(&Launcher::new("/"), Choice::Keep).unwrap().unwrap();
    let (keygen, seen) = (dir.path().join("ssh-keygen"), dir.path().join("seen"));
    let script = format!(
        "#!/bin/sh\nstat -c %a {} >>{}\nPATH=${{PATH#*:}} exec ssh-keygen \"$@\"\n",
        folder.path().display(),
        seen.display()
    );
    fs::write(&keygen, script).unwrap();
    fs::set_permissions(&keygen, fs::Permissions::from_mode(0o755)).unwrap();
    let launcher = Launcher::new("/").with_path_front(dir.path());
    assert_eq!(folder.public(&launcher).unwrap().unwrap().line(), made.public.line());
    drop(made);
    let kept = folder.choose(&launcher, Choice::Keep).unwrap().unwrap();
    assert_eq!(kept.identity.novelty, KeyOrigin::Kept);
    assert_eq!(fs::read_to_string(&seen).unwrap(), "0\n0\n");
}
