//! Backups that are opened again, and files that are none.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;
use crate::base::failure::{ExitKind, kind, with_hint};
use crate::base::process::Launcher;
use crate::identity::import::read_key_file;
use crate::identity::stored::StoredIdentity;

/// A key of ssh-keygen in the folder `dir`. Returns its file.
fn make_key(dir: &Path, name: &str, passphrase: &str) -> PathBuf {
    let file = dir.join(name);
    let path = file.display().to_string();
    Launcher::new("/").read("ssh-keygen", &["-q", "-t", "ed25519", "-N", passphrase, "-f", &path]).unwrap();
    file
}

/// The identities of a host with a key and a pending one, and of a host whose public key alone is known.
fn identities(dir: &Path) -> Vec<StoredIdentity> {
    let pair = |name| read_key_file(&Launcher::new("/"), &make_key(dir, name, "")).unwrap().pair;
    let [key, pending] = [pair("key"), pair("pending")];
    let known = Some(key.public.line());
    vec![
        StoredIdentity { host: "pi".into(), known, key: Some(key), pending: Some(pending.clone()) },
        StoredIdentity { host: "seen".into(), known: Some(pending.public.line()), key: None, pending: None },
    ]
}

/// A sealing that costs no time.
fn recipients(dir: &Path) -> (Sealing, Opening) {
    let reader = make_key(dir, "reader", "");
    let sealing = Recipients::read(&[], &[reader.with_extension("pub")]).unwrap();
    let opening = AgeKeys::read(&[reader], |_, _| unreachable!()).unwrap();
    (Sealing::Recipients(sealing), Opening::Keys(opening))
}

fn refusal(result: Result<impl Sized>) -> String {
    let Err(error) = result else { panic!("nothing was refused") };
    assert_eq!(kind(&error), ExitKind::Refused, "{error:#}");
    with_hint(&error)
}

#[test]
#[ignore = "needs ssh-keygen: run `cargo xtask test`"]
fn a_backup_is_opened_by_each_recipient_and_by_the_passphrase() {
    let dir = tempfile::tempdir().unwrap();
    let stored = identities(dir.path());
    let archive = pack(&stored).unwrap();
    let [first, second, other] = ["first", "second", "other"].map(|name| make_key(dir.path(), name, ""));
    let public = fs::read_to_string(second.with_extension("pub")).unwrap();
    let age = age::x25519::Identity::generate();
    let age_file = dir.path().join("age.txt");
    let secret = age::secrecy::ExposeSecret::expose_secret(&age.to_string()).to_owned();
    fs::write(&age_file, format!("# created by a test\n{secret}\n")).unwrap();
    let words = [age.to_public().to_string(), public];
    let keys = Recipients::read(&words, &[first.with_extension("pub")]).unwrap();
    assert_eq!(keys.count(), 3);
    let sealed = seal(&archive, &Sealing::Recipients(keys)).unwrap();
    assert!(!is_for_passphrase(&sealed).unwrap());
    for file in [first, second, age_file] {
        let keys = AgeKeys::read(&[file], |_, _| unreachable!()).unwrap();
        let plain = open(&sealed, &Opening::Keys(keys)).unwrap().unwrap();
        assert_eq!(unpack(&Launcher::new("/"), &plain).unwrap(), stored);
    }
    let keys = AgeKeys::read(&[other], |_, _| unreachable!()).unwrap();
    assert_eq!(open(&sealed, &Opening::Keys(keys)).unwrap(), None);
    let passphrase = |text: &str| SecretString::from(text);
    let sealed = seal(&archive, &Sealing::Passphrase(passphrase("correct horse battery"))).unwrap();
    assert!(is_for_passphrase(&sealed).unwrap());
    let plain = open(&sealed, &Opening::Passphrase(passphrase("correct horse battery"))).unwrap().unwrap();
    assert_eq!(unpack(&Launcher::new("/"), &plain).unwrap(), stored);
    let wrong = open(&sealed, &Opening::Passphrase(passphrase("wrong horse battery")));
    assert_eq!(wrong.unwrap(), None);
}

#[test]
#[ignore = "needs ssh-keygen: run `cargo xtask test`"]
fn a_key_of_ssh_with_a_passphrase_opens_a_backup() {
    let dir = tempfile::tempdir().unwrap();
    let key = make_key(dir.path(), "locked", "open sesame");
    let sealing = Recipients::read(&[], &[key.with_extension("pub")]).unwrap();
    let sealed = seal(b"content", &Sealing::Recipients(sealing)).unwrap();
    let keys = AgeKeys::read(&[&key], |_, unlock| Ok(unlock(SecretString::from("open sesame")))).unwrap();
    assert_eq!(open(&sealed, &Opening::Keys(keys)).unwrap().unwrap(), b"content");
    let wrong = AgeKeys::read(&[&key], |_, unlock| Ok(unlock(SecretString::from("sesame"))));
    assert!(refusal(wrong).ends_with("its passphrase is another"));
}

#[test]
#[ignore = "needs ssh-keygen: run `cargo xtask test`"]
fn a_backup_that_is_cut_or_changed_at_any_place_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (sealing, opening) = recipients(dir.path());
    let sealed = seal(&pack(&identities(dir.path())).unwrap(), &sealing).unwrap();
    // A damaged key is another key.
    let refuse = |bytes: &[u8]| match open(bytes, &opening) {
        Ok(plain) => assert_eq!(plain, None),
        Err(error) => assert_eq!(kind(&error), ExitKind::Refused),
    };
    for length in (0..sealed.len()).step_by(37) {
        refuse(&sealed[..length]);
    }
    for place in (0..sealed.len()).step_by(41) {
        let mut damaged = sealed.clone();
        damaged[place] ^= 0x20;
        refuse(&damaged);
    }
}

#[test]
fn a_passphrase_that_costs_too_much_is_refused() {
    let text = format!(
        "age-encryption.org/v1\n-> scrypt {} 30\n{}\n--- {}\n0123456789abcdef",
        "A".repeat(22),
        "A".repeat(43),
        "A".repeat(43)
    );
    let opening = Opening::Passphrase(SecretString::from("x"));
    let refused = refusal(open(text.as_bytes(), &opening));
    assert!(refused.starts_with("the passphrase of the file would take 2^30 rounds"), "{refused}");
}

/// An archive of these entries: path, type and content.
fn archive(entries: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, kind, content) in entries {
        let mut header = tar::Header::new_old();
        // The library refuses some of these paths.
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
#[ignore = "needs ssh-keygen: run `cargo xtask test`"]
fn hostile_archives_are_refused() {
    use tar::EntryType;
    let manifest = ("manifest.json", EntryType::Regular, &br#"{"version":1}"#[..]);
    let file = EntryType::Regular;
    let large = vec![b'x'; 70_000];
    for (entries, expected) in [
        (vec![], "it has no manifest.json"),
        (vec![manifest], "the backup has 0 hosts"),
        (
            vec![("manifest.json", file, &br#"{"version":2}"#[..])],
            "has the version 2, and this tool reads version 1",
        ),
        (vec![("manifest.json", file, b"x")], "is no backup of identities"),
        (vec![manifest, manifest], "unexpected file: manifest.json"),
        (vec![manifest, ("identity/../x/ssh_host_ed25519_key", file, b"")], "unexpected file"),
        (vec![manifest, ("identity/../ssh_host_ed25519_key", file, b"")], "unexpected file"),
        (vec![manifest, ("/etc/passwd", file, b"")], "unexpected file: /etc/passwd"),
        (vec![manifest, ("identity/pi/other", file, b"")], "unexpected file: identity/pi/other"),
        (vec![manifest, ("identity/.new.pi/ssh_host_ed25519_key", file, b"")], "unexpected file"),
        (vec![manifest, ("identity/known_hosts/ssh_host_ed25519_key", file, b"")], "unexpected file"),
        (vec![manifest, ("identity/pi", EntryType::Symlink, b"")], "unexpected file: identity/pi"),
        (vec![manifest, ("identity/pi/ssh_host_ed25519_key", EntryType::Link, b"")], "unexpected file"),
        (
            vec![manifest, ("identity/pi/ssh_host_ed25519_key", file, b"x")],
            "the key of pi in the backup is damaged",
        ),
        (
            vec![manifest, ("identity/pi/ssh_host_ed25519_key", file, &large)],
            "larger than the limit of 64.0 KiB",
        ),
        (vec![manifest, ("identity/known_hosts", file, b"pi ssh-rsa x\n")], "unreadable public key of pi"),
    ] {
        let refused = refusal(unpack(&Launcher::new("/"), &archive(&entries)));
        assert!(refused.contains(expected), "{expected}: {refused}");
    }
}

#[test]
fn other_files_are_no_backups() {
    let opening = Opening::Passphrase(SecretString::from("x"));
    for (bytes, expected) in [
        (&b""[..], "the file is no backup of identities"),
        (b"PK\x03\x04", "the file is no backup of identities"),
        (b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n", "the file is armored"),
        (b"age-encryption.org/v1\n", "the backup is damaged or not complete"),
    ] {
        let refused = refusal(open(bytes, &opening));
        assert!(refused.starts_with(expected), "{refused}");
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("large");
    File::create(&file).unwrap().set_len(1 << 40).unwrap();
    assert!(refusal(read_file(&file)).ends_with("it is larger than the limit of 16.0 MiB"));
    assert!(refusal(read_file(dir.path())).ends_with("it is not a regular file"));
}

#[test]
#[ignore = "needs ssh-keygen: run `cargo xtask test`"]
fn private_and_other_keys_are_no_recipients() {
    let dir = tempfile::tempdir().unwrap();
    let private = make_key(dir.path(), "key", "");
    let none: [&Path; 0] = [];
    for word in ["AGE-SECRET-KEY-1QQQ", "ssh-rsa AAAA", "age1yubikey1q", "pi", "", "ssh-ed25519 AAAA"] {
        let error = Recipients::read(&[word.to_owned()], &none).err().unwrap();
        assert_eq!(kind(&error), ExitKind::Usage, "{word}");
        assert!(!with_hint(&error).contains("1QQQ"), "{error:#}");
    }
    let error = Recipients::read(&[], &[&private]).err().unwrap();
    assert!(with_hint(&error).contains("a recipient is a private key"), "{error:#}");
    assert!(refusal(check_passphrase(&SecretString::from("short"))).contains("fewer than 12 characters"));
}

#[test]
fn a_backup_is_private_and_replaces_no_file_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("backup");
    assert!(write_file(&file, b"one", false).unwrap());
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!write_file(&file, b"two", false).unwrap());
    assert_eq!(fs::read(&file).unwrap(), b"one");
    assert!(write_file(&file, b"three", true).unwrap());
    assert_eq!(fs::read(&file).unwrap(), b"three");
    write_file(&dir.path().join("none/backup"), b"", false).unwrap_err();
    assert_eq!(dir.path().read_dir().unwrap().count(), 1);
}

#[test]
#[ignore = "needs ssh-keygen: run `cargo xtask test`"]
fn fuzz() {
    let dir = tempfile::tempdir().unwrap();
    let (sealing, opening) = recipients(dir.path());
    let manifest = ("manifest.json", tar::EntryType::Regular, &br#"{"version":1}"#[..]);
    let known = ("identity/known_hosts", tar::EntryType::Regular, &b"pi ssh-ed25519 AAAA\n"[..]);
    let plain = archive(&[manifest, known]);
    let sealed = seal(&plain, &sealing).unwrap();
    crate::base::fuzz::check(&[&sealed, &plain], |bytes| {
        let _ = is_for_passphrase(bytes);
        (open(bytes, &opening).is_ok(), unpack(&Launcher::new("/nowhere"), bytes).is_ok())
    });
}
