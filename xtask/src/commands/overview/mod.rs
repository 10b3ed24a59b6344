//! `cargo xtask` without a command: shows where things stand, and the next sensible command.

mod card;
mod host;
mod next;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use self::card::{CardFacts, CardRow};
use self::host::{HostFacts, HostRow};
use super::{flake_hosts, keys};
use crate::base::failure::{self, ExitKind, kind};
use crate::base::{Context, Event, JsonResult, Table};
use crate::nix::{self, new_host};
use crate::{receipt, ui};

/// Where things stand.
#[expect(clippy::struct_excessive_bools, reason = "each is one independent fact")]
struct Overview {
    /// Why there is no flake, if there is none.
    no_flake: Option<anyhow::Error>,
    /// Whether the flake is in a folder of this machine, where files can be added.
    has_folder: bool,
    /// Whether the flake has the shape of this project's repository, and no login key of an administrator.
    lacks_login_keys: bool,
    has_nix: bool,
    /// Why the hosts of the flake could not be listed, if so.
    unlisted: Option<anyhow::Error>,
    /// Whether the flake needs a file that git does not list.
    needs_git_add: bool,
    hosts: Vec<HostRow>,
    cards: Vec<CardRow>,
}

/// The JSON result.
#[derive(Serialize, JsonSchema)]
pub struct OverviewResult {
    /// The flake; `None` if there is none.
    flake: Option<String>,
    has_nix: bool,
    /// The hosts of the flake; `None` if they could not be listed.
    hosts: Option<Vec<HostFacts>>,
    devices: Vec<CardFacts>,
}

impl JsonResult for OverviewResult {}

/// Shows the overview. Nothing is built, written or connected to: what cannot be found out like that is unknown.
pub fn run(cx: &mut Context) -> Result<()> {
    let overview = gather(cx)?;
    for error in overview.no_flake.iter().chain(&overview.unlisted) {
        let hint = failure::hint(error).map(str::to_owned);
        cx.reporter.report(&Event::Warning { text: format!("{error:#}"), hint });
    }
    if let Some(step) = next::next_step(&overview) {
        ui::end_with(step);
    }
    if cx.json {
        return ui::print_json(&overview.result(cx));
    }
    overview.print(cx)
}

/// The errors of a listing of hosts that end the overview.
const ENDS: [ExitKind; 2] = [ExitKind::Interrupted, ExitKind::Usage];

/// Gathers the overview.
///
/// # Errors
/// `Interrupted` for Ctrl-C, `Usage` for a flake reference that names no flake, and where the receipts or the disks
/// cannot be read.
fn gather(cx: &mut Context) -> Result<Overview> {
    let no_flake = cx.flake.check().err();
    let has_nix = cx.launcher.which("nix").is_some();
    let receipts = receipt::read_all(cx)?;
    let cards = card::list(cx, &receipts)?;
    let mut overview = Overview {
        no_flake,
        has_folder: cx.flake.folder().is_some(),
        lacks_login_keys: cx.flake.folder().is_some_and(new_host::lacks_login_keys),
        has_nix,
        unlisted: None,
        needs_git_add: false,
        hosts: Vec::new(),
        cards,
    };
    if overview.no_flake.is_none() && has_nix {
        match list_hosts(cx) {
            Ok(listing) => {
                for broken in &listing.catalogue.broken {
                    cx.reporter.warn_once(&broken.warning());
                    overview.needs_git_add |= nix::needs_git_add(&broken.error);
                }
                overview.hosts = host::rows(cx, &listing, &receipts);
            }
            Err(error) if ENDS.contains(&kind(&error)) => return Err(error),
            Err(error) => overview.unlisted = Some(error),
        }
    }
    Ok(overview)
}

/// The hosts of the flake, without a build and without the network.
fn list_hosts(cx: &mut Context) -> Result<flake_hosts::Listing> {
    cx.launcher = nix::offline(&cx.launcher);
    keys::protect_without_builds(cx)?;
    flake_hosts::list_without_builds(cx)
}

impl Overview {
    fn result(&self, cx: &Context) -> OverviewResult {
        let listed = self.unlisted.is_none();
        OverviewResult {
            flake: self.no_flake.is_none().then(|| cx.flake.to_string()),
            has_nix: self.has_nix,
            hosts: listed.then(|| self.hosts.iter().map(HostRow::facts).collect()),
            devices: self.cards.iter().map(CardRow::facts).collect(),
        }
    }

    fn print(&self, cx: &Context) -> Result<()> {
        if self.no_flake.is_none() {
            ui::print_result(&format!("flake {}", cx.flake))?;
        }
        if !self.hosts.is_empty() {
            ui::print_table(&host_table(&self.hosts))?;
        }
        if self.cards.is_empty() {
            return ui::print_result("no card is in");
        }
        ui::print_table(&card_table(&self.cards))
    }
}

fn host_table(hosts: &[HostRow]) -> Table {
    let heading = ["HOST", "SD IMAGE", "DEPLOY", "FLASHED", "DEPLOYED", "KEY", "LOGIN"];
    let mut table = Table::new(&heading).with_optional(&["LOGIN", "KEY", "SD IMAGE"]);
    for host in hosts {
        table.row(host.cells());
    }
    table
}

fn card_table(cards: &[CardRow]) -> Table {
    let heading = ["CARD", "SIZE", "HOLDS", "LAST FLASH", "FLASH"];
    let mut table = Table::new(&heading).with_optional(&["LAST FLASH"]);
    for card in cards {
        table.row(card.cells());
    }
    table
}
