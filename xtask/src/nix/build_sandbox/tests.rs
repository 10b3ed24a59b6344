use serde_json::json;

use super::*;
use crate::base::failure::{ExitKind, kind};

fn settings(pairs: &[(&str, Value)]) -> Settings {
    Settings(pairs.iter().map(|(name, value)| ((*name).to_owned(), json!({ "value": value }))).collect())
}

#[test]
fn the_settings_and_the_access_decide_who_builds() {
    let alone = NixAccess { is_root: false, can_write: true, daemon: Daemon::None };
    let root = NixAccess { is_root: true, ..alone };
    let client = NixAccess { can_write: false, daemon: Daemon::Foreign, ..alone };
    let owner = NixAccess { daemon: Daemon::Own, ..alone };
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
        assert_eq!(settings(pairs).may_build_as_this_user(access), expected, "{pairs:?} {access:?}");
    }
}

#[test]
fn sandbox_paths_that_contain_the_keys_are_refused() {
    let keys = Path::new("/home/pi/flake/.xtask/identity");
    for (paths, expected) in [
        (json!([]), Ok(())),
        (json!(["/bin/sh=/nix/store/b", "/run/binfmt?"]), Ok(())),
        (json!(["/home?"]), Err(ExitKind::Refused)),
        (json!(["/seen=/home/pi"]), Err(ExitKind::Refused)),
        (json!({ "/seen": { "source": "/", "optional": false } }), Err(ExitKind::Refused)),
        (json!({ "/bin/sh": { "source": "/nix/store/b" } }), Ok(())),
    ] {
        let result = settings(&[("sandbox-paths", paths.clone())]).refuse_visible_keys(keys);
        assert_eq!(result.map_err(|error| kind(&error)), expected, "{paths}");
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
        let line = settings(&[("sandbox-paths", paths)]).existing_sandbox_paths();
        assert_eq!(line.as_deref(), expected);
    }
}

#[test]
fn arguments_that_weaken_the_sandbox_are_refused() {
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
        assert_eq!(refuse_weakening_settings(&words).is_ok(), accepted, "{line}");
    }
}

#[test]
fn fuzz() {
    let sample = r#"{"sandbox-paths":{"value":["/bin/sh=/nix/store/b","/run/x?"]},"store":{"value":"auto"}}"#;
    crate::base::fuzz::check_text(&[sample], |text| {
        let settings = Settings(serde_json::from_str(text).unwrap_or_default());
        let access = NixAccess { is_root: false, can_write: false, daemon: Daemon::None };
        (settings.may_build_as_this_user(access), settings.refuse_visible_keys(Path::new("/k")).is_ok())
    });
}
