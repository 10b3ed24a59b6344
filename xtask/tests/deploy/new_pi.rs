//! A new host: no card yet, switched off, without keys. What it has comes from the card alone.

use std::fs;

use serde_json::{Value, json};

use crate::fixture::Fixture;
use crate::host_image::{assert_sound, debugfs, stock_image};
use crate::image::pack;

/// A host that is switched off, and its flake.
pub struct NewPi {
    pub fixture: Fixture,
}

impl NewPi {
    /// The host is `target` of its flake; the public key of its user is `home/me.pub`.
    pub fn new() -> Self {
        let mut fixture = Fixture::new();
        let login_key = fixture.machine.path("client_key.pub");
        fs::copy(&login_key, fixture.sandbox.path("home/me.pub")).expect("copying the login key");
        // What the host has comes from the card alone.
        fs::remove_file(login_key).expect("removing the login key");
        fixture.machine.run_inside("mv /mnt/sshd_config /mnt/sshd_config.off; pkill sshd");
        fixture.known_hosts = fixture.sandbox.path("home/known_hosts");
        let deployment = json!({ "targetHost": fixture.machine.address, "targetUser": "root" });
        fixture.set_configuration("one", ":", &deployment);
        pack(&fixture.sandbox.path("flake"), "img.zst", &stock_image());
        fixture.edit(|facts| {
            facts["configurations"]["target"]["image"] = "nixos-sd-image.img.zst".into();
            facts["configurations"]["target"]["options"] = options();
        });
        Self { fixture }
    }

    /// Puts `card` into the host and switches it on: its sshd gets the keys on the card.
    pub fn boot(&self, card: &str) {
        assert_sound(card);
        for (on_card, file) in [
            ("/etc/ssh/ssh_host_ed25519_key", "host_key"),
            ("/etc/ssh/ssh_host_ed25519_key.pub", "host_key.pub"),
            ("/etc/ssh/authorized_keys.d/root", "client_key.pub"),
        ] {
            let text = debugfs(card, &format!("cat {on_card}"));
            fs::write(self.fixture.machine.path(file), text).expect("writing a file of the host");
        }
        self.fixture.machine.run_inside("mv /mnt/sshd_config.off /mnt/sshd_config");
    }

    /// Asserts the name of the system that the host runs, read without the tool.
    #[track_caller]
    pub fn assert_runs(&self, name: &str) {
        let current = self.fixture.machine.run_inside("readlink -f /run/current-system");
        assert!(current.ends_with(&format!("-{name}")), "{current}, not {name}");
    }
}

/// The options of the host that decide what its card gets.
fn options() -> Value {
    let key = json!({ "path": "/etc/ssh/ssh_host_ed25519_key", "type": "ed25519" });
    json!({
        "fileSystems": { "/": { "device": "/dev/disk/by-label/NIXOS_SD", "fsType": "ext4" } },
        "services": { "openssh": {
            "enable": true, "hostKeys": [key], "authorizedKeysFiles": ["/etc/ssh/authorized_keys.d/%u"],
        } },
        "users": { "users": { "root": { "shell": "/bin/sh" } } },
    })
}
