//! Locks on the keys of a host, and keys that are refused.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::base::failure::{ExitKind, kind, with_hint};
use crate::base::program_file;
use crate::identity::payload::{Identity, KeyOrigin};

/// Opens `folder`, which the tool closes after each use: no user but root can read what is in a closed folder.
fn open(folder: &KeyFolder) {
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn only_the_key_on_the_card_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = KeyFolder::new(Path::new("/none"), &"pi".into(), Some(dir.path())).unwrap();
    state::create_private_folder(folder.path()).unwrap();
    for (file, text) in [(KEY_FILE, "old"), (PENDING, "of another run")] {
        fs::write(folder.path().join(file), text).unwrap();
    }
    let line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKCcGufY3wZYjbxCpm9xo3W2XeGl1+70HxLJuItPZBaw";
    let public = PublicKey::parse(line).unwrap();
    let identity = Identity { host: "pi".into(), fingerprint: public.fingerprint(), origin: KeyOrigin::New };
    let private = Secret::new(b"on the card".to_vec());
    let lock = folder.lock(KeyChoice::New).unwrap();
    let key = HostKey { folder: folder.clone(), file: PENDING, identity, public, private, _lock: lock };
    let message =
        format!("{} was replaced: it is no longer the key on the card", folder.pending_path().display());
    assert_eq!(key.commit().unwrap_err().to_string(), message);
    let read = |file| {
        open(&folder);
        folder.read(file).unwrap()
    };
    assert_eq!(read(KEY_FILE).reveal(), b"old");
    assert_eq!(read(PENDING).reveal(), b"of another run");
}

#[test]
fn a_change_of_the_key_excludes_other_runs() {
    let dir = tempfile::tempdir().unwrap();
    let folder = KeyFolder::new(Path::new("/none"), &"pi".into(), Some(dir.path())).unwrap();
    state::create_private_folder(folder.path()).unwrap();
    let first = folder.lock(KeyChoice::Keep).unwrap();
    let path = folder.path().display();
    let message = format!("another run is using the key of pi ({path}); wait until it ends");
    assert_eq!(with_hint(&folder.lock(KeyChoice::Keep).unwrap_err()), message);
    drop(first);
    fs::write(folder.path().join(KEY_FILE), "").unwrap();
    let both = [KeyChoice::Keep; 2].map(|choice| folder.lock(choice).unwrap());
    assert_eq!(with_hint(&folder.lock(KeyChoice::New).unwrap_err()), message);
    drop(both);
    let _exclusive = folder.lock(KeyChoice::New).unwrap();
    assert_eq!(with_hint(&folder.lock(KeyChoice::Keep).unwrap_err()), message);
}

#[test]
fn a_key_that_is_no_safe_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = KeyFolder::new(Path::new("/none"), &"pi".into(), Some(dir.path())).unwrap();
    state::create_private_folder(folder.path()).unwrap();
    let key = folder.path().join(KEY_FILE);
    let refused = || {
        let error = folder.public_key(&Launcher::new("/")).unwrap_err();
        assert_eq!(kind(&error), ExitKind::Refused, "{error:#}");
        open(&folder);
        with_hint(&error)
    };
    rustix::fs::mkfifoat(rustix::fs::CWD, &key, 0o600.into()).unwrap();
    assert_eq!(
        refused(),
        format!("the host key {} is not a file; move it away, then run the command again", key.display())
    );
    fs::remove_file(&key).unwrap();
    let sparse = File::create(&key).unwrap();
    sparse.set_len(1 << 40).unwrap();
    sparse.set_permissions(fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(refused(), format!("{} is larger than the limit of 64.0 KiB; move it away", key.display()));
    // Others could replace the file that the link leads to.
    let shared = dir.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).unwrap();
    fs::rename(&key, shared.join("key")).unwrap();
    std::os::unix::fs::symlink(shared.join("key"), &key).unwrap();
    assert!(refused().starts_with(&format!("{} has mode 0777", shared.display())));
}

/// Processes that run at the same time, such as the Nix of another run, find the folder closed.
#[test]
#[ignore = "needs ssh-keygen: run `cargo xtask test`"]
fn the_folder_is_closed_while_ssh_keygen_runs() {
    let dir = tempfile::tempdir().unwrap();
    let folder = KeyFolder::new(Path::new("/none"), &"pi".into(), Some(&dir.path().join("keys"))).unwrap();
    let made = folder.choose(&Launcher::new("/"), KeyChoice::Keep).unwrap().unwrap();
    let keygen = dir.path().join("ssh-keygen");
    let seen = dir.path().join("seen");
    let script = format!(
        "#!/bin/sh\nstat -c %a {} >>{}\nPATH=${{PATH#*:}} exec ssh-keygen \"$@\"\n",
        folder.path().display(),
        seen.display()
    );
    program_file::write(&keygen, script, 0o755).unwrap();
    let launcher = Launcher::new("/").with_path_front(dir.path());
    assert_eq!(folder.public_key(&launcher).unwrap().unwrap().line(), made.public.line());
    drop(made);
    let kept = folder.choose(&launcher, KeyChoice::Keep).unwrap().unwrap();
    assert_eq!(kept.identity.origin, KeyOrigin::Kept);
    assert_eq!(fs::read_to_string(&seen).unwrap(), "0\n0\n");
}
