//! The hosts of the overview.

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::{Cell, Context, HostName, Timestamp, Tone};
use crate::commands::flake_hosts::Listing;
use crate::commands::known_image::{ImageRow, KnownImage};
use crate::identity;
use crate::nix::flake::{Host, HostLogins};
use crate::receipt::{self, Receipt};

/// What is known of a host.
pub struct HostRow {
    pub name: HostName,
    pub image: KnownImage,
    /// Whether the flake has a deploy node or a configuration of the host, of which one is made.
    pub is_deployable: bool,
    pub has_node: bool,
    pub last_flash: Option<LastFlash>,
    pub last_deploy: Option<LastDeploy>,
    /// Whether the host connects to Wi-Fi, as far as an evaluation in the cache knows.
    pub has_wifi: bool,
    key: Option<Key>,
    /// Who can log in to the host, as its configuration says; `None` if no evaluation is in the cache.
    logins: Option<HostLogins>,
}

/// A host, for programs.
#[derive(Serialize, JsonSchema)]
pub struct HostFacts {
    host: HostName,
    image: ImageRow,
    deploy_node: bool,
    last_flash: Option<FlashFacts>,
    last_deploy: Option<DeployFacts>,
    /// Which key of the host is known.
    key: Option<Key>,
    /// The users whom the configuration lets log in by ssh, by a key or a password; `None` if unknown.
    logins: Option<Vec<String>>,
}

/// The last flash of a host.
#[derive(Serialize, JsonSchema)]
struct FlashFacts {
    time: Timestamp,
    /// Whether the flash ended well.
    done: bool,
}

/// The last deploy of a host.
#[derive(Serialize, JsonSchema)]
struct DeployFacts {
    time: Timestamp,
    verdict: String,
}

/// The last flash of a host.
pub struct LastFlash {
    time: Timestamp,
    /// Whether the flash ended well.
    pub is_done: bool,
    /// Whether no deploy came later.
    pub is_newest: bool,
}

/// The last deploy of a host.
pub struct LastDeploy {
    time: Timestamp,
    verdict: String,
    /// Whether the deploy ended well.
    pub is_good: bool,
    /// When the host was rolled back, if nothing was deployed to it since.
    pub rolled_back: Option<Timestamp>,
}

/// The known key of a host.
#[derive(Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Key {
    /// The private key is in the state folder.
    Private,
    /// Only the public key is known.
    Public,
}

/// The rows of the hosts in `listing`, with their newest `receipts`, which begin with the newest.
pub fn rows(cx: &Context, listing: &Listing, receipts: &[Receipt]) -> Vec<HostRow> {
    let private = identity::hosts_with_folders(&cx.state);
    let row = |host: &Host| {
        let image = KnownImage::recall(cx, host, listing.fingerprint.as_ref());
        let images = match &image {
            KnownImage::Found { images, .. } => &images[..],
            _ => &[],
        };
        let layouts = || images.iter().filter_map(|image| image.layout.as_ref());
        HostRow {
            logins: layouts().find_map(|layout| layout.logins.clone()),
            has_wifi: layouts().any(|layout| layout.wifi.is_some()),
            image,
            key: key_of(cx, &host.name, &private),
            is_deployable: host.deploy_node || host.configured,
            has_node: host.deploy_node,
            last_flash: last_flash(receipts, &host.name),
            last_deploy: last_deploy(receipts, &host.name),
            name: host.name.clone(),
        }
    };
    listing.catalogue.hosts().map(row).collect()
}

/// The key of `host`; `private` are the hosts with a private key. A key that cannot be read counts as unknown.
fn key_of(cx: &Context, host: &HostName, private: &[HostName]) -> Option<Key> {
    if private.contains(host) {
        return Some(Key::Private);
    }
    identity::pinned_key(&cx.state, &cx.flake, host).ok()?.map(|_| Key::Public)
}

fn last_flash(receipts: &[Receipt], host: &HostName) -> Option<LastFlash> {
    let mut of_host = receipts.iter().filter(|receipt| receipt.host() == Some(host));
    let mut is_newest = true;
    let flash = of_host.find(|receipt| {
        let is_flash = matches!(receipt, Receipt::Flash(_) | Receipt::BrokenFlash(_));
        is_newest &= is_flash;
        is_flash
    })?;
    Some(LastFlash { time: flash.when().clone(), is_done: matches!(flash, Receipt::Flash(_)), is_newest })
}

/// The last deploy of `host`. One that changed nothing hides no other, but shows that the host is as desired.
fn last_deploy(receipts: &[Receipt], host: &HostName) -> Option<LastDeploy> {
    let deploys = || {
        receipts.iter().filter_map(|receipt| match receipt {
            Receipt::Deploy(deploy) if deploy.host == *host => Some(deploy),
            _ => None,
        })
    };
    let newest = deploys().next()?;
    let shown = deploys().find(|deploy| !deploy.is_no_op()).unwrap_or(newest);
    let is_good = newest.exit_code == 0;
    let rolled_back = receipt::past_rollback(receipts, host).map(|past| past.when);
    Some(LastDeploy { time: shown.when.clone(), verdict: shown.verdict.clone(), is_good, rolled_back })
}

/// The day of `time`, for a table.
pub fn day(time: &Timestamp) -> String {
    time.to_string().get(..10).map_or_else(|| time.to_string(), str::to_owned)
}

impl HostRow {
    pub fn facts(&self) -> HostFacts {
        HostFacts {
            host: self.name.clone(),
            image: ImageRow::from(&self.image),
            deploy_node: self.has_node,
            last_flash: self
                .last_flash
                .as_ref()
                .map(|flash| FlashFacts { time: flash.time.clone(), done: flash.is_done }),
            last_deploy: self
                .last_deploy
                .as_ref()
                .map(|deploy| DeployFacts { time: deploy.time.clone(), verdict: deploy.verdict.clone() }),
            key: self.key,
            logins: self.login_users().map(|users| users.into_iter().map(str::to_owned).collect()),
        }
    }

    /// The users whom the configuration lets log in by ssh; `None` if unknown.
    fn login_users(&self) -> Option<Vec<&str>> {
        Some(self.logins.as_ref()?.with_way_in().map(|user| user.name.as_str()).collect())
    }

    /// Whether the configuration is known to let somebody log in by ssh.
    pub fn has_way_in(&self) -> bool {
        self.login_users().is_some_and(|users| !users.is_empty())
    }

    /// Whether nobody can log in to a card of the host, unless the card gets a key of its own.
    pub fn needs_login_key(&self) -> bool {
        let takes_keys = |logins: &HostLogins| logins.is_enabled && !logins.users.is_empty();
        self.logins.as_ref().is_some_and(takes_keys)
            && self.login_users().is_some_and(|users| users.is_empty())
    }

    pub fn cells(&self) -> [Cell; 7] {
        let dash = || Cell::new("-", Tone::Minor);
        let flash = self.last_flash.as_ref().map_or_else(dash, LastFlash::cell);
        let deploy = self.last_deploy.as_ref().map_or_else(dash, LastDeploy::cell);
        let logins = match self.login_users().as_deref() {
            None => Cell::new("?", Tone::Minor),
            Some([]) if self.needs_login_key() => Cell::new("no key", Tone::Attention),
            Some([]) => Cell::new("nobody", Tone::Attention),
            Some(users) => users.join(", ").into(),
        };
        [
            self.name.to_string().into(),
            self.image.to_string().into(),
            if self.has_node { "yes".into() } else { dash() },
            flash,
            deploy,
            self.key.map_or_else(dash, |key| key.name().into()),
            logins,
        ]
    }
}

impl LastFlash {
    fn cell(&self) -> Cell {
        let day = day(&self.time);
        if self.is_done { day.into() } else { Cell::new(format!("{day} unfinished"), Tone::Attention) }
    }
}

impl LastDeploy {
    fn cell(&self) -> Cell {
        let tone = if self.is_good { Tone::Plain } else { Tone::Bad };
        let rollback = if self.rolled_back.is_some() { "rollback " } else { "" };
        Cell::new(format!("{} {rollback}{}", day(&self.time), self.verdict.replace('_', " ")), tone)
    }
}

impl Key {
    fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Public => "public",
        }
    }
}

#[cfg(test)]
pub mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A host with an image, whose last flash is `done`, if any, and whose last deploy after that is `good`, if any.
    pub fn host(name: &str, done: Option<bool>, good: Option<bool>) -> HostRow {
        let time = || Timestamp::at(0);
        let is_newest = good.is_none();
        HostRow {
            name: name.into(),
            image: KnownImage::Package(vec!["aarch64-linux".into()]),
            is_deployable: true,
            has_node: true,
            last_flash: done.map(|is_done| LastFlash { time: time(), is_done, is_newest }),
            last_deploy: good.map(|is_good| LastDeploy {
                time: time(),
                verdict: String::new(),
                is_good,
                rolled_back: None,
            }),
            has_wifi: false,
            key: None,
            logins: None,
        }
    }

    /// Nobody gets in where sshd lets a user in who has neither a key nor a password.
    #[test]
    fn who_logs_in_is_who_has_a_way_in() {
        let user = |keys: Option<&str>, has_password: bool| {
            json!({ "name": "anna", "is_normal": true, "is_admin": true, "keys": keys, "files": [],
                    "has_password": has_password })
        };
        let no_users: [Value; 0] = [];
        for (is_enabled, users, cell, needs_key) in [
            (true, &[user(Some("ssh-ed25519 AAAA"), false)][..], "anna", false),
            (true, &[user(None, false)], "anna", false),
            (true, &[user(Some(""), true)], "anna", false),
            (true, &[user(Some("\n"), false)], "no key", true),
            (true, &no_users, "nobody", false),
            (false, &[user(Some("ssh-ed25519 AAAA"), false)], "nobody", false),
        ] {
            let logins = json!({ "is_enabled": is_enabled, "has_other_way": false, "users": users });
            let logins = serde_json::from_value(logins).unwrap();
            let row = HostRow { logins: Some(logins), ..host("a", None, None) };
            assert_eq!(row.cells()[6].text, cell, "{users:?}");
            assert_eq!(row.needs_login_key(), needs_key, "{users:?}");
        }
    }
}
