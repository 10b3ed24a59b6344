//! `hosts`: lists the hosts of the flake.

use anyhow::Result;

use crate::base::{Context, Table, failure};
use crate::nix::flake::{Catalogue, Host};
use crate::{nix, ui};

pub fn run(cx: &Context) -> Result<()> {
    nix::require(&cx.launcher)?;
    let catalogue = cx.in_phase("evaluate", || Catalogue::load(&cx.launcher, &cx.flake))?;
    let hosts = catalogue.hosts().collect::<Vec<_>>();
    if let Some(error) = &catalogue.nodes_error {
        cx.warn(format!("the deploy nodes are left out: {}", failure::with_hint(error)));
    }
    if cx.json {
        return ui::json(&hosts);
    }
    if hosts.is_empty() {
        cx.warn(format!("{} has no host with an image or a deploy node", cx.flake));
    }
    ui::table(&table(&hosts))
}

fn table(hosts: &[&Host]) -> Table {
    let mut table = Table::new(&["HOST", "SD IMAGE", "DEPLOY"]);
    for host in hosts {
        let image =
            if host.image_systems.is_empty() { "-".to_owned() } else { host.image_systems.join(", ") };
        table.row([host.name.to_string(), image, if host.deploy_node { "yes" } else { "-" }.to_owned()]);
    }
    table
}
