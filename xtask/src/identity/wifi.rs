//! The network of `flash --wifi`: its name, its password, and the files from which programs read both.

use std::fmt::Write as _;

use anyhow::Result;

use super::payload::{EntryKind, Owner, PayloadEntry};
use super::secret::Secret;
use crate::bail;

/// The most bytes that the name of a network has (IEEE 802.11).
const MAX_SSID: usize = 32;

/// The name of a network: any bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ssid(Vec<u8>);

impl Ssid {
    /// # Errors
    /// `Usage` for an empty name and for more than 32 bytes.
    pub fn new(bytes: &[u8]) -> Result<Self> {
        if bytes.is_empty() || bytes.len() > MAX_SSID {
            bail!(
                Usage,
                "--wifi names a network of {} bytes: the name of a network has 1 to 32",
                bytes.len()
            );
        }
        Ok(Self(bytes.to_vec()))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name for a message.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    /// The name of the file of the network, without its ending, as iwd names it: the name itself where it has only
    /// letters, digits, `-`, `_` and blanks, else its digits in hexadecimal.
    fn file_name(&self) -> String {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_ ".contains(byte);
        if self.0.iter().all(is_plain) {
            return self.shown();
        }
        self.0.iter().fold("=".to_owned(), |mut name, byte| {
            let _ = write!(name, "{byte:02x}");
            name
        })
    }
}

/// The password of a network: a passphrase, or the key of 256 bits that is made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WifiPassword(Secret);

impl WifiPassword {
    /// Takes `bytes` without the line end behind them.
    ///
    /// # Errors
    /// `Refused` for anything but 8 to 63 printable characters of ASCII, and 64 hexadecimal digits.
    pub fn new(bytes: &[u8]) -> Result<Self> {
        let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let is_passphrase =
            (8..=63).contains(&line.len()) && line.iter().all(|byte| (b' '..=b'~').contains(byte));
        if is_passphrase || is_raw_key(line) {
            return Ok(Self(Secret::new(line.to_vec())));
        }
        bail!(
            Refused, "this is no password of a Wi-Fi network: it has 8 to 63 printable characters of ASCII, or 64 \
                      hexadecimal digits";
            hint: "for other characters, pass the 64 digits that `wpa_passphrase SSID` prints as psk"
        )
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(self.0.reveal()).into_owned()
    }

    fn is_raw_key(&self) -> bool {
        is_raw_key(self.0.reveal())
    }
}

fn is_raw_key(bytes: &[u8]) -> bool {
    bytes.len() == 64 && bytes.iter().all(u8::is_ascii_hexdigit)
}

/// A file with the name and the password of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WifiFile {
    /// The path on the host.
    pub path: String,
    content: Secret,
}

impl WifiFile {
    /// The file of iwd.
    pub fn of_iwd(ssid: &Ssid, password: &WifiPassword) -> Self {
        let name = if password.is_raw_key() { "PreSharedKey" } else { "Passphrase" };
        Self {
            path: format!("/var/lib/iwd/{}.psk", ssid.file_name()),
            content: secret(&format!("[Security]\n{name}={}\n", escape_value(&password.text()))),
        }
    }

    /// The profile of `NetworkManager`, which makes its id and its UUID of the name of the file.
    pub fn of_network_manager(ssid: &Ssid, password: &WifiPassword) -> Self {
        let bytes = ssid.bytes().iter().map(|byte| format!("{byte};")).collect::<String>();
        let psk = escape_value(&password.text());
        let text = format!(
            "[connection]\ntype=wifi\n\n[wifi]\nmode=infrastructure\nssid={bytes}\n\n[wifi-security]\nkey-mgmt=wpa-psk\n\
             psk={psk}\n\n[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n"
        );
        let path = format!("/etc/NetworkManager/system-connections/{}.nmconnection", ssid.file_name());
        Self { path, content: secret(&text) }
    }

    /// The file with the secrets of `wpa_supplicant` at `path`, where the configuration names the password `name`.
    ///
    /// # Errors
    /// `Refused` for a password of which `wpa_supplicant` would read a part: the file has no quotes.
    pub fn of_wpa_supplicant(path: &str, name: &str, password: &WifiPassword) -> Result<Self> {
        let text = password.text();
        if text.contains('#') || text.ends_with(' ') {
            bail!(
                Refused, "wpa_supplicant of the host cannot read this password from a file: it takes `#` for a comment, and \
                          drops blanks at the end";
                hint: "pass the 64 digits that `wpa_passphrase SSID` prints as psk"
            );
        }
        Ok(Self { path: path.to_owned(), content: secret(&format!("{name}={text}\n")) })
    }

    /// The entry of the payload at `path`, which only root can read, behind the folder that contains the entry, unless
    /// others read that folder too.
    pub fn into_entries(self, path: String) -> Vec<PayloadEntry> {
        let is_folder_private =
            ["/var/lib/iwd/", "/etc/NetworkManager/"].iter().any(|of| self.path.starts_with(of));
        let folder = path.rsplit_once('/').filter(|_| is_folder_private).map(|(folder, _)| folder.to_owned());
        let entry = |path, mode, kind| PayloadEntry { path, mode, owner: Owner::ROOT, kind };
        let folder = folder.map(|path| entry(path, 0o700, EntryKind::Folder));
        folder.into_iter().chain([entry(path, 0o600, EntryKind::File(self.content))]).collect()
    }
}

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

/// A value for the files of iwd and of `NetworkManager`, which both read `\s` as a blank and drop a blank at the start.
fn escape_value(text: &str) -> String {
    text.replace('\\', "\\\\").replace(' ', "\\s")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::{ExitKind, kind};

    fn ssid(name: &str) -> Ssid {
        Ssid::new(name.as_bytes()).unwrap()
    }

    fn password(text: &str) -> WifiPassword {
        WifiPassword::new(text.as_bytes()).unwrap()
    }

    /// The path and the text of a file.
    fn shown(file: &WifiFile) -> (&str, String) {
        (&file.path, String::from_utf8(file.content.reveal().to_vec()).unwrap())
    }

    #[test]
    fn the_file_of_iwd_has_the_name_of_the_network() {
        for (name, path) in [
            ("home", "/var/lib/iwd/home.psk"),
            ("My home_5-G", "/var/lib/iwd/My home_5-G.psk"),
            ("caf\u{e9}", "/var/lib/iwd/=636166c3a9.psk"),
            ("../a", "/var/lib/iwd/=2e2e2f61.psk"),
            ("a\"b\n", "/var/lib/iwd/=6122620a.psk"),
        ] {
            let file = WifiFile::of_iwd(&ssid(name), &password(" a\\b \"c\"=#;"));
            assert_eq!(shown(&file), (path, "[Security]\nPassphrase=\\sa\\\\b\\s\"c\"=#;\n".to_owned()));
        }
        let raw = "0123456789abcdefABCDEF0123456789abcdef0123456789abcdef0123456789";
        let file = WifiFile::of_iwd(&ssid("home"), &password(raw));
        assert_eq!(shown(&file).1, format!("[Security]\nPreSharedKey={raw}\n"));
    }

    #[test]
    fn the_profile_of_network_manager_has_the_bytes_of_the_name() {
        let file = WifiFile::of_network_manager(&ssid("a;\"\u{e9}"), &password("pass;word "));
        let (path, text) = shown(&file);
        assert_eq!(path, "/etc/NetworkManager/system-connections/=613b22c3a9.nmconnection");
        assert!(text.contains("\nssid=97;59;34;195;169;\n"), "{text}");
        assert!(text.contains("\npsk=pass;word\\s\n"), "{text}");
    }

    #[test]
    fn the_secret_of_wpa_supplicant_is_a_line() {
        let file = |text| WifiFile::of_wpa_supplicant("/nix/persist/wifi", "home", &password(text));
        let whole = file(" a\\b \"c\"=;").unwrap();
        assert_eq!(shown(&whole), ("/nix/persist/wifi", "home= a\\b \"c\"=;\n".to_owned()));
        for text in ["#1234567", "1234567#", "\"12345#\"", "12345678 "] {
            let error = file(text).unwrap_err();
            assert_eq!(kind(&error), ExitKind::Refused, "{text}");
            assert!(!error.to_string().contains("1234"), "{error}");
        }
    }

    #[test]
    fn files_and_their_folders_are_only_for_root() {
        let lines = |file: WifiFile| {
            let entries = file.into_entries("var/lib/iwd/home.psk".to_owned());
            entries.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let secrets = WifiFile::of_wpa_supplicant("/nix/persist/wifi", "home", &password("12345678"));
        assert_eq!(lines(secrets.unwrap()), ["var/lib/iwd/home.psk (14 B, mode 0600)"]);
        let of_iwd = WifiFile::of_iwd(&ssid("home"), &password("12345678"));
        assert_eq!(lines(of_iwd), ["var/lib/iwd/ (mode 0700)", "var/lib/iwd/home.psk (31 B, mode 0600)"]);
    }

    #[test]
    fn passwords_are_those_of_the_standard() {
        let of_length = |length| "x".repeat(length);
        for text in ["12345678", "12345678\n", "12345678\r\n", &of_length(63), &"aF".repeat(32), "        "] {
            assert_eq!(password(text).text(), text.trim_end_matches(['\r', '\n']), "{text:?}");
        }
        for text in ["", "1234567", "1234567\n", "1234567\n8", "passw\u{f6}rter", "1234567\t", &of_length(64)]
        {
            let error = WifiPassword::new(text.as_bytes()).unwrap_err();
            assert_eq!(kind(&error), ExitKind::Refused, "{text:?}");
            assert!(text.len() < 7 || !error.to_string().contains(text), "{error}");
        }
        assert!(!format!("{:?}", password("12345678")).contains("1234"));
    }

    #[test]
    fn a_network_has_a_name_of_32_bytes_at_most() {
        assert!(Ssid::new(&[0xff; 32]).is_ok());
        for bytes in [&[][..], &[b'a'; 33]] {
            assert_eq!(kind(&Ssid::new(bytes).unwrap_err()), ExitKind::Usage);
        }
    }
}
