//! The entries of the payload, and the lines of a plan about it.

use super::*;
use crate::base::failure::{ExitKind, kind, with_hint};

const LINE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKCcGufY3wZYjbxCpm9xo3W2XeGl1+70HxLJuItPZBaw";

fn key() -> (Identity, PublicKey, Secret) {
    let public = PublicKey::parse(LINE).unwrap();
    let identity = Identity { host: "pi".into(), fingerprint: public.fingerprint(), origin: KeyOrigin::New };
    (identity, public, Secret::new(b"private".to_vec()))
}

fn entry(path: &str, kind: EntryKind) -> PayloadEntry {
    PayloadEntry { path: path.into(), mode: 0o640, owner: Owner { user: 3, group: 4 }, kind }
}

fn file(path: &str) -> PayloadEntry {
    entry(path, EntryKind::File(Secret::new(b"12345".to_vec())))
}

#[test]
fn a_key_and_files_get_the_folders_above_them_and_are_planned() {
    let (identity, public, private) = key();
    let files = vec![
        file("wifi/home.conf"),
        entry("wifi", EntryKind::Folder),
        entry("z", EntryKind::Link("../a".into())),
    ];
    let all = Payload::gather(
        PayloadRoot::persist(),
        Some((identity, &public, private)),
        Some(("/files".into(), files)),
        Vec::new(),
    );
    let all = all.unwrap().unwrap();
    let lines = all.entries.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        lines,
        [
            "etc/ (mode 0755)",
            "etc/ssh/ (mode 0755)",
            "etc/ssh/ssh_host_ed25519_key (7 B, mode 0600)",
            "etc/ssh/ssh_host_ed25519_key.pub (84 B, mode 0644)",
            "wifi/ (mode 0640, owner 3:4)",
            "wifi/home.conf (5 B, mode 0640, owner 3:4)",
            "z (link to ../a)",
        ]
    );
    assert_eq!(all.summary(), "the identity of pi and 2 files");
    assert_eq!(
        all.to_string(),
        "key     SHA256:hDnkBipv08ZX2EQJwP4gN2mLnwYd4ZMyo6oUsECY7mY of pi (new)\n\
         files   wifi/home.conf (5 B, mode 0640, owner 3:4)\n        z (link to ../a)\n"
    );
}

#[test]
fn a_file_whose_path_begins_like_that_of_the_key_is_planned() {
    let (identity, public, private) = key();
    let names = ["-cert.pub", ".pub.old", "_2"].map(|ending| format!("{KEY}{ending}"));
    let files = names.iter().map(|name| file(name)).collect();
    let key = Some((identity, &public, private));
    let payload = Payload::gather(PayloadRoot::persist(), key, Some(("/files".into(), files)), Vec::new());
    let payload = payload.unwrap().unwrap();
    assert_eq!(payload.summary(), "the identity of pi and 3 files");
    for name in names {
        assert!(payload.to_string().contains(&format!(" {name} (")), "{payload}");
    }
}

#[test]
fn the_folders_of_the_root_need_blocks_and_inodes() {
    for (folder, expected) in [
        ("", Usage { blocks: 3, inodes: 1 }),
        ("/persist", Usage { blocks: 5, inodes: 2 }),
        ("/state/persist/host", Usage { blocks: 9, inodes: 4 }),
    ] {
        let root = PayloadRoot::new(folder, KEY).unwrap();
        let payload = Payload::gather(root, None, Some(("/files".into(), vec![file("a")])), Vec::new())
            .unwrap()
            .unwrap();
        assert_eq!(payload.max_usage(4), expected, "{folder}");
    }
}

#[test]
fn the_private_key_is_not_in_the_debug_output() {
    let (identity, public, private) = key();
    let payload =
        Payload::gather(PayloadRoot::persist(), Some((identity, &public, private)), None, Vec::new());
    assert!(!format!("{:?}", payload.unwrap().unwrap()).contains("private"));
}

#[test]
fn a_payload_has_a_key_or_files_or_is_none() {
    let (identity, public, private) = key();
    let one = Payload::gather(PayloadRoot::persist(), Some((identity, &public, private)), None, Vec::new())
        .unwrap()
        .unwrap();
    assert_eq!(one.summary(), "the identity of pi");
    let files = (0..14).map(|number| file(&format!("{number:02}"))).collect();
    let files = Payload::gather(PayloadRoot::persist(), None, Some(("/files".into(), files)), Vec::new())
        .unwrap()
        .unwrap();
    assert_eq!(
        (files.summary().as_str(), files.to_string().lines().last()),
        ("14 files", Some("        and 2 more"))
    );
    assert_eq!(Payload::gather(PayloadRoot::persist(), None, None, Vec::new()).unwrap(), None);
    assert_eq!(
        Payload::gather(PayloadRoot::persist(), None, Some(("/files".into(), Vec::new())), Vec::new())
            .unwrap(),
        None
    );
}

#[test]
fn files_with_another_host_key_are_refused() {
    let (identity, public, private) = key();
    let files = Some(("/files".into(), vec![file(KEY)]));
    let error =
        Payload::gather(PayloadRoot::persist(), Some((identity, &public, private)), files, Vec::new())
            .unwrap_err();
    assert_eq!(
        with_hint(&error),
        "--files contains etc/ssh/ssh_host_ed25519_key, which is also the host key; \
         remove it from --files, or pass --identity none"
    );
}

#[test]
fn a_file_in_place_of_a_folder_of_the_key_is_refused() {
    for (entry, text) in [
        (file("etc"), "--files contains etc, a file or link, but the card needs a folder there for etc/ssh"),
        (
            entry("etc/ssh", EntryKind::Link("../else".into())),
            "--files contains etc/ssh, a file or link, but the card needs a folder there for etc/ssh/ssh_host_ed25519_key",
        ),
    ] {
        let (identity, public, private) = key();
        let files = Some(("/files".into(), vec![entry]));
        let error =
            Payload::gather(PayloadRoot::persist(), Some((identity, &public, private)), files, Vec::new())
                .unwrap_err();
        assert_eq!((error.to_string().as_str(), kind(&error)), (text, ExitKind::Refused));
    }
    let beside = vec![file("etc-"), file("etc/sshd"), entry("etc", EntryKind::Folder)];
    assert!(
        Payload::gather(PayloadRoot::persist(), None, Some(("/files".into(), beside)), Vec::new()).is_ok()
    );
}

#[test]
fn a_name_is_shown_without_characters_that_reverse_the_text() {
    let link = entry("a\u{202e}b", EntryKind::Link("c\u{2067}d".into()));
    assert_eq!(link.to_string(), "a\\u{202e}b (link to c\\u{2067}d)");
}

#[test]
fn entries_of_the_tool_itself_join_those_of_the_folder() {
    let gather = |files: Vec<PayloadEntry>, own| {
        Payload::gather(PayloadRoot::persist(), None, Some(("/files".into(), files)), own)
    };
    let own = || vec![PayloadEntry { mode: 0o700, ..entry("var", EntryKind::Folder) }, file("var/x")];
    let lines = |files| {
        let payload = gather(files, own()).unwrap().unwrap();
        payload.entries.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let x = "var/x (5 B, mode 0640, owner 3:4)";
    assert_eq!(lines(Vec::new()), ["var/ (mode 0700, owner 3:4)", x]);
    assert_eq!(lines(vec![entry("var", EntryKind::Folder)]), ["var/ (mode 0640, owner 3:4)", x]);
    let error = gather(vec![file("var/x")], own()).unwrap_err();
    assert_eq!(error.to_string(), "--files contains var/x, which --ssh-key or --wifi also writes");
    let alone = Payload::gather(PayloadRoot::persist(), None, None, own()).unwrap().unwrap();
    assert!(alone.has_files() && alone.summary() == "1 file", "{}", alone.summary());
}
