//! Safe ssh options: those that run no program on this machine, disclose none of its files and write none.

/// Safe options without a value.
const SWITCHES: &[&str] = &["-4", "-6", "-C", "-a", "-k", "-n", "-q", "-T", "-v", "-vv", "-x"];

/// Safe options with a value, as the next word or in the same one.
const VALUED: &[&str] = &["-p", "-l", "-i"];

/// Safe settings for `-o`, in lower case: ssh ignores their case.
const SAFE_SETTINGS: &[&str] = &[
    "addressfamily",
    "batchmode",
    "ciphers",
    "compression",
    "connectionattempts",
    "connecttimeout",
    "gssapiauthentication",
    "hostkeyalgorithms",
    "hostkeyalias",
    "hostname",
    "identitiesonly",
    "identityfile",
    "ipqos",
    "kbdinteractiveauthentication",
    "kexalgorithms",
    "loglevel",
    "macs",
    "numberofpasswordprompts",
    "passwordauthentication",
    "port",
    "preferredauthentications",
    "pubkeyauthentication",
    "rekeylimit",
    "requesttty",
    "serveralivecountmax",
    "serveraliveinterval",
    "stricthostkeychecking",
    "tcpkeepalive",
    "user",
];

/// Settings that are safe with this value only. With others, ssh writes host keys to the file that they name, listens
/// on it, or lets the host use the keys and the screen of this user.
const SAFE_VALUES: &[(&str, &str)] = &[
    ("clearallforwardings", "yes"),
    ("controlmaster", "no"),
    ("controlpath", "none"),
    ("forwardagent", "no"),
    ("forwardx11", "no"),
    ("globalknownhostsfile", "/dev/null"),
    ("userknownhostsfile", "/dev/null"),
];

/// The first of `options` that is not known to be safe, in the spelling of the flake: for `-o` and the options in
/// [`VALUED`] with the value, also if it is the next word. Nix and deploy-rs split options at spaces, and ssh does not:
/// a safe option is safe in both readings.
pub fn first_unsafe_option(options: &[String]) -> Option<String> {
    let mut words = options.iter().flat_map(|option| option.split_whitespace());
    while let Some(word) = words.next() {
        let option = split_value(word);
        let next_word = option.filter(|(_, value)| value.is_empty()).and_then(|_| words.next());
        let is_safe = match option {
            Some((name, "")) => next_word.is_some_and(|value| is_safe_option(name, value)),
            Some((name, value)) => is_safe_option(name, value),
            None => SWITCHES.contains(&word),
        };
        if !is_safe {
            return Some([word].into_iter().chain(next_word).collect::<Vec<_>>().join(" "));
        }
    }
    None
}

/// Splits `word`, if it is an option with a value, into the name and the value. The value is empty if it is the next
/// word.
fn split_value(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_at_checked(2)?;
    (name == "-o" || VALUED.contains(&name)).then_some((name, value))
}

/// Whether the option `name`, which takes a value, is safe with `value`.
fn is_safe_option(name: &str, value: &str) -> bool {
    if name != "-o" {
        return is_plain_value(value);
    }
    let (setting, value) = value.split_once('=').unwrap_or((value, ""));
    let setting = setting.to_ascii_lowercase();
    let is_safe_setting = SAFE_SETTINGS.contains(&setting.as_str()) && is_plain_value(value);
    is_safe_setting || SAFE_VALUES.contains(&(setting.as_str(), value))
}

/// Whether ssh takes `value` as it is: not as another option, and without expanding anything but `~`.
fn is_plain_value(value: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._:/@+,~^-".contains(c);
    !value.is_empty() && !value.starts_with('-') && value.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_unsafe(options: &[&str]) -> Option<String> {
        let options = options.iter().map(ToString::to_string).collect::<Vec<_>>();
        first_unsafe_option(&options)
    }

    #[test]
    fn options_that_run_nothing_are_safe() {
        for options in [
            &["-p", "2222"][..],
            &["-p2222", "-4", "-C", "-l", "pi"],
            &["-p 2222 -v", "-i ~/.ssh/id_ed25519"],
            &["-o", "Port=22", "-oCOMPRESSION=yes", "-o ServerAliveInterval=5"],
            &["-oStrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-oForwardAgent=no"],
            &["-oKexAlgorithms=+diffie-hellman-group14-sha1,x@openssh.com", "-o", "ConnectTimeout=10"],
            &[],
        ] {
            assert_eq!(first_unsafe(options), None, "{options:?}");
        }
    }

    #[test]
    fn the_first_option_that_may_run_something_is_named() {
        for (options, expected) in [
            (&["-oProxyCommand=x"][..], "-oProxyCommand=x"),
            (&["-p", "22", "-o", "proxycommand=x"], "-o proxycommand=x"),
            (&["-o ProxyCommand=x"], "-o ProxyCommand=x"),
            (&["-p 22 -oLocalCommand=x"], "-oLocalCommand=x"),
            (&["-oPort=22\nProxyCommand=x"], "ProxyCommand=x"),
            (&["-oPort=22\tProxyCommand=x"], "ProxyCommand=x"),
            (&["-4oProxyCommand=x"], "-4oProxyCommand=x"),
            (&["-i", "-oProxyCommand=x"], "-i -oProxyCommand=x"),
            (&["-oUserKnownHostsFile=~/.bashrc"], "-oUserKnownHostsFile=~/.bashrc"),
            (&["-oIdentityFile=%d/x"], "-oIdentityFile=%d/x"),
            (&["-oProxyJump=evil"], "-oProxyJump=evil"),
            (&["-J", "evil"], "-J"),
            (&["-F", "/tmp/config"], "-F"),
            (&["-I", "/tmp/lib.so"], "-I"),
            (&["-E", "/home/u/.bashrc"], "-E"),
            (&["-A"], "-A"),
            (&["-S", "/tmp/x"], "-S"),
            (&["-L", "1:h:2"], "-L"),
            (&["-w", "any"], "-w"),
            (&["-oKnownHostsCommand=x"], "-oKnownHostsCommand=x"),
            (&["-oPKCS11Provider=/x.so"], "-oPKCS11Provider=/x.so"),
            (&["-oSecurityKeyProvider=/x.so"], "-oSecurityKeyProvider=/x.so"),
            (&["-oXAuthLocation=/x"], "-oXAuthLocation=/x"),
            (&["-oMatch=exec"], "-oMatch=exec"),
            (&["-oInclude=/x"], "-oInclude=/x"),
            (&["-o", "'Port=22'"], "-o 'Port=22'"),
            (&["-o"], "-o"),
            (&["host", "command"], "host"),
            (&["--"], "--"),
        ] {
            assert_eq!(first_unsafe(options).as_deref(), Some(expected), "{options:?}");
        }
    }

    #[test]
    fn fuzz() {
        let samples = ["-p 22 -oCompression=yes", "-oProxyCommand=x", "-i ~/.ssh/id -o Port=22"];
        crate::base::fuzz::check_text(&samples, |text| {
            let runs_program = |setting: &str| setting.to_ascii_lowercase().starts_with("proxycommand");
            let words = text.split_whitespace().collect::<Vec<_>>();
            let in_one_word = words.iter().filter_map(|word| word.strip_prefix("-o")).any(runs_program);
            let in_two_words = words.windows(2).any(|pair| pair[0] == "-o" && runs_program(pair[1]));
            if in_one_word || in_two_words {
                assert!(first_unsafe_option(&[text.to_owned()]).is_some(), "{text}");
            }
        });
    }
}
