//! Addresses without a host: packets to some get no answer at all, as behind a router, and others are not found on the
//! link.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::base::process::Launcher;

/// The most addresses: those of a network of 24 bits.
const MAX_ADDRESSES: usize = 200;

/// A link that leads nowhere, with its network. Dropping this value removes the link.
pub struct AbsentHosts {
    launcher: Launcher,
    link: String,
    /// The first three octets of the addresses.
    network: String,
    count: usize,
}

impl AbsentHosts {
    /// Makes the link with `count` addresses. Every other one gets no answer.
    pub fn make(launcher: &Launcher, count: usize) -> Result<Self> {
        ensure!(count <= MAX_ADDRESSES, "{count} hosts are more than {MAX_ADDRESSES}");
        let process = std::process::id();
        // The networks of hosts have other second and third octets.
        let network = format!("10.{}.255", 64 + process % 128);
        let absent = Self { launcher: launcher.clone(), link: format!("xa{process:x}"), network, count };
        let peer = format!("xb{process:x}");
        absent.run_ip(&["link", "add", &absent.link, "type", "veth", "peer", "name", &peer])?;
        absent.run_ip(&["address", "add", &format!("{}.1/24", absent.network), "dev", &absent.link])?;
        for link in [&absent.link, &peer] {
            absent.run_ip(&["link", "set", link, "up"])?;
        }
        for address in absent.addresses().step_by(2) {
            let nobody = ["lladdr", "02:00:00:00:00:01", "dev", &absent.link, "nud", "permanent"];
            absent.run_ip(&[&["neighbour", "add", &address], &nobody[..]].concat())?;
        }
        Ok(absent)
    }

    /// The addresses.
    pub fn addresses(&self) -> impl Iterator<Item = String> {
        (0..self.count).map(|number| format!("{}.{}", self.network, number + 2))
    }

    /// The bytes that this machine has sent to the addresses.
    pub fn sent_bytes(&self) -> Result<u64> {
        let file = format!("/sys/class/net/{}/statistics/tx_bytes", self.link);
        let text = fs::read_to_string(&file).with_context(|| format!("reading {file}"))?;
        text.trim().parse().with_context(|| format!("reading {file}"))
    }

    fn run_ip(&self, args: &[&str]) -> Result<String> {
        self.launcher.read("ip", args)
    }
}

impl Drop for AbsentHosts {
    fn drop(&mut self) {
        let _ = self.launcher.capture("ip", &["link", "delete", &self.link]);
    }
}
