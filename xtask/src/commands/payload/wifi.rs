//! The network of `flash --wifi`.

use std::path::Path;

use anyhow::Result;

use super::Goal;
use crate::bail;
use crate::base::{Plain, descriptor};
use crate::cli::{PayloadArgs, WifiPasswordCell};
use crate::identity::{PayloadEntry, Ssid, WifiFile, WifiPassword};
use crate::nix::flake::{HostLayout, HostWifi};
use crate::ui::{self, Prompt};

/// The most bytes of a password that are read.
const MAX_BYTES: u64 = 1 << 10;

/// A password in place of the one that the card gets, where only the path of its file matters.
const ANY_PASSWORD: &[u8] = b"password";

/// The remedy where a configuration without the module of this project has no Wi-Fi that reads a file of the card.
const HINT: &str = "import the module `raspberry-pi` of this project and set `raspberryPi.wifi.enable = true;`, or set \
                    `networking.wireless.iwd.enable = true;` and keep /var/lib/iwd on the card";

/// The remedy where the configuration has the module of this project.
const HINT_WITH_MODULE: &str = "set `raspberryPi.wifi.enable = true;` in the configuration of the host";

/// The network of `--wifi`.
pub struct RequestedWifi {
    ssid: Ssid,
    /// The password of `--wifi-password-fd`; `None` if the user is to be asked.
    password: Option<WifiPassword>,
    /// Where the password is kept for further cards, once the user was asked.
    asked: WifiPasswordCell,
}

impl RequestedWifi {
    /// The network of the command line; `None` without `--wifi`. Reads the password from its file descriptor. A dry run
    /// gets along without the password.
    ///
    /// # Errors
    /// `Usage` for a bad name of a network, and where nobody can be asked; `Refused` for a bad password.
    pub fn read(args: &PayloadArgs, goal: Goal) -> Result<Option<Self>> {
        let Some(name) = &args.wifi else { return Ok(None) };
        let ssid = Ssid::new(name.as_encoded_bytes())?;
        let read = |number| WifiPassword::new(&descriptor::read(number, MAX_BYTES, "the password")?);
        let password = match (args.wifi_password_fd, goal) {
            (Some(number), _) => Some(args.wifi_password.get_or_find(|| read(number))?),
            (None, Goal::Show) => Some(WifiPassword::new(ANY_PASSWORD)?),
            (None, Goal::Write) => None,
        };
        if password.is_none() && !ui::can_ask() {
            bail!(
                Usage, "nobody can be asked for the password of {:?}: stdin and stderr are no terminal", ssid.shown();
                hint: "pass --wifi-password-fd N, and the password by the file descriptor N, such as with `3<FILE`"
            );
        }
        Ok(Some(Self { ssid, password, asked: args.wifi_password.clone() }))
    }

    /// The entries with the network, by the `layout` of the host. Asks for the password.
    ///
    /// # Errors
    /// `Refused` where the host reads no such file of the card; those of [`ask_password`].
    pub fn entries(&self, layout: Option<&HostLayout>) -> Result<Vec<PayloadEntry>> {
        // A refusal comes before the question.
        let path = self.path(layout)?;
        let password = match &self.password {
            Some(password) => password.clone(),
            None => self.asked.get_or_find(|| ask_password(&self.ssid))?,
        };
        let file = self.file(layout, &password)?;
        Ok(file.into_entries(path))
    }

    /// The path of the file in the payload.
    fn path(&self, layout: Option<&HostLayout>) -> Result<String> {
        // The path does not depend on the password.
        let any = WifiPassword::new(ANY_PASSWORD)?;
        let file = self.file(layout, &any)?;
        if let Some(path) = layout.map(|layout| layout.payload_path(&file.path)).transpose()?.flatten() {
            return Ok(path);
        }
        let folder = Path::new(&file.path).parent().unwrap_or(Path::new("/")).display();
        bail!(
            Refused, "the host reads its Wi-Fi networks from {}, which is not on the card", Plain(&file.path);
            hint: "keep {folder} on the card, such as by `raspberryPi.persistence.directories = [ \"{folder}\" ];`"
        )
    }

    /// The file that a host with this `layout` reads.
    fn file(&self, layout: Option<&HostLayout>, password: &WifiPassword) -> Result<WifiFile> {
        let ssid = &self.ssid;
        let shown = ssid.shown();
        match layout.and_then(|layout| layout.wifi.as_ref()) {
            None => {
                let has_module = layout.is_some_and(|layout| layout.has_wifi_module);
                let hint = if has_module { HINT_WITH_MODULE } else { HINT };
                bail!(Refused, "the configuration of the host has no Wi-Fi for {shown:?}"; hint: "{hint}")
            }
            Some(HostWifi::Iwd) => Ok(WifiFile::of_iwd(ssid, password)),
            Some(HostWifi::NetworkManager) => Ok(WifiFile::of_network_manager(ssid, password)),
            Some(HostWifi::WpaSupplicant { secrets_file, networks, reads_file }) => {
                let network = networks.iter().find(|network| network.ssid.as_bytes() == ssid.bytes());
                let (Some(file), Some(network)) = (secrets_file, network) else {
                    bail!(
                        Refused, "wpa_supplicant of the host reads no password for {shown:?} from a file";
                        hint: "set networking.wireless.secretsFile to a path on the card, and \
                               `networking.wireless.networks.{shown:?}.pskRaw = \"ext:wifi\";`"
                    );
                };
                if !reads_file {
                    bail!(
                        Refused, "wpa_supplicant of the host cannot read {file}, which belongs to root: it runs as a user \
                                  of its own";
                        hint: "add to the configuration: systemd.tmpfiles.rules = [ \"z {file} 0400 wpa_supplicant \
                               wpa_supplicant -\" ];"
                    );
                }
                WifiFile::of_wpa_supplicant(file, &network.secret, password)
            }
        }
    }
}

/// Asks for the password of `ssid`.
///
/// # Errors
/// Those of [`Prompt::ask_new_secret`], and `Refused` for a bad password.
fn ask_password(ssid: &Ssid) -> Result<WifiPassword> {
    let question = format!("Password of the Wi-Fi network {:?}:", ssid.shown());
    let prompt = Prompt { notice: "", question: &question, unanswered: "stopped; no card was written" };
    prompt.ask_new_secret("password", |answer| WifiPassword::new(answer.as_bytes()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::base::failure::with_hint;

    /// The layout of a host whose / is in memory, with this Wi-Fi, that keeps /var/lib/iwd.
    fn layout(wifi: &Value) -> HostLayout {
        let layout = json!({
            "hostKeys": ["/nix/persist/etc/ssh/k"],
            "mounts": [
                { "at": "/", "device": "none", "type": "tmpfs" },
                { "at": "/nix", "device": "/dev/disk/by-label/NIXOS_SD", "type": "ext4" }
            ],
            "moved": [{ "path": "/var/lib/iwd", "source": "/nix/persist/var/lib/iwd" }],
            "wifi": wifi
        });
        serde_json::from_value(layout).unwrap()
    }

    /// The entries for the network `home`, or the error with its hint.
    fn entries(layout: Option<&HostLayout>) -> String {
        let password = Some(WifiPassword::new(b"12345678").unwrap());
        let wifi =
            RequestedWifi { ssid: Ssid::new(b"home").unwrap(), password, asked: WifiPasswordCell::default() };
        match wifi.entries(layout) {
            Ok(entries) => entries.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
            Err(error) => with_hint(&error),
        }
    }

    fn wpa_supplicant(secrets_file: Option<&str>, reads_file: bool) -> Value {
        let networks = json!([{ "ssid": "home", "secret": "psk" }]);
        json!({ "daemon": "wpa_supplicant", "secrets_file": secrets_file, "networks": networks, "reads_file": reads_file })
    }

    #[test]
    fn the_file_is_the_one_that_the_host_reads() {
        for (wifi, expected) in [
            (json!({ "daemon": "iwd" }), "var/lib/iwd/ (mode 0700); var/lib/iwd/home.psk (31 B, mode 0600)"),
            (wpa_supplicant(Some("/nix/persist/etc/wifi"), true), "etc/wifi (13 B, mode 0600)"),
        ] {
            assert_eq!(entries(Some(&layout(&wifi))), expected);
        }
    }

    #[test]
    fn a_host_that_reads_no_file_of_the_card_is_refused() {
        for (wifi, expected) in [
            (Value::Null, "has no Wi-Fi for \"home\""),
            (
                json!({ "daemon": "network_manager" }),
                "keep /etc/NetworkManager/system-connections on the card",
            ),
            (wpa_supplicant(None, true), "reads no password for \"home\" from a file"),
            (wpa_supplicant(Some("/run/wifi"), true), "from /run/wifi, which is not on the card"),
            (wpa_supplicant(Some("/nix/persist/wifi"), false), "z /nix/persist/wifi 0400 wpa_supplicant"),
        ] {
            let found = entries(Some(&layout(&wifi)));
            assert!(found.contains(expected), "{found}");
        }
        assert!(entries(None).contains("has no Wi-Fi"));
        let mut layout = layout(&Value::Null);
        for has_module in [false, true] {
            layout.has_wifi_module = has_module;
            let found = entries(Some(&layout));
            assert_eq!(found.contains("import the module"), !has_module, "{found}");
            assert!(found.contains("`raspberryPi.wifi.enable = true;`"), "{found}");
        }
    }
}
