use serde_json::json;

use super::*;
use crate::base::failure::{ExitKind, kind};

fn settings(pairs: &[(&str, Value)]) -> Settings {
    Settings(pairs.iter().map(|(name, value)| ((*name).to_owned(), json!({ "value": value }))).collect())
}

#[test]
fn who_builds() {
    let alone = NixAccess { is_root: false, writes: true, daemon: None };
    let root = NixAccess { is_root: true, writes: true, daemon: None };
    let client = NixAccess { writes: false, daemon: Some(false), ..alone };
    let owner = NixAccess { daemon: Some(true), ..alone };
    let group = ("build-users-group", json!("nixbld"));
    let uids = ("auto-allocate-uids", json!(true));
    let store = |name: &str| ("store", json!(name));
    for (pairs, access, expected) in [
        (&[][..], alone, true),
        (&[], root, true),
        (&[], client, false),
        // Only root can become another user.
        (&[group.clone(), uids.clone()], alone, true),
        (std::slice::from_ref(&group), root, false),
        (&[("build-users-group", json!(""))], root, true),
        (std::slice::from_ref(&uids), root, true),
        (&[store("auto")], alone, true),
        (&[store("daemon")], alone, false),
        (&[store("daemon")], client, false),
        (&[store("daemon")], owner, true),
        (&[store("unix:///run/nix")], owner, true),
        (&[store("local?root=/x")], client, true),
        (&[store("/x")], client, true),
        (&[store("ssh-ng://host")], alone, false),
    ] {
        assert_eq!(settings(pairs).builds_as_this_user(access), expected, "{pairs:?} {access:?}");
    }
}

#[test]
fn the_sandbox_shows_no_keys() {
    let keys = Path::new("/home/pi/flake/.xtask/identity");
    for (paths, expected) in [
        (json!([]), Ok(())),
        (json!(["/bin/sh=/nix/store/b", "/run/binfmt?"]), Ok(())),
        (json!(["/home?"]), Err(ExitKind::Refused)),
        (json!(["/seen=/home/pi"]), Err(ExitKind::Refused)),
        (json!({ "/seen": { "source": "/", "optional": false } }), Err(ExitKind::Refused)),
        (json!({ "/bin/sh": { "source": "/nix/store/b" } }), Ok(())),
    ] {
        let refused = settings(&[("sandbox-paths", paths.clone())]).refuse_visible_keys(keys);
        assert_eq!(refused.map_err(|error| kind(&error)), expected, "{paths}");
    }
}

#[test]
fn sandbox_paths_that_do_not_exist_are_left_out() {
    for (paths, expected) in [
        (json!([]), None),
        (json!(["/bin/sh=/nowhere/sh"]), Some("sandbox-paths = ")),
        (json!(["/bin/sh=/nowhere/sh", "/etc", "/run/x?"]), Some("sandbox-paths = /etc=/etc /run/x=/run/x?")),
        (json!({ "/x": { "source": "/etc", "optional": false } }), None),
    ] {
        let found = settings(&[("sandbox-paths", paths)]).without_missing_paths();
        assert_eq!(found.as_deref(), expected);
    }
}

#[test]
fn arguments_that_weaken_the_sandbox() {
    for (line, accepted) in [
        ("--max-jobs 2 --option substitute false", true),
        ("--option sandbox-fallback true", false),
        ("--no-sandbox", false),
        ("--sandbox false", false),
        ("--extra-sandbox-paths /home", false),
        ("--option extra-sandbox-paths /home", false),
        ("--accept-flake-config", false),
        ("--option build-use-chroot false", false),
        ("-L --keep-going", true),
    ] {
        let words = line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(refuse_weakening(&words).is_ok(), accepted, "{line}");
    }
}

#[test]
fn trusted_settings_of_the_user() {
    for (trusted, expected) in [
        (json!({}), None),
        (json!({ "extra-substituters": { "https://c": true }, "sandbox": { "false": false } }), None),
        (json!({ "sandbox": { "false": true } }), Some("a flake must not set `sandbox`")),
        (json!([]), Some("the file cannot be read")),
    ] {
        assert_eq!(find_harmful(&trusted).as_deref(), expected, "{trusted}");
    }
}

#[test]
fn fuzz() {
    let samples = [r#"{"extra-substituters":{"https://c":true},"sandbox":{"false":true}}"#];
    crate::base::fuzz::check_text(&samples, |text| {
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        let _ = find_harmful(&value);
        let settings = Settings(value);
        let access = NixAccess { is_root: false, writes: false, daemon: None };
        let _ = (settings.builds_as_this_user(access), settings.refuse_visible_keys(Path::new("/k")));
    });
}
