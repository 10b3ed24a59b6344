//! ssh options: those that the tool requires, those of the node, and their forms for Nix and deploy-rs.

use anyhow::Result;

use crate::bail;
use crate::base::{HostName, shell, ssh_path};
use crate::deploy::target::{Connection, Pin};

/// Forces a fresh connection. ssh takes the first value of an option, so these precede those of the node.
pub const NO_MUX: &[&str] = &["-o", "ControlMaster=no", "-o", "ControlPath=none"];
/// Without a terminal nobody can answer a question of ssh.
pub const BATCH_MODE: &[&str] = &["-o", "BatchMode=yes"];
/// Overrides `-tt` and `RequestTTY` of the node: a terminal changes the bytes of a copy, and the copy then waits for
/// ever.
const NO_TERMINAL: &str = "-T";
/// Timeouts for a dead link. They follow the options of the node, which may set others.
const TIMEOUTS: &[&str] =
    &["-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"];

/// The same limit of 15 s for a connection that is open and idle for minutes: each question costs packets.
pub const RARE_KEEPALIVE: &[&str] = &["-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=1"];

/// For a connection that carries texts: commands and their answers. Copies are compressed already, or have a fast link.
pub const COMPRESSION: &[&str] = &["-o", "Compression=yes"];

/// Makes ssh write its log to the file that is its stdin, apart from what the host writes to stderr.
pub const LOG: &[&str] = &["-n", "-E", "/dev/stdin"];

/// `options` as owned strings.
pub fn owned_options(options: &[&str]) -> Vec<String> {
    options.iter().map(ToString::to_string).collect()
}

impl Pin {
    /// The options with which ssh accepts only the pinned key.
    fn options(&self) -> Vec<String> {
        let values = [
            format!("UserKnownHostsFile={}", ssh_path(&self.file)),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
            format!("HostKeyAlias={}", self.alias),
            "StrictHostKeyChecking=yes".to_owned(),
        ];
        values.into_iter().flat_map(|value| ["-o".to_owned(), value]).collect()
    }
}

impl Connection {
    /// The words behind `ssh` in a command for the user, quoted for a shell: the options of the node, which may have a
    /// port and a key, then the destination.
    pub fn ssh_words(&self) -> String {
        let words = self.options.iter().chain([&self.destination]).map(|word| shell::quote(word));
        words.collect::<Vec<_>>().join(" ")
    }

    /// The options for every ssh: the pinned key, then those of the node, then the timeouts.
    fn all_options(&self) -> Vec<String> {
        let pin = self.pin.as_ref().map(Pin::options).unwrap_or_default();
        [pin, self.options.clone(), owned_options(TIMEOUTS)].concat()
    }

    /// The value of the ssh setting `name` in the options of the node. ssh ignores the case of names, and takes the
    /// first value.
    pub fn setting(&self, name: &str) -> Option<String> {
        let words = split_options(self.options.clone());
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let Some((letter, value)) = word.split_at_checked(2) else { continue };
            let value = if value.is_empty() && takes_value(letter) { words.next()? } else { value };
            let found = match letter {
                "-p" => Some(("port", value)),
                "-o" => value.split_once('='),
                _ => None,
            };
            match found {
                Some((found, value)) if found.trim().eq_ignore_ascii_case(name) => {
                    return Some(value.trim().to_owned());
                }
                _ => {}
            }
        }
        None
    }

    /// The arguments with which ssh runs `command` on the host. Options in `first` override all others.
    pub fn arguments(&self, first: Vec<String>, command: &str) -> Vec<String> {
        let rest = owned_options(&[NO_TERMINAL, "--", &self.destination, command]);
        [first, self.all_options(), rest].concat()
    }
}

/// The command with which a user logs in to the host, with the port and the other options of the node. The options
/// `first` override those of the node, and so does a `BatchMode=no` where the node sets that option.
pub fn login_command(connection: &Connection, first: &[&str]) -> String {
    let sets_batch_mode =
        connection.options.iter().any(|word| word.to_ascii_lowercase().contains("batchmode"));
    let batch_mode: &[&str] = if sets_batch_mode { &["-o", "BatchMode=no"] } else { &[] };
    let first = batch_mode.iter().chain(first).map(|word| shell::quote(word));
    let words = ["ssh".to_owned()].into_iter().chain(first).chain([connection.ssh_words()]);
    words.collect::<Vec<_>>().join(" ")
}

/// The options as one line for `NIX_SSHOPTS`, which Nix splits like a shell. Options in `first` override all others.
pub fn nix_ssh_opts(connection: &Connection, first: Vec<String>) -> String {
    let options = first.into_iter().chain(connection.all_options()).chain([NO_TERMINAL.to_owned()]);
    let options = options.collect::<Vec<_>>();
    options.iter().map(|option| shell::quote(option)).collect::<Vec<_>>().join(" ")
}

/// The options as one line for deploy-rs, which splits it at each space, as does the Nix that deploy-rs runs.
///
/// # Errors
/// `Refused` for an option with a space in its value, for an empty one, and for a file of the pinned key whose path ssh
/// takes only in quotes.
pub fn deploy_rs_ssh_opts(host: &HostName, connection: &Connection) -> Result<String> {
    let mut words = split_options(connection.all_options());
    words.push(NO_TERMINAL.to_owned());
    if words.iter().any(String::is_empty) {
        bail!(
            Refused, "an ssh option of {host} is empty";
            hint: "remove it from `sshOpts`"
        );
    }
    if let Some(word) = words.iter().find(|word| word.contains(char::is_whitespace)) {
        bail!(
            Refused, "deploy-rs would split the ssh option `{word}` of {host} at its spaces";
            hint: "put that option into ~/.ssh/config, or set XTASK_STATE to a state folder without spaces"
        );
    }
    // Such a path stands in quotes, which the Nix of deploy-rs would remove.
    if let Some(Pin { file, .. }) = connection.pin.as_ref().filter(|pin| ssh_path(&pin.file).starts_with('"'))
    {
        bail!(
            Refused, "deploy-rs would lose the quotes in the path of {}, which has the key of {host}", file.display();
            hint: "set XTASK_STATE to a state folder without quotes, backslashes and number signs in its path"
        );
    }
    Ok(words.join(" "))
}

/// Whether the option `letter` of ssh has a value: ssh(1), section SYNOPSIS.
fn takes_value(letter: &str) -> bool {
    letter.strip_prefix('-').is_some_and(|letter| "BbcDEeFIiJLlmOoPpQRSWw".contains(letter))
}

/// Splits each of `options` that can be split as in [`split_option`].
fn split_options(options: Vec<String>) -> Vec<String> {
    let mut words = Vec::<String>::new();
    for option in options {
        let is_setting = words.last().is_some_and(|last| last == "-o");
        words.extend(split_option(&option, is_setting));
    }
    words
}

/// Splits `option`, which ssh accepts as one word, into words without spaces that mean the same: `-p 22`, `-o Port 22`.
/// An option that cannot be split stays one word. `is_setting` is whether the word before is `-o`.
fn split_option(option: &str, is_setting: bool) -> Vec<String> {
    let unsplit = || vec![option.to_owned()];
    if !option.contains(char::is_whitespace) {
        return unsplit();
    }
    // The letter of the option with its dash; none before the value of an `-o` that is a word of its own.
    let letter = if is_setting { None } else { option.get(..2).filter(|start| start.starts_with('-')) };
    let value = match letter {
        Some("-o") => join_setting(option[2..].trim()),
        Some(_) => option[2..].trim().to_owned(),
        None if is_setting => join_setting(option.trim()),
        None => return unsplit(),
    };
    if value.is_empty() || value.contains(char::is_whitespace) {
        return unsplit();
    }
    letter.map(str::to_owned).into_iter().chain([value]).collect()
}

/// Makes one word of a setting such as `Port 22`: `Port=22`.
fn join_setting(setting: &str) -> String {
    match setting.split_once(char::is_whitespace) {
        Some((name, value)) if !name.contains('=') => format!("{name}={}", value.trim_start()),
        _ => setting.to_owned(),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::base::failure::{ExitKind, hint, kind};

    /// A connection to `root@pi` with these options of the node.
    pub fn connection(options: &[&str]) -> Connection {
        Connection { destination: "root@pi".into(), options: owned_options(options), pin: None }
    }

    /// The same connection with a pinned key.
    pub fn pinned(options: &[&str]) -> Connection {
        let pin = Pin { file: "/s/known_hosts".into(), alias: "stinky".into() };
        Connection { pin: Some(pin), ..connection(options) }
    }

    #[test]
    fn deploy_rs_gets_the_pinned_key_then_the_options_of_the_node_then_the_timeouts() {
        let expected = "-p 22 -o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3 -T";
        assert_eq!(deploy_rs_ssh_opts(&"h".into(), &connection(&["-p", "22"])).unwrap(), expected);
        let options = deploy_rs_ssh_opts(&"h".into(), &pinned(&["-p", "22"])).unwrap();
        assert!(options.starts_with("-o UserKnownHostsFile=/s/known_hosts -o Global"), "{options}");
        assert!(options.ends_with(expected), "{options}");
    }

    #[test]
    fn an_option_that_deploy_rs_would_split_is_refused() {
        for connection in [connection, pinned] {
            let error =
                deploy_rs_ssh_opts(&"h".into(), &connection(&["-o", "ProxyCommand=a b"])).unwrap_err();
            let expected = "deploy-rs would split the ssh option `ProxyCommand=a b` of h at its spaces";
            assert_eq!((kind(&error), error.to_string().as_str()), (ExitKind::Refused, expected));
        }
        let error = deploy_rs_ssh_opts(&"h".into(), &connection(&["-i", "/my key"])).unwrap_err();
        let remedy =
            "put that option into ~/.ssh/config, or set XTASK_STATE to a state folder without spaces";
        assert_eq!(hint(&error), Some(remedy));
    }

    #[test]
    fn the_first_value_of_a_setting_counts() {
        for (options, expected) in [
            (&[][..], None),
            (&["-p", "24"], Some("24")),
            (&["-4", "-p24"], Some("24")),
            (&["-p 24", "-p", "25"], Some("24")),
            (&["-oport=24", "-p", "25"], Some("24")),
            (&["-i", "-p", "-o", "PORT 24"], Some("24")),
            (&["-o", "Port = 24"], Some("24")),
            (&["-o", "ProxyCommand=nc -p 24", "-oPort 25"], Some("25")),
            (&["-o", "Compression=yes"], None),
            (&["x", "-p24"], Some("24")),
        ] {
            assert_eq!(connection(options).setting("port").as_deref(), expected, "{options:?}");
        }
    }

    #[test]
    fn an_empty_option_is_refused() {
        for options in [&["", "-4"][..], &["-o", ""]] {
            let error = deploy_rs_ssh_opts(&"h".into(), &connection(options)).unwrap_err();
            assert_eq!(error.to_string(), "an ssh option of h is empty");
        }
    }

    #[test]
    fn options_with_a_space_between_name_and_value_are_split() {
        for (options, expected) in [
            (&["-p 2222", "-tt"][..], Some("-p 2222 -tt")),
            (&["-o RequestTTY=force", "-oPort 22"], Some("-o RequestTTY=force -o Port=22")),
            (&["-o", "Port 22", "-o", " Compression=yes"], Some("-o Port=22 -o Compression=yes")),
            (&["-o SetEnv  A=b", "-i ~/.ssh/id"], Some("-o SetEnv=A=b -i ~/.ssh/id")),
            (&["-i /my key"], None),
            (&["-oProxyCommand ssh -W %h:%p b"], None),
            (&["-o-oPort 22"], Some("-o -oPort=22")),
            (&["-o", "SendEnv=A B"], None),
            (&[""], None),
            (&["-"], Some("-")),
            (&["é é"], None),
        ] {
            let line = deploy_rs_ssh_opts(&"h".into(), &connection(options)).ok();
            let expected = expected.map(|words| format!("{words} {} -T", TIMEOUTS.join(" ")));
            assert_eq!(line, expected, "{options:?}");
        }
    }

    #[test]
    fn fuzz() {
        crate::base::fuzz::check_text(&["-o Port 22", "-oProxyCommand=a b", "-p 22"], |text| {
            for is_setting in [false, true] {
                let words = split_option(text, is_setting).concat();
                let without_separators =
                    |text: &str| text.replace(|c: char| c.is_whitespace() || c == '=', "");
                assert_eq!(without_separators(&words), without_separators(text));
            }
        });
    }
}
