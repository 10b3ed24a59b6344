//! The ways into a host: its warning where there are none, and the facts from which the tool knows where to write a
//! login key and a Wi-Fi network.

use serde_json::{Value, json};

use super::evaluate;

/// The facts of the variant `name` of the host `second`.
fn variant(name: &str) -> &'static Value {
    let facts = &evaluate()["waysIn"][name];
    assert!(facts.is_object(), "{name}");
    facts
}

#[test]
#[ignore = "needs Nix, XTASK_NIXPKGS and XTASK_INPUTS: run `cargo xtask test evaluation`"]
fn a_host_that_nobody_can_log_in_to_warns_with_the_option_to_set() {
    let no_key = "nobody can log in to second, which has neither a login key nor a password for ssh: put your public ssh key \
                  into hosts/common/keys/somebody.pub or into users.users.somebody.openssh.authorizedKeys.keys; or set \
                  users.allowNoPasswordLogin, if each card gets a key by `flash --ssh-key`";
    for (name, warning) in [
        ("blank", Some(no_key)),
        ("comment", Some(no_key)),
        ("garbage", Some(no_key)),
        ("privateKey", Some(no_key)),
        ("denied", Some(no_key)),
        ("deniedRoot", Some(no_key)),
        ("noSshd", Some("nobody can log in to second, which has no sshd: set services.openssh.enable; or ")),
        ("key", None),
        ("keyFile", None),
        ("options", None),
        ("root", None),
        ("password", None),
        ("meant", None),
    ] {
        let found = variant(name)["warnings"].as_array().expect("a list");
        assert_eq!(found.len(), usize::from(warning.is_some()), "{name}: {found:?}");
        let text = found.first().and_then(Value::as_str).unwrap_or_default();
        assert!(text.starts_with(warning.unwrap_or_default()), "{name}: {text}");
    }
}

#[test]
#[ignore = "needs Nix, XTASK_NIXPKGS and XTASK_INPUTS: run `cargo xtask test evaluation`"]
fn a_private_key_in_the_place_of_a_login_key_fails() {
    for (name, user) in [
        ("privateKey", Some("somebody")),
        ("privateKeyOfRoot", Some("root")),
        ("key", None),
        ("garbage", None),
    ] {
        let failed = variant(name)["failed"].as_array().expect("a list");
        assert_eq!(failed.len(), usize::from(user.is_some()), "{name}: {failed:?}");
        let text = failed.first().and_then(Value::as_str).unwrap_or_default();
        let start = user.map(|user| format!("a login key of {user} is a private key, "));
        assert!(text.starts_with(&start.unwrap_or_default()), "{name}: {text}");
    }
}

#[test]
#[ignore = "needs Nix, XTASK_NIXPKGS and XTASK_INPUTS: run `cargo xtask test evaluation`"]
fn the_users_that_sshd_lets_in_are_found_with_their_keys() {
    let on_card = "/nix/persist/etc/ssh/authorized_keys.d/";
    let user = |name: &str, keys: &str, files: &[&str]| {
        let is_person = name != "root";
        json!({
            "name": name, "is_normal": is_person, "is_admin": name == "somebody", "keys": keys,
            "has_password": name == "guest",
            "home_files": [if is_person { format!("/home/{name}/.ssh/authorized_keys") } else { "/root/.ssh/authorized_keys".to_owned() }],
            "files": files.iter().map(|folder| format!("{folder}{name}")).collect::<Vec<_>>()
        })
    };
    let unmanaged = [on_card, "/etc/ssh/authorized_keys.d/"];
    let somebody = || user("somebody", "", &unmanaged);
    for (name, users) in [
        ("blank", vec![somebody()]),
        // NixOS writes the file in /etc itself.
        ("key", vec![user("somebody", "ssh-ed25519 AAAA me", &[on_card])]),
        ("keyFile", vec![user("somebody", "ssh-ed25519 AAAA file\n", &[on_card])]),
        ("denied", Vec::new()),
        ("root", vec![user("root", "ssh-ed25519 AAAA root", &[on_card]), somebody()]),
        ("password", vec![user("guest", "", &unmanaged), somebody()]),
    ] {
        assert_eq!(variant(name)["logins"]["users"], json!(users), "{name}");
    }
    assert_eq!(variant("noSshd")["logins"]["is_enabled"], json!(false));
}

#[test]
#[ignore = "needs Nix, XTASK_NIXPKGS and XTASK_INPUTS: run `cargo xtask test evaluation`"]
fn the_program_for_wifi_is_found_with_its_files() {
    let wpa_supplicant = |reads_file: bool| {
        json!({
            "daemon": "wpa_supplicant", "secrets_file": "/nix/persist/etc/wireless.conf",
            "networks": [{ "ssid": "the name of the network", "secret": "home" }], "reads_file": reads_file
        })
    };
    for (name, wifi) in [
        ("blank", wpa_supplicant(true)),
        ("unreadable", wpa_supplicant(false)),
        ("iwd", json!({ "daemon": "iwd" })),
        ("networkManager", json!({ "daemon": "network_manager" })),
        ("noWifi", Value::Null),
    ] {
        assert_eq!((&variant(name)["wifi"], &variant(name)["failed"]), (&wifi, &json!([])), "{name}");
    }
    assert_eq!(variant("iwd")["iwd"], json!(["/var/lib/iwd /nix/persist/var/lib/iwd"]));
}
