//! `identity list`: lists the hosts whose keys this project has or knows.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use crate::base::failure::{ExitKind, kind};
use crate::base::{Context, ErrorReport, Event, HostName, JsonResult, Table, Timestamp};
use crate::cli::identity::IdentityList;
use crate::commands::next_step;
use crate::identity::{Identities, PublicKey, fingerprint_of};
use crate::receipt::{self, Receipt};
use crate::ui;

pub fn run(cx: &Context, args: &IdentityList) -> Result<()> {
    let identities = super::identities(cx, &args.keys)?;
    let receipts = receipt::read_all(cx)?;
    let mut rows = Vec::new();
    for host in identities.hosts()? {
        rows.push(Row::read(cx, &identities, &host, &receipts)?);
    }
    offer_next_step(&rows);
    if cx.json {
        return ui::print_json(&IdentityListResult { hosts: rows });
    }
    if rows.is_empty() {
        cx.note(format!("no host has a key in {}", identities.folder().display()));
    }
    for row in &rows {
        row.remarks(cx);
    }
    let mut table = Table::new(&["HOST", "KEY", "KNOWN", "FLASHED"]).with_optional(&["FLASHED"]);
    for row in &rows {
        table.row(row.cells());
    }
    ui::print_table(&table)
}

/// Offers the next step where the list shows that one is left.
fn offer_next_step(rows: &[Row]) {
    match rows.iter().find(|row| row.fingerprint.is_some() && row.has_two_keys()) {
        Some(row) => next_step::show_key(&row.host),
        None if rows.is_empty() => next_step::make_key(),
        None => {}
    }
}

/// The JSON result.
#[derive(Serialize, JsonSchema)]
pub struct IdentityListResult {
    hosts: Vec<Row>,
}

impl JsonResult for IdentityListResult {}

/// What is known of a host.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "IdentityRow")]
struct Row {
    host: HostName,
    /// `SHA256:…` of the private key; `None` for a host of which only a public key is known.
    fingerprint: Option<String>,
    /// `age1…`.
    age: Option<String>,
    /// `ssh-ed25519 AAAA…`.
    public: Option<String>,
    /// `SHA256:…` of a pending key, which an unfinished flash may have put on a card.
    pending: Option<String>,
    /// `SHA256:…` of the key in the project's `known_hosts`.
    known: Option<String>,
    /// `SHA256:…` of the key in the published `known_hosts`.
    published: Option<String>,
    last_flash: Option<LastFlash>,
    /// Why the private key cannot be used.
    error: Option<ErrorReport>,
}

/// The last flash of a card with an identity of the host, by the receipts.
#[derive(Serialize, JsonSchema)]
struct LastFlash {
    time: Timestamp,
    /// `SHA256:…` of the key that the card got; `None` for a card without one.
    fingerprint: Option<String>,
}

impl Row {
    fn read(cx: &Context, identities: &Identities, host: &HostName, receipts: &[Receipt]) -> Result<Self> {
        let fingerprint = |key: &String| fingerprint_of(key);
        let known = identities.known_hosts.keys_of(host)?.first().map(fingerprint);
        let published = identities.published_key(host)?.map(|(key, _)| fingerprint_of(&key));
        let last_flash = last_flash(receipts, host);
        let empty = Self {
            host: host.clone(),
            fingerprint: None,
            age: None,
            public: None,
            pending: None,
            known,
            published,
            last_flash,
            error: None,
        };
        match identities.read(&cx.launcher, host) {
            Ok(stored) => {
                let public = stored.key.map(|key| key.public);
                Ok(Self {
                    fingerprint: public.as_ref().map(PublicKey::fingerprint),
                    age: public.as_ref().and_then(|key| key.age_recipient().ok()),
                    public: public.map(|key| key.line()),
                    pending: stored.pending.map(|key| key.public.fingerprint()),
                    ..empty
                })
            }
            Err(error) if kind(&error) == ExitKind::Interrupted => Err(error),
            Err(error) => Ok(Self { error: Some(ErrorReport::of(&error)), ..empty }),
        }
    }

    /// Warns of what does not fit into the table.
    fn remarks(&self, cx: &Context) {
        let host = &self.host;
        if let Some(error) = &self.error {
            cx.reporter.report(&Event::Warning { text: error.message.clone(), hint: error.hint.clone() });
        }
        if let Some(key) = &self.pending {
            cx.note(format!(
                "{host} has the pending key {key}: a card may have it; `flash --identity new` uses it"
            ));
        }
        if self.has_two_keys() {
            cx.warn(format!(
                "several keys of {host} are known: `cargo xtask identity show {host:#}` and `known_hosts`"
            ));
        }
    }

    /// Whether the keys here, in the project's `known_hosts` and in the published one differ.
    fn has_two_keys(&self) -> bool {
        let mut keys = [&self.fingerprint, &self.known, &self.published].into_iter().flatten();
        let first = keys.next();
        keys.any(|key| Some(key) != first)
    }

    fn cells(&self) -> [String; 4] {
        let public = self.known.as_ref().or(self.published.as_ref());
        let key = match (&self.fingerprint, &self.error, public) {
            (_, Some(_), _) => "unusable".to_owned(),
            (Some(key), ..) => key.clone(),
            (None, None, Some(key)) => format!("{key} (public)"),
            (None, None, None) => "-".to_owned(),
        };
        let known = match (&self.known, &self.published) {
            _ if self.has_two_keys() => "differs",
            (Some(_), Some(_)) => "both",
            (Some(_), None) => "yes",
            (None, Some(_)) => "team",
            (None, None) => "no",
        };
        let flashed = self.last_flash.as_ref().map_or_else(|| "-".to_owned(), |flash| flash.time.day());
        [self.host.to_string(), key, known.to_owned(), flashed]
    }
}

/// The last flash of `host`; `receipts` begin with the newest.
fn last_flash(receipts: &[Receipt], host: &HostName) -> Option<LastFlash> {
    receipts.iter().find_map(|receipt| match receipt {
        Receipt::Flash(flashed) if receipt.host() == Some(host) => Some(LastFlash {
            time: flashed.when.clone(),
            fingerprint: flashed
                .payload
                .as_ref()
                .and_then(|payload| payload.identity.as_ref())
                .map(|identity| identity.fingerprint.clone()),
        }),
        _ => None,
    })
}
