//! How a host connects to Wi-Fi, by its evaluated configuration.

use serde::{Deserialize, Serialize};

/// The program that connects a host to Wi-Fi. `wifi.nix` evaluates it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "daemon", rename_all = "snake_case")]
pub enum HostWifi {
    NetworkManager,
    Iwd,
    WpaSupplicant {
        /// The file with the secrets of `networks`.
        secrets_file: Option<String>,
        networks: Vec<NetworkSecret>,
        /// Whether the program can read a file that belongs to root.
        reads_file: bool,
    },
}

/// A network of the configuration, and the name of its password in the file with the secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSecret {
    pub ssid: String,
    pub secret: String,
}
