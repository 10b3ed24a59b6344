//! The errors for the key of a host: nobody has accepted it yet, it is not the known one, or it is revoked.

use super::excerpt::{is_short, truncate};
use super::options::login_command;
use crate::base::failure::{ExitKind, kind};
use crate::base::{HostName, shell};
use crate::deploy::target::Connection;
use crate::failure;

/// The end of the message for a host whose key nobody has accepted yet.
const UNKNOWN_KEY: &str = "is not known here";

/// The beginning of the message for a host key that differs from the known one, after the host.
const CHANGED_KEY: &str = "answers with a host key that is not the one known for it";

/// Makes ssh ask about an unknown key, whatever the node and the user's configuration say.
const ASK: &[&str] = &["-o", "StrictHostKeyChecking=ask"];

/// The error for the host key, by the trusted lines of the log of ssh; `None` where the connection failed for another
/// reason.
pub fn host_key_error(host: &HostName, connection: &Connection, log: &[&str]) -> Option<anyhow::Error> {
    let has_line = |begin: &str| log.iter().any(|line| line.starts_with(begin));
    let is_revoked = |line: &&str| {
        line.starts_with("@       WARNING: REVOKED HOST KEY DETECTED!")
            || line.starts_with("Host key ") && line.contains(" revoked by file ")
    };
    // With strict checking ssh prints this line, and does not ask.
    let is_strict = log.iter().any(|line| line.contains(" host key is known for "));
    if has_line("@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!") {
        Some(changed_key_error(host, connection, log))
    } else if log.iter().any(is_revoked) {
        Some(revoked_key_error(host, connection))
    } else if is_strict || has_line("Host key verification failed") {
        // With a pin, ssh knows one key of the host, so the host has offered a key of another type.
        Some(match connection.pin {
            Some(_) => changed_key_error(host, connection, log),
            None => unknown_key_error(host, connection, is_strict),
        })
    } else {
        None
    }
}

/// The label of `error` in a table of hosts. Unlike that of the exit kind, the label distinguishes a host key that
/// nobody has accepted yet, one that is not the known one, and one that is revoked. `None` where the general label of
/// the table suffices.
pub fn failure_label(error: &anyhow::Error) -> Option<&'static str> {
    let has_words = |words: &str| error.chain().any(|cause| cause.to_string().contains(words));
    match kind(error) {
        ExitKind::HostKey if has_words(CHANGED_KEY) => Some("another host key"),
        ExitKind::HostKey if has_words(UNKNOWN_KEY) => Some("key not known"),
        kind => kind.host_label(),
    }
}

/// The error for a host key that nobody has accepted yet. `is_strict` is whether ssh is set not to ask.
fn unknown_key_error(host: &HostName, connection: &Connection, is_strict: bool) -> anyhow::Error {
    let first: &[&str] = if is_strict { ASK } else { &[] };
    failure!(
        HostKey, "the host key of {host} {UNKNOWN_KEY}";
        hint: "compare it with the key on the host, then run `cargo xtask identity trust {host:#}`, or accept it once with \
               `{}`", login_command(connection, first)
    )
}

fn revoked_key_error(host: &HostName, connection: &Connection) -> anyhow::Error {
    failure!(
        HostKey, "{host} answers with a host key that is marked as revoked";
        hint: "give {host} another key; until then, do not trust what answers at {}", known_name(connection)
    )
}

/// The error for a host key that differs from the known one, with the two keys by the `log` of ssh.
fn changed_key_error(host: &HostName, connection: &Connection, log: &[&str]) -> anyhow::Error {
    let mut words = log.iter().flat_map(|line| line.split_whitespace());
    let fingerprint = words.find(|word| word.starts_with("SHA256:"));
    let fingerprint = truncate(fingerprint.map_or("not shown by ssh", |word| word.trim_end_matches('.')));
    let offending = log.iter().find(|line| line.starts_with("Offending"));
    let offending = match (offending, &connection.pin) {
        (Some(line), _) => line.trim().trim_start_matches("Offending ").to_owned(),
        (None, Some(pin)) => format!("{} in {}", pin.alias, pin.file.display()),
        (None, None) => "in known_hosts".to_owned(),
    };
    failure!(
        HostKey,
        "{host} {CHANGED_KEY}\n  the key of this answer: {fingerprint}\n  the known key: {}",
        truncate(&offending);
        hint: "{}", remedies(host, connection, log)
    )
}

/// What to do about a changed key. A pinned key came with the card, or was compared once: a changed one means another
/// card, a new key on the host, or another machine.
fn remedies(host: &HostName, connection: &Connection, log: &[&str]) -> String {
    let name = known_name(connection);
    if connection.pin.is_some() {
        return format!(
            "if someone flashed the card without this project's key, flash it again with `cargo xtask flash {host:#}`, \
             which restores the key\n  \
             if the host made itself a new key, compare the two, then run `cargo xtask identity trust {host:#}`\n  \
             if this is not your host, another machine answers at {name}: do not deploy to it"
        );
    }
    let forget = forget_command(connection, log).map_or_else(
        || format!("remove the known key of {name} from known_hosts"),
        |command| format!("run `{command}`"),
    );
    format!(
        "if its card was flashed again with new keys, {forget} and accept the new key with `{}`\n  \
         if another machine answers at that address, do not deploy to it",
        login_command(connection, ASK)
    )
}

/// The command that removes the known key from the file where ssh found it, under the name that ssh gives it. `None`
/// where the path or the name is too long for a hint: if it were cut, the command would name another file or host.
fn forget_command(connection: &Connection, log: &[&str]) -> Option<String> {
    let name = log.iter().find_map(|line| name_of_changed_key(line)).map(str::to_owned);
    let file = log.iter().find_map(|line| file_of_offending_key(line)).map(str::to_owned);
    let name = name.unwrap_or_else(|| known_name(connection));
    if !file.iter().chain([&name]).all(|part| is_short(part)) {
        return None;
    }
    let file = file.map(|file| format!(" -f {}", shell::quote(&file)));
    Some(format!("ssh-keygen{} -R {}", file.unwrap_or_default(), shell::quote(&name)))
}

/// The file in a line of ssh such as `Offending ED25519 key in /home/pi/.ssh/known_hosts:3`.
fn file_of_offending_key(line: &str) -> Option<&str> {
    let (_, file_and_number) = line.strip_prefix("Offending ")?.split_once(" in ")?;
    let (file, _) = file_and_number.rsplit_once(':')?;
    Some(file)
}

/// The name of the host in a line of ssh such as `Host key for [10.0.0.2]:2222 has changed and you have requested …`.
fn name_of_changed_key(line: &str) -> Option<&str> {
    let (name, _) = line.strip_prefix("Host key for ")?.split_once(" has changed and ")?;
    Some(name)
}

/// The name of the host in the user's `known_hosts`: the alias that the node gives it, or its name, with the port if
/// that is not 22. The project's `known_hosts` has the alias of the pin instead.
fn known_name(connection: &Connection) -> String {
    if let Some(alias) = connection.setting("hostkeyalias") {
        return alias;
    }
    let name = connection.hostname();
    match connection.setting("port") {
        Some(port) if port != "22" => format!("[{name}]:{port}"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::tests::{connection, pinned};
    use super::*;
    use crate::base::failure::hint;

    const CHANGED: &str = "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @";

    fn error(connection: &Connection, log: &[&str]) -> anyhow::Error {
        host_key_error(&"pi".into(), connection, log).unwrap()
    }

    #[test]
    fn remedies_have_the_port_and_the_options_of_the_node() {
        for (options, remove, accept) in [
            (&[][..], "ssh-keygen -R pi`", "root@pi`"),
            (&["-p", "2222"], "ssh-keygen -R '[pi]:2222'`", "-p 2222 root@pi`"),
            (&["-p2222"], "ssh-keygen -R '[pi]:2222'`", "-p2222 root@pi`"),
            (&["-o", "Port=22"], "ssh-keygen -R pi`", "-o Port=22 root@pi`"),
            (&["-oport 24"], "ssh-keygen -R '[pi]:24'`", "'-oport 24' root@pi`"),
            (&["-o", "HostKeyAlias=b", "-p24"], "ssh-keygen -R b`", "-o HostKeyAlias=b -p24 root@pi`"),
            (&["-oPort=24", "-J", "a b"], "ssh-keygen -R '[pi]:24'`", "-oPort=24 -J 'a b' root@pi`"),
        ] {
            let connection = connection(options);
            let changed = error(&connection, &[CHANGED]);
            let remedy = hint(&changed).unwrap();
            assert!(remedy.contains(remove), "{remedy}");
            assert!(remedy.contains(&format!("`ssh -o StrictHostKeyChecking=ask {accept}")), "{remedy}");
            let unknown = error(&connection, &["Host key verification failed."]);
            let remedy = hint(&unknown).unwrap();
            assert!(remedy.ends_with(&format!("accept it once with `ssh {accept}")), "{remedy}");
        }
    }

    #[test]
    fn the_label_of_a_host_key_is_true_of_it() {
        let failed = "Host key verification failed.";
        let revoked = "@       WARNING: REVOKED HOST KEY DETECTED!               @";
        for (line, expected) in
            [(failed, "key not known"), (CHANGED, "another host key"), (revoked, "host key refused")]
        {
            let error = error(&connection(&[]), &[line, failed]);
            assert_eq!(failure_label(&error), Some(expected));
            assert_eq!(failure_label(&error.context("deploying")), Some(expected));
        }
    }

    #[test]
    fn the_command_that_accepts_a_key_asks() {
        let strict = "No ED25519 host key is known for pi and you have requested strict checking.";
        let options = ["-o", "batchmode=yes", "-o", "StrictHostKeyChecking=yes"];
        for (log, expected) in [
            (&[strict, "Host key verification failed."][..], "-o BatchMode=no -o StrictHostKeyChecking=ask "),
            (&["Host key verification failed."], "-o BatchMode=no "),
        ] {
            let error = error(&connection(&options), log);
            let expected = format!("once with `ssh {expected}{} root@pi`", options.join(" "));
            assert!(hint(&error).unwrap().ends_with(&expected), "{:?}", hint(&error));
        }
    }

    #[test]
    fn the_known_key_is_removed_where_ssh_found_it() {
        let log = [
            CHANGED,
            "Offending ED25519 key in /home/me/my hosts:3",
            "Host key for [10.0.0.2]:2222 has changed and you have requested strict checking.",
        ];
        let expected = "`ssh-keygen -f '/home/me/my hosts' -R '[10.0.0.2]:2222'`";
        let unpinned = error(&connection(&[]), &log);
        assert!(hint(&unpinned).unwrap().contains(expected), "{:?}", hint(&unpinned));
        // The key that replaces a pinned one is compared, and pinned.
        let changed = error(&pinned(&["-p", "2222"]), &log);
        let remedy = hint(&changed).unwrap();
        assert!(
            remedy.contains("`cargo xtask identity trust pi`") && !remedy.contains("ssh-keygen"),
            "{remedy}"
        );
    }

    /// A part of a path is another path.
    #[test]
    fn no_command_has_a_part_of_a_long_path_or_name() {
        let long = "x".repeat(1000);
        let line = format!("Offending ED25519 key in /home/{long}/known_hosts:3");
        let name = format!("Host key for {long} has changed and you have requested strict checking.");
        for log in [[CHANGED, &line], [CHANGED, &name]] {
            let error = error(&connection(&[]), &log);
            let remedy = hint(&error).unwrap();
            assert!(remedy.contains("remove the known key of pi from known_hosts"), "{remedy}");
            assert!(!remedy.contains("ssh-keygen") && !remedy.contains("[cut]"), "{remedy}");
        }
    }

    /// ssh does not compare keys of different types, so it calls the other key unknown.
    #[test]
    fn a_key_of_another_type_than_the_pinned_one_is_another_key() {
        let log = [
            "No RSA host key is known for stinky and you have requested strict checking.",
            "Host key verification failed.",
        ];
        let error = error(&pinned(&[]), &log);
        assert_eq!(failure_label(&error), Some("another host key"), "{error}");
        assert!(error.to_string().ends_with("the known key: stinky in /s/known_hosts"), "{error}");
    }

    #[test]
    fn the_error_for_a_revoked_key_offers_no_way_to_accept_it() {
        for line in [
            "@       WARNING: REVOKED HOST KEY DETECTED!               @",
            "Host key ED25519 SHA256:abc revoked by file /etc/ssh/revoked",
        ] {
            let error = error(&connection(&["-p", "24"]), &[line, "Host key verification failed."]);
            assert!(error.to_string().ends_with("marked as revoked"), "{error}");
            assert!(hint(&error).unwrap().ends_with("do not trust what answers at [pi]:24"));
        }
    }

    #[test]
    fn fuzz() {
        let samples = [
            "Offending ED25519 key in /root/.ssh/known_hosts:3\nHost key for pi has changed and you have requested",
            "Host key verification failed.\nNo RSA host key is known for pi and you have requested strict checking.",
        ];
        crate::base::fuzz::check_text(&samples, |text| {
            let lines = [CHANGED].into_iter().chain(text.lines()).collect::<Vec<_>>();
            let error = error(&connection(&[]), &lines);
            assert!(hint(&error).unwrap().len() < 8192);
        });
    }
}
