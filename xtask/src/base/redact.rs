//! Redacting secrets in what is shown or logged: logins in URLs, and arguments that are secrets.

use std::ops::Range;

/// What stands in place of a secret.
const REDACTED: &str = "…";

/// The words in the name of an option or a variable whose value is a secret.
const SECRET_WORDS: &[&str] = &["token", "password", "passphrase", "passwd", "secret"];

/// What Nix prints before the line of a setting that it cannot parse.
const QUOTED_SETTING: &str = "configuration line '";

/// The schemes of addresses that have a path in the place of a login, without slashes before it.
const PATH_SCHEMES: &[&str] = &["path", "file", "flake", "github", "gitlab", "sourcehut"];

/// The ends of names whose value only leads to a secret: a file, a file descriptor, a program.
const REFERENCE_ENDS: &[&str] = &["-file", "-files", "-fd", "-command", "-path"];

/// `text` without the passwords and tokens in its addresses. A web address loses all text before `@`, which may be a
/// token; any other address keeps the user, and loses the text after the `:`. Parameters that are named after a secret,
/// such as `?private_token=…`, lose their values, and so do lines of settings that Nix quotes because it cannot parse
/// them. An address may lack its scheme, as `user:password@host`.
pub fn without_passwords(text: &str) -> String {
    without_quoted_settings(&without_secret_parameters(&without_bare_logins(&without_logins(text))))
}

/// `text` without the values in the lines that Nix quotes as `configuration line '…' in`. In a line that Nix cannot
/// parse, any word may be a secret: only a first word that can be the name of a setting stays.
fn without_quoted_settings(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, quoted)) = rest.split_once(QUOTED_SETTING) {
        let (setting, behind) = quoted.split_at(quoted.find("' in ").unwrap_or(quoted.len()));
        plain.extend([before, QUOTED_SETTING]);
        let end = |c: char| c.is_whitespace() || c == '=';
        match setting.trim_start().split_once(end) {
            Some((name, _)) if is_setting(name) => plain.extend([name, " ", REDACTED]),
            _ => plain.push_str(REDACTED),
        }
        rest = behind;
    }
    plain + rest
}

/// Whether `name` can be that of a setting of Nix.
fn is_setting(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '-')
}

/// `text` without the secrets before the `@` of its addresses.
fn without_logins(text: &str) -> String {
    let ends_authority = |c: char| c.is_whitespace() || "/?#'\"`<>".contains(c);
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(scheme_end) = rest.find("://") {
        let (scheme, address) = rest.split_at(scheme_end + "://".len());
        plain.push_str(scheme);
        let authority = address.split(ends_authority).next().unwrap_or_default();
        let login = authority.rsplit_once('@').map_or("", |(login, _)| login);
        let is_web = scheme.ends_with("http://") || scheme.ends_with("https://");
        let shown = if is_web { "" } else { login.split(':').next().unwrap_or_default() };
        plain.push_str(shown);
        if shown.len() < login.len() {
            plain.push_str(REDACTED);
        }
        rest = &address[login.len()..];
    }
    plain.push_str(rest);
    plain
}

/// `text` without the passwords in words such as `user:PASSWORD@host`, an address without a scheme.
fn without_bare_logins(text: &str) -> String {
    let ends_word = |c: char| c.is_whitespace() || "'\"`<>(),".contains(c);
    let mut plain = String::with_capacity(text.len());
    for word in text.split_inclusive(ends_word) {
        match bare_password(word) {
            Some(password) => plain.extend([&word[..password.start], REDACTED, &word[password.end..]]),
            None => plain.push_str(word),
        }
    }
    plain
}

/// Where the password of `word` is, if `word` has the shape `user:PASSWORD@host`, such as behind the name of an option.
fn bare_password(word: &str) -> Option<Range<usize>> {
    let is_user =
        |user: &str| !user.is_empty() && user.chars().all(|c| c.is_alphanumeric() || "._-=".contains(c));
    let (login, host) = word.rsplit_once('@')?;
    let (user, _) = login.split_once(':').filter(|(user, password)| is_user(user) && !password.is_empty())?;
    let is_login = !PATH_SCHEMES.contains(&user)
        && !login.contains("://")
        && host.starts_with(|c: char| c.is_alphanumeric() || c == '[');
    is_login.then_some(user.len() + 1..login.len())
}

/// `text` without the values of the parameters of its addresses that are named after a secret.
fn without_secret_parameters(text: &str) -> String {
    let ends_value = |c: char| c.is_whitespace() || "&#'\"`<>".contains(c);
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(mark) = rest.find(['?', '&']) {
        let (before, parameter) = rest.split_at(mark + 1);
        plain.push_str(before);
        let end = parameter.find(|c: char| ends_value(c) || c == '?').unwrap_or(parameter.len());
        let secret = parameter[..end].split_once('=').filter(|(name, _)| names_secret(name));
        match secret {
            Some((name, _)) => plain.extend([name, "=", REDACTED]),
            None => plain.push_str(&parameter[..end]),
        }
        rest = &parameter[end..];
    }
    plain + rest
}

/// The words of a command line without its secrets: passwords in URLs, and the values of options and variables that are
/// named after a secret, such as `--option access-tokens VALUE`, `--access-tokens=VALUE` or `API_TOKEN=VALUE`.
pub fn arguments(words: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut is_secret = false;
    let redact = |word: String| {
        if std::mem::take(&mut is_secret) {
            return REDACTED.to_owned();
        }
        if let Some((name, _)) = word.split_once('=').filter(|(name, _)| names_secret(name)) {
            return format!("{name}={REDACTED}");
        }
        is_secret = names_secret(&word);
        without_passwords(&word)
    };
    words.into_iter().map(redact).collect()
}

/// Whether `name`, that of an option, of a setting of Nix or of a variable, is that of a secret.
fn names_secret(name: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let name = name.to_ascii_lowercase().replace('_', "-");
    name.chars().all(is_name)
        && SECRET_WORDS.iter().any(|word| name.contains(word))
        && !REFERENCE_ENDS.iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_lose_their_secrets() {
        for (words, expected) in [
            ("nix build --option access-tokens github.com=ghp_1 x", "nix build --option access-tokens … x"),
            ("nix build --access-tokens=a=b --offline", "nix build --access-tokens=… --offline"),
            ("env API_TOKEN=1 GIT_DIR=/x git status", "env API_TOKEN=… GIT_DIR=/x git status"),
            (
                "restic --repo=rest:https://me:pw@h/r --password-file=/p",
                "restic --repo=rest:https://…@h/r --password-file=/p",
            ),
            (
                "nix eval git+ssh://git:pw@h/r --secret-key-files /k",
                "nix eval git+ssh://git…@h/r --secret-key-files /k",
            ),
            ("ssh-keygen -y -P  -f /x", "ssh-keygen -y -P  -f /x"),
            ("program --password", "program --password"),
        ] {
            let shown = arguments(words.split(' ').map(str::to_owned));
            assert_eq!(shown.join(" "), expected);
        }
    }

    #[test]
    fn quoted_lines_of_settings_lose_their_values() {
        let quoted =
            |line: &str| format!("error: syntax error in configuration line '{line}' in 'NIX_CONFIG'\nTry");
        for (line, expected) in [
            ("access-tokens github.com=ghp_1", "access-tokens …"),
            ("extra-access-tokens=github.com=ghp_1", "extra-access-tokens …"),
            ("  access-tokens it's=ghp_1", "access-tokens …"),
            ("github.com access-tokens ghp_1", "…"),
            ("github.com=ghp_1", "…"),
            ("ghp_1", "…"),
            ("swordfish", "…"),
            ("max-jobs 4", "max-jobs …"),
        ] {
            assert_eq!(without_passwords(&quoted(line)), quoted(expected));
        }
        assert_eq!(without_passwords("configuration line 'tokens x"), "configuration line 'tokens …");
    }

    #[test]
    fn addresses_without_a_scheme_lose_their_passwords() {
        for (text, expected) in [
            ("cannot reach 'root:pw@pi.lan': x", "cannot reach 'root:…@pi.lan': x"),
            ("--to me:p@ss:w@[fe80::1] y", "--to me:…@[fe80::1] y"),
            ("--to=me:pw@h\n--to root@h", "--to=me:…@h\n--to root@h"),
            (
                "git@github.com:me/x.git at 12:30 @noon a:b@ :x@h",
                "git@github.com:me/x.git at 12:30 @noon a:b@ :x@h",
            ),
            ("ssh://me@h/a and path:/x@y", "ssh://me@h/a and path:/x@y"),
        ] {
            assert_eq!(without_passwords(text), expected);
        }
    }

    #[test]
    fn parameters_lose_their_secrets() {
        for (text, expected) in [
            (
                "'https://h/a.tar.gz?private_token=x&ref=main'",
                "'https://h/a.tar.gz?private_token=…&ref=main'",
            ),
            ("https://h/?rev=1&access_token=x y", "https://h/?rev=1&access_token=… y"),
            ("why? a && b=c", "why? a && b=c"),
        ] {
            assert_eq!(without_passwords(text), expected);
        }
    }

    #[test]
    fn fuzz() {
        crate::base::fuzz::check_text(&["a --token=b https://u:p@h/ API_TOKEN=1"], |text| {
            arguments(text.split(' ').map(str::to_owned))
        });
    }
}
