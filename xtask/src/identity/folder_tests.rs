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
    let identity = Identity { host: "pi".into(), fingerprint: public.fingerprint(), novelty: Novelty::New };
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
