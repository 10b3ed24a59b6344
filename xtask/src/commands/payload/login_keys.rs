//! The login keys of a card: those of `--ssh-key`, and all that its plan names.

use std::path::Path;

use anyhow::Result;

use super::PayloadSetup;
use crate::base::bounded::{self, Links};
use crate::card::image::{Image, ImageLogins};
use crate::card::inspect::LoginFiles;
use crate::cli::PayloadArgs;
use crate::identity::{
    EntryKind, LoginKey, LoginKeys, Owner, PayloadEntry, Secret, UserKey, parse_public_keys,
};
use crate::nix::flake::{HostLayout, HostLogins, LoginUser};
use crate::{bail, failure};

/// The most bytes of a file of public keys.
const MAX_BYTES: u64 = 64 << 10;

/// The keys of `--ssh-key`.
pub struct RequestedLogin {
    keys: Vec<LoginKey>,
    /// The user of `--ssh-key-user`.
    user: Option<String>,
}

impl RequestedLogin {
    /// Reads the files of `--ssh-key`; `None` without the option.
    ///
    /// # Errors
    /// `Refused` for files that are not public keys.
    pub fn read(args: &PayloadArgs) -> Result<Option<Self>> {
        let mut keys = Vec::new();
        for file in &args.ssh_key {
            for key in read_keys(file)? {
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
        Ok((!keys.is_empty()).then(|| Self { keys, user: args.ssh_key_user.clone() }))
    }

    /// The entry with the keys, by the `layout` of the host.
    ///
    /// # Errors
    /// `Refused` where it is unknown which file of the card sshd reads, or for whom.
    pub fn entry(&self, layout: Option<&HostLayout>) -> Result<PayloadEntry> {
        let Some((layout, logins)) = layout.and_then(|layout| Some((layout, layout.logins.as_ref()?))) else {
            bail!(
                Refused, "the configuration of the image does not say where sshd reads login keys";
                hint: "leave out --ssh-key, and build the image with the key"
            );
        };
        if !logins.is_enabled {
            bail!(
                Refused, "the host runs no sshd, so nobody can log in with the key of --ssh-key";
                hint: "set services.openssh.enable in the configuration of the host"
            );
        }
        let user = self.user(logins)?;
        let lines = self.keys.iter().map(|key| format!("{}\n", key.line())).collect::<String>();
        let kind = EntryKind::File(Secret::new(lines.into_bytes()));
        // sshd reads the file with the rights of the user, and only if nobody but root can change it.
        Ok(PayloadEntry { path: path_for(layout, user)?, mode: 0o644, owner: Owner::ROOT, kind })
    }

    /// The user who logs in with the keys.
    fn user<'a>(&self, logins: &'a HostLogins) -> Result<&'a LoginUser> {
        let names = logins.names();
        match (logins.user(self.user.as_deref()), &self.user) {
            (Some(user), _) => Ok(user),
            (None, _) if names.is_empty() => bail!(
                Refused, "sshd of the host lets no user in";
                hint: "add a user with isNormalUser to the configuration of the host"
            ),
            (None, Some(user)) => {
                bail!(Refused, "sshd of the host lets no user {user} in"; hint: "name one of: {names}")
            }
            (None, None) => bail!(
                Refused, "it is unknown for whom the key of --ssh-key is: no user is the only administrator";
                hint: "pass --ssh-key-user NAME with one of: {names}"
            ),
        }
    }
}

/// Reads the public keys in `file`.
///
/// # Errors
/// `Refused` for a file that is not one of public keys.
pub fn read_keys(file: &Path) -> Result<Vec<LoginKey>> {
    let name = file.display().to_string();
    let bytes = bounded::read(file, MAX_BYTES, Links::Follow).map_err(|error| {
        failure!(
            Refused, "--ssh-key {name} cannot be read: {error}";
            hint: "pass a file such as ~/.ssh/id_ed25519.pub; `ssh-keygen -t ed25519` makes one"
        )
    })?;
    parse_public_keys(&name, &String::from_utf8_lossy(&bytes))
}

/// The path in the payload of a file in which sshd looks for keys of `user`.
///
/// # Errors
/// `Refused` where no such file is on the card.
fn path_for(layout: &HostLayout, user: &LoginUser) -> Result<String> {
    for file in &user.files {
        if let Some(path) = layout.payload_path(file)? {
            return Ok(path);
        }
    }
    let name = &user.name;
    bail!(
        Refused, "sshd of the host reads no file of the card for the keys of {name}, except those that NixOS writes";
        hint: "leave out --ssh-key, and add the key to users.users.{name}.openssh.authorizedKeys.keys; or name a path on \
               the card in services.openssh.authorizedKeysFiles, such as \"/nix/persist/etc/ssh/authorized_keys.d/%u\""
    )
}

impl PayloadSetup {
    /// The login keys of a host with this `layout` and the files of [`Self::find_own_entries`] and `--files`.
    pub fn expected_login_keys(&self, layout: &HostLayout) -> LoginKeys {
        let files = self.files.iter().flat_map(|(_, entries)| entries);
        let entries = files.chain(&self.own_entries).cloned().collect::<Vec<_>>();
        evaluated_keys(layout, &entries)
    }
}

/// The keys by which users log in to the host of `image` with these `entries` of its payload: by the evaluated `layout`
/// of the host, or else by the files in the image.
pub fn login_keys(image: &Image, layout: Option<&HostLayout>, entries: &[PayloadEntry]) -> LoginKeys {
    match layout {
        Some(layout) => evaluated_keys(layout, entries),
        None => keys_in_image(image.facts().logins),
    }
}

/// The keys in the files of an image.
fn keys_in_image(logins: ImageLogins) -> LoginKeys {
    match logins {
        ImageLogins::Found(LoginFiles { has_sshd: false, .. }) => LoginKeys::NoSshd,
        ImageLogins::Found(LoginFiles { keys, .. }) => {
            let keys = keys.iter().flat_map(|(user, text)| UserKey::all_in(user, text)).collect();
            LoginKeys::Keys { keys, other_way: None }
        }
        ImageLogins::NoSystem => LoginKeys::Unknown("the image has no NixOS that can be read"),
        ImageLogins::NotKept => LoginKeys::Unknown("the image is compressed, and its check kept too little"),
    }
}

/// The keys by which users log in to the host with this `layout` and these entries of its payload.
fn evaluated_keys(layout: &HostLayout, entries: &[PayloadEntry]) -> LoginKeys {
    let Some(logins) = &layout.logins else {
        return LoginKeys::Unknown("the configuration says nothing of sshd");
    };
    if !logins.is_enabled {
        return LoginKeys::NoSshd;
    }
    let keys_of = |user: &LoginUser| {
        let in_configuration = UserKey::all_in(&user.name, user.keys.as_deref().unwrap_or_default());
        let files = user.files.iter().chain(&user.home_files);
        let on_card = files.filter_map(|file| text_at(&layout.payload_path(file).ok()??, entries));
        let on_card = on_card.flat_map(|text| UserKey::all_in(&user.name, &text)).collect::<Vec<_>>();
        [in_configuration, on_card].concat()
    };
    let keys = logins.users.iter().flat_map(keys_of).collect::<Vec<_>>();
    let is_unknown = logins.users.iter().any(|user| user.keys.is_none());
    if keys.is_empty() && is_unknown {
        return LoginKeys::Unknown("a build makes the file with the keys");
    }
    LoginKeys::Keys { keys, other_way: other_way(logins) }
}

/// The text of the file at `path` among `entries`.
fn text_at(path: &str, entries: &[PayloadEntry]) -> Option<String> {
    let entry = entries.iter().find(|entry| entry.path == path)?;
    match &entry.kind {
        EntryKind::File(content) => Some(String::from_utf8_lossy(content.reveal()).into_owned()),
        EntryKind::Folder | EntryKind::Link(_) => None,
    }
}

/// How somebody logs in without a key that is known.
fn other_way(logins: &HostLogins) -> Option<String> {
    let mut with_password = logins.users.iter().filter(|user| user.has_password);
    match with_password.next() {
        Some(user) => Some(format!("{} has a password", user.name)),
        None if logins.has_other_way => Some("sshd asks a program or an authority".to_owned()),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::base::failure::with_hint;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKCcGufY3wZYjbxCpm9xo3W2XeGl1+70HxLJuItPZBaw";

    /// A user whose keys sshd looks for in `file`.
    fn user(name: &str, keys: Option<&str>, file: &str) -> Value {
        json!({
            "name": name, "is_normal": name != "root", "is_admin": name == "admin", "keys": keys,
            "has_password": name == "typist", "files": [file]
        })
    }

    /// The layout of a host of this project, with these users.
    fn layout(is_enabled: bool, users: &[Value]) -> HostLayout {
        let layout = json!({
            "hostKeys": ["/nix/persist/etc/ssh/k"],
            "mounts": [
                { "at": "/", "device": "none", "type": "tmpfs" },
                { "at": "/nix", "device": "/dev/disk/by-label/NIXOS_SD", "type": "ext4" }
            ],
            "logins": { "is_enabled": is_enabled, "has_other_way": false, "users": users }
        });
        serde_json::from_value(layout).unwrap()
    }

    fn requested(user: Option<&str>) -> RequestedLogin {
        RequestedLogin { keys: vec![LoginKey::parse(KEY).unwrap()], user: user.map(str::to_owned) }
    }

    /// The path and the keys of the entry for `user`, or the error with its hint.
    fn entry(layout: &HostLayout, user: Option<&str>) -> String {
        match requested(user).entry(Some(layout)) {
            Ok(entry) => format!("{entry}"),
            Err(error) => with_hint(&error),
        }
    }

    const ADMIN_FILE: &str = "/nix/persist/etc/ssh/authorized_keys.d/admin";

    #[test]
    fn the_key_is_for_the_administrator_or_the_named_user() {
        let users = [
            user("admin", Some(""), ADMIN_FILE),
            user("guest", Some(""), "/nix/persist/keys/guest"),
            user("root", Some(""), "/etc/x/root"),
        ];
        let host = layout(true, &users);
        let of_admin = "etc/ssh/authorized_keys.d/admin (81 B, mode 0644)";
        assert_eq!(entry(&host, None), of_admin);
        assert_eq!(entry(&host, Some("admin")), of_admin);
        assert_eq!(entry(&host, Some("guest")), "keys/guest (81 B, mode 0644)");
        for (user, text) in [
            ("root", "sshd of the host reads no file of the card for the keys of root"),
            ("x", "lets no user x in"),
        ] {
            assert!(entry(&host, Some(user)).contains(text), "{}", entry(&host, Some(user)));
        }
        let equal = [user("a", None, "/nix/a"), user("b", None, "/nix/b")];
        assert!(entry(&layout(true, &equal), None).contains("--ssh-key-user NAME with one of: a, b"));
        assert!(entry(&layout(true, &[]), None).contains("lets no user in"));
        assert!(entry(&layout(false, &users), None).contains("runs no sshd"));
        assert!(requested(None).entry(None).is_err());
    }

    #[test]
    fn the_keys_of_a_card_are_those_of_the_configuration_and_of_the_payload() {
        let shown =
            |layout: &HostLayout, entries: &[PayloadEntry]| evaluated_keys(layout, entries).to_string();
        let configured = format!("{KEY} a\n# no key\n{KEY} b");
        let host = layout(true, &[user("admin", Some(&configured), ADMIN_FILE)]);
        assert_eq!(shown(&host, &[]), "logins  2 keys (ed25519 a for admin, ed25519 b for admin)");
        let blank = layout(true, &[user("admin", Some(""), ADMIN_FILE)]);
        let mut added = requested(None).entry(Some(&blank)).unwrap();
        let fingerprint = "SHA256:hDnkBipv08ZX2EQJwP4gN2mLnwYd4ZMyo6oUsECY7mY";
        assert_eq!(
            shown(&blank, &[added.clone()]),
            format!("logins  1 key (ed25519 {fingerprint} for admin)")
        );
        added.path = "etc/ssh/authorized_keys.d/nobody".to_owned();
        assert_eq!(shown(&blank, &[added]), "logins  none");
        let typist = layout(true, &[user("typist", Some(""), "/nix/x")]);
        assert_eq!(shown(&typist, &[]), "logins  none (typist has a password)");
        let unknown = layout(true, &[user("admin", None, "/nix/x")]);
        assert_eq!(shown(&unknown, &[]), "logins  unknown (a build makes the file with the keys)");
        assert_eq!(shown(&layout(false, &[]), &[]), "logins  none (the host runs no sshd)");
        let silent = "logins  unknown (the configuration says nothing of sshd)";
        assert_eq!(shown(&HostLayout::default(), &[]), silent);
    }
}
