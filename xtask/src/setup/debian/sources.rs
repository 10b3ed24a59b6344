//! Reads the machine's apt sources, in both formats of apt, and finds the source of its distribution.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::bail;

/// An apt source: the addresses of packages, and how their lists are signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    kinds: Vec<String>,
    pub uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    /// The [`TRUST_FIELDS`] with their values, which may have several lines.
    trust: Vec<(String, String)>,
    is_ubuntu: bool,
}

/// The fields that decide whether apt trusts a source. Other fields may not suit another suite.
const TRUST_FIELDS: &[&str] =
    &["Signed-By", "Trusted", "Check-Valid-Until", "Allow-Insecure", "Allow-Weak", "Check-Date"];

/// The names of suites that follow the releases of the distribution, beside its code name.
const ROLLING_SUITES: &[&str] = &["stable", "oldstable", "testing", "unstable", "sid"];

/// Finds the source of the distribution in the files under `etc` (`/etc`).
///
/// # Errors
/// `Refused` where no source is that of the distribution.
pub fn load(etc: &Path) -> Result<Source> {
    let path = etc.join("os-release");
    let release = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let mut sources = Vec::new();
    for file in source_files(etc)? {
        let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let is_deb822 = file.extension().is_some_and(|end| end == "sources");
        sources.extend(if is_deb822 { parse_deb822(&text) } else { parse_one_line(&text) });
    }
    let code_name = code_name(&release);
    let Some(source) = sources.into_iter().find(|source| source.is_of_distribution(code_name)) else {
        bail!(
            Refused, "/etc/apt has no source for the component main of {code_name}";
            hint: "add one (see sources.list(5)), then run this command again"
        );
    };
    let is_ubuntu = release.lines().any(|line| line == "ID=ubuntu");
    Ok(Source { is_ubuntu, ..source })
}

/// The files that apt itself reads, in apt's order.
fn source_files(etc: &Path) -> Result<Vec<PathBuf>> {
    let list = etc.join("apt/sources.list");
    let parts = etc.join("apt/sources.list.d");
    let mut found = Vec::new();
    if parts.is_dir() {
        let context = || format!("reading {}", parts.display());
        for entry in fs::read_dir(&parts).with_context(context)? {
            found.push(entry.with_context(context)?.path());
        }
    }
    found.retain(|file| file.extension().is_some_and(|end| end == "sources" || end == "list"));
    found.sort();
    Ok(list.is_file().then_some(list).into_iter().chain(found).collect())
}

/// `VERSION_CODENAME` in the text of an os-release file; empty where it is missing.
fn code_name(release: &str) -> &str {
    let value = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    value.unwrap_or_default().trim_matches('"')
}

/// The fields of a source, by the names of deb822.
type Fields = Vec<(String, String)>;

/// Parses the format of `*.sources`: stanzas of fields, separated by empty lines. Disabled sources are left out.
pub fn parse_deb822(text: &str) -> Vec<Source> {
    let lines = text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>();
    let stanzas = lines.split(|line| line.trim().is_empty()).filter(|stanza| !stanza.is_empty());
    stanzas
        .map(parse_stanza)
        .filter(|fields| !is_false(field(fields, "Enabled")))
        .map(|fields| Source::new(&fields))
        .collect()
}

fn parse_stanza(stanza: &[&str]) -> Fields {
    let mut fields = Fields::new();
    for line in stanza {
        if line.starts_with([' ', '\t']) {
            // The line continues the value of the last field.
            if let Some((_, value)) = fields.last_mut() {
                value.extend(["\n", line]);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    fields
}

/// Whether `value` is one of apt's words for false.
fn is_false(value: &str) -> bool {
    ["no", "false", "without", "off", "disable", "0"].iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// The value of the field `name`; empty where it is missing.
fn field<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
}

/// Parses the format of `*.list`: `deb [option=value …] uri suite component…`.
pub fn parse_one_line(text: &str) -> Vec<Source> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter_map(parse_line).map(|fields| Source::new(&fields)).collect()
}

/// Parses one line of [`parse_one_line`]; `None` for an empty or incomplete one.
fn parse_line(line: &str) -> Option<Fields> {
    let (kind, rest) = line.split_once(char::is_whitespace)?;
    let rest = rest.trim_start();
    let bracketed = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (options, rest) = bracketed.unwrap_or(("", rest));
    let mut words = rest.split_whitespace();
    let uri = words.next()?;
    let suite = words.next()?;
    let components = words.collect::<Vec<_>>().join(" ");
    let named = [("Types", kind), ("URIs", uri), ("Suites", suite), ("Components", &components)];
    let options = options.split_whitespace().filter_map(|option| option.split_once('='));
    Some(named.into_iter().chain(options).map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

impl Source {
    fn new(fields: &[(String, String)]) -> Self {
        let words = |name| field(fields, name).split_whitespace().map(str::to_owned).collect();
        let trust = TRUST_FIELDS.iter().map(|&name| (name.to_owned(), field(fields, name).to_owned()));
        Self {
            kinds: words("Types"),
            uris: words("URIs"),
            suites: words("Suites"),
            components: words("Components"),
            trust: trust.filter(|(_, value)| !value.is_empty()).collect(),
            is_ubuntu: false,
        }
    }

    /// Whether this source has the component main of the distribution's suite `code_name`, or of a rolling suite, for
    /// download.
    fn is_of_distribution(&self, code_name: &str) -> bool {
        let is_of_suite = |suite: &String| suite == code_name || ROLLING_SUITES.contains(&suite.as_str());
        let is_on_disc = |uri: &String| uri.starts_with("cdrom:");
        self.kinds.iter().any(|kind| kind == "deb")
            && self.components.iter().any(|component| component == "main")
            && self.suites.iter().any(is_of_suite)
            && !self.uris.is_empty()
            && !self.uris.iter().any(is_on_disc)
    }

    /// A deb822 file for `suite` with the mirror and trust of this source: for the component main, and on Ubuntu also
    /// universe, which contains most packages that Debian has in main.
    pub fn for_suite(&self, suite: &str) -> String {
        let uris = self.uris.join(" ");
        let components = if self.is_ubuntu { "main universe" } else { "main" };
        let mut text = format!("Types: deb\nURIs: {uris}\nSuites: {suite}\nComponents: {components}\n");
        for (name, value) in &self.trust {
            text.extend([name, ": ", value, "\n"]);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEB822: &str = "# comment\nTypes: deb deb-src\nURIs: http://mirror/debian\n# inside\nSuites: bookworm bookworm-updates\n\
        Components: main contrib\nArchitectures: amd64\nSigned-By: /usr/share/keyrings/a.gpg\n";

    /// Asserts the source for trixie that is made where `/etc/apt` has these `files`. `None`: no source is found.
    fn check(files: &[(&str, &str)], expected: Option<&str>) {
        let etc = tempfile::tempdir().unwrap();
        fs::create_dir_all(etc.path().join("apt/sources.list.d")).unwrap();
        fs::write(etc.path().join("os-release"), "ID=debian\nVERSION_CODENAME=bookworm\n").unwrap();
        for (name, text) in files {
            fs::write(etc.path().join("apt").join(name), text).unwrap();
        }
        let found = load(etc.path()).ok().map(|source| source.for_suite("trixie"));
        assert_eq!(found.as_deref(), expected, "{files:?}");
    }

    #[test]
    fn the_distribution_is_found() {
        let signed = "Types: deb\nURIs: http://mirror/debian\nSuites: trixie\nComponents: main\nSigned-By: /usr/share/keyrings/a.gpg\n";
        let plain = "Types: deb\nURIs: http://mirror/debian\nSuites: trixie\nComponents: main\n";
        check(&[("sources.list.d/debian.sources", DEB822)], Some(signed));
        check(&[("sources.list", "deb http://mirror/debian bookworm main # why")], Some(plain));
        check(&[("sources.list", "deb http://mirror/debian stable contrib main")], Some(plain));
        let options =
            "deb [ arch=amd64 signed-by=/usr/share/keyrings/a.gpg ] http://mirror/debian bookworm main";
        check(&[("sources.list.d/x.list", options)], Some(signed));
        let third_party = "deb https://packages.example tools-bookworm main\n";
        check(
            &[("sources.list.d/a.list", third_party), ("sources.list.d/debian.sources", DEB822)],
            Some(signed),
        );
        let security = "deb http://mirror/debian-security bookworm-security main\n";
        check(&[("sources.list", security), ("sources.list.d/debian.sources", DEB822)], Some(signed));
        let disc = "deb cdrom:[Debian GNU/Linux 12]/ bookworm main\ndeb http://mirror/debian bookworm main\n";
        check(&[("sources.list", disc)], Some(plain));
    }

    #[test]
    fn ubuntu_gets_the_component_universe() {
        let etc = tempfile::tempdir().unwrap();
        fs::create_dir_all(etc.path().join("apt")).unwrap();
        fs::write(etc.path().join("os-release"), "ID=ubuntu\nVERSION_CODENAME=jammy\n").unwrap();
        let list =
            "deb http://mirror/ubuntu jammy main restricted\ndeb http://mirror/ubuntu jammy universe\n";
        fs::write(etc.path().join("apt/sources.list"), list).unwrap();
        let expected = "Types: deb\nURIs: http://mirror/ubuntu\nSuites: noble\nComponents: main universe\n";
        assert_eq!(load(etc.path()).unwrap().for_suite("noble"), expected);
    }

    #[test]
    fn sources_of_others_and_disabled_sources_are_refused() {
        check(&[], None);
        check(
            &[(
                "sources.list",
                "#deb http://mirror/debian bookworm main\ndeb-src http://mirror/debian bookworm main",
            )],
            None,
        );
        for value in ["no", "No", "false", "off", "0"] {
            let disabled = DEB822.replace("Types", &format!("Enabled: {value}\nTypes"));
            check(&[("sources.list.d/debian.sources", &disabled)], None);
        }
        check(&[("sources.list.d/debian.sources.bak", DEB822)], None);
    }

    #[test]
    fn a_key_inside_the_file_is_kept() {
        let key = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBF==\n -----END PGP PUBLIC KEY BLOCK-----";
        let text = DEB822.replace("/usr/share/keyrings/a.gpg", &format!("\n {key}"));
        let source = parse_deb822(&text).remove(0);
        assert!(
            source.for_suite("sid").ends_with(&format!("Signed-By: \n {key}\n")),
            "{}",
            source.for_suite("sid")
        );
    }

    #[test]
    fn fuzz() {
        let signed = "Types: deb\nURIs: http://mirror/debian\nSuites: bookworm\nComponents: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBF==\n";
        let line = "deb [signed-by=/usr/share/keyrings/a.gpg arch=amd64] http://mirror/debian bookworm main # why\ndeb-src http://m x\n";
        crate::base::fuzz::check_text(&[DEB822, signed, line], |text| {
            let found = parse_deb822(text)
                .into_iter()
                .chain(parse_one_line(text))
                .filter(|source| source.is_of_distribution("bookworm"));
            found.map(|source| source.for_suite("sid").len()).sum::<usize>()
        });
    }

    #[test]
    fn a_long_field_is_read_in_linear_time() {
        let begin = crate::base::fuzz::cpu_time();
        let text = format!("{DEB822}{}", " key\n".repeat(400_000));
        assert_eq!(parse_deb822(&text).len(), 1);
        let used = crate::base::fuzz::cpu_time().saturating_sub(begin);
        assert!(used.as_secs() < 10, "{used:?}");
    }

    #[test]
    fn fuzz_os_release() {
        let release =
            "ID=debian\nVERSION_CODENAME=bookworm\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
        crate::base::fuzz::check_text(&[release], |text| code_name(text).len());
    }
}
