//! The options of ssh that run nothing on this machine, read none of its files out and write none.

/// Options without a value.
const SWITCHES: [&str; 11] = ["-4", "-6", "-C", "-a", "-k", "-n", "-q", "-T", "-v", "-vv", "-x"];

/// Options with a value, as the next word or in the same one.
const VALUED: [&str; 3] = ["-p", "-l", "-i"];

/// What may stand behind `-o`, in small letters: ssh does not tell them apart.
const SETTINGS: [&str; 29] = [
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

/// These are harmless with this value alone: ssh writes keys of hosts to the file that they name, listens on it, or lets the
/// host use the keys and the screen of this user.
const FIXED: [(&str, &str); 7] = [
    ("clearallforwardings", "yes"),
    ("controlmaster", "no"),
    ("controlpath", "none"),
    ("forwardagent", "no"),
    ("forwardx11", "no"),
    ("globalknownhostsfile", "/dev/null"),
    ("userknownhostsfile", "/dev/null"),
];

/// The first of `options` that is not known to be harmless, as the flake has it. Nix and deploy-rs split options at spaces,
/// and ssh does not: what is harmless is so either way.
pub fn not_harmless(options: &[String]) -> Option<&str> {
    let mut words = options.iter().flat_map(|option| option.split_whitespace());
    while let Some(word) = words.next() {
        let harmless = match valued(word) {
            Some((name, "")) => words.next().is_some_and(|value| is_harmless(name, value)),
            Some((name, value)) => is_harmless(name, value),
            None => SWITCHES.contains(&word),
        };
        if !harmless {
            return Some(word);
        }
    }
    None
}

/// `word` as an option with a value: its name, and what of the value stands in the same word.
fn valued(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_at_checked(2)?;
    (name == "-o" || VALUED.contains(&name)).then_some((name, value))
}

fn is_harmless(option: &str, value: &str) -> bool {
    let (setting, value) = match option {
        "-o" => value.split_once('=').unwrap_or((value, "")),
        _ => ("", value),
    };
    let setting = setting.to_ascii_lowercase();
    let plain = |c: char| c.is_ascii_alphanumeric() || "._:/@+,~^-".contains(c);
    let is_plain = !value.is_empty() && !value.starts_with('-') && value.chars().all(plain);
    let known = option != "-o" || SETTINGS.contains(&setting.as_str());
    is_plain && known || FIXED.contains(&(setting.as_str(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(options: &[&str]) -> Option<String> {
        let options = options.iter().map(ToString::to_string).collect::<Vec<_>>();
        not_harmless(&options).map(str::to_owned)
    }

    #[test]
    fn options_that_run_nothing() {
        for options in [
            &["-p", "2222"][..],
            &["-p2222", "-4", "-C", "-l", "pi"],
            &["-p 2222 -v", "-i ~/.ssh/id_ed25519"],
            &["-o", "Port=22", "-oCOMPRESSION=yes", "-o ServerAliveInterval=5"],
            &["-oStrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-oForwardAgent=no"],
            &["-oKexAlgorithms=+diffie-hellman-group14-sha1,x@openssh.com", "-o", "ConnectTimeout=10"],
            &[],
        ] {
            assert_eq!(first(options), None, "{options:?}");
        }
    }

    #[test]
    fn options_that_may_run_something() {
        for (options, expected) in [
            (&["-oProxyCommand=x"][..], "-oProxyCommand=x"),
            (&["-p", "22", "-o", "proxycommand=x"], "-o"),
            (&["-o ProxyCommand=x"], "-o"),
            (&["-p 22 -oLocalCommand=x"], "-oLocalCommand=x"),
            (&["-oPort=22\nProxyCommand=x"], "ProxyCommand=x"),
            (&["-oPort=22\tProxyCommand=x"], "ProxyCommand=x"),
            (&["-4oProxyCommand=x"], "-4oProxyCommand=x"),
            (&["-i", "-oProxyCommand=x"], "-i"),
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
            (&["-o", "'Port=22'"], "-o"),
            (&["-o"], "-o"),
            (&["host", "command"], "host"),
            (&["--"], "--"),
        ] {
            assert_eq!(first(options).as_deref(), Some(expected), "{options:?}");
        }
    }

    #[test]
    fn fuzz() {
        let samples = ["-p 22 -oCompression=yes", "-oProxyCommand=x", "-i ~/.ssh/id -o Port=22"];
        crate::base::fuzz::check_text(&samples, |text| {
            let runs = |setting: &str| setting.to_ascii_lowercase().starts_with("proxycommand");
            let words = text.split_whitespace().collect::<Vec<_>>();
            let own = words.iter().filter_map(|word| word.strip_prefix("-o")).any(runs);
            let next = words.windows(2).any(|pair| pair[0] == "-o" && runs(pair[1]));
            assert!(!own && !next || not_harmless(&[text.to_owned()]).is_some(), "{text}");
        });
    }
}
