//! Hosts that are named together with their flake: `FLAKE#HOST`, and `FLAKE#ATTRIBUTE` for an image.

use anyhow::Result;

use super::{Card, CardCommand, Cli, Command};
use crate::bail;
use crate::base::{FlakeRef, HostName, ImageSource, split_attribute, split_attribute_path};

impl Cli {
    /// Takes the flake of `--flake`, and the flakes out of the hosts that are named as `FLAKE#HOST`. Such a host
    /// becomes `#HOST`, and `HOST` for commands that read names alone. Returns `None` if no flake is named.
    ///
    /// # Errors
    /// `Usage` for several flakes, for a flake without a host behind its `#`, for an empty name, and for an attribute
    /// that is no host in a command that reads names alone.
    pub fn take_flake(&mut self) -> Result<Option<String>> {
        let mut found = self.flake.take();
        for word in self.command.iter_mut().flat_map(Command::host_words) {
            if word.is_empty() {
                bail!(Usage, "the name of the host is empty"; hint: "`cargo xtask hosts` lists the hosts");
            }
            let Some((flake, attribute)) = split_attribute(word) else { continue };
            if attribute.is_empty() {
                bail!(Usage, "`{word}` names no host"; hint: "name it as FLAKE#HOST");
            }
            // `#pi` is an attribute of the flake that --flake names.
            let default = found.as_deref().unwrap_or(".");
            let flake = if flake.is_empty() { default } else { flake }.to_owned();
            if let Some(other) = found.as_ref().filter(|other| !is_same_flake(other, &flake)) {
                bail!(Usage, "two flakes are named: {other} and {flake}"; hint: "run the command once for each");
            }
            *word = format!("#{attribute}");
            found = Some(flake);
        }
        self.command.as_mut().map_or(Ok(()), Command::resolve_names)?;
        Ok(found)
    }
}

impl Command {
    /// The arguments that may name a host as `FLAKE#HOST`, or an image as `FLAKE#ATTRIBUTE`.
    fn host_words(&mut self) -> Vec<&mut String> {
        match self {
            Self::SdImage(args) => args.hosts.iter_mut().map(HostName::as_mut_string).collect(),
            Self::Flash(args) => args.host_words(),
            Self::Boot(args) => args.host_word().into_iter().collect(),
            Self::Restore(args) => vec![args.host.as_mut_string()],
            Self::Up(args) => vec![args.host.as_mut_string()],
            Self::Card(Card { command: CardCommand::Verify(args) }) => args.host_word().into_iter().collect(),
            Self::Deploy(args) => args.hosts.iter_mut().map(HostName::as_mut_string).collect(),
            Self::Rollback(args) => vec![args.host.as_mut_string()],
            Self::Release(args) => args.hosts.iter_mut().map(HostName::as_mut_string).collect(),
            Self::Status(args) => args.hosts.iter_mut().map(HostName::as_mut_string).collect(),
            Self::History(args) => args.host.iter_mut().map(HostName::as_mut_string).collect(),
            Self::Log(args) => args.host.iter_mut().map(HostName::as_mut_string).collect(),
            Self::Identity(args) => {
                args.command.host_names_mut().into_iter().map(HostName::as_mut_string).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Takes `#` from the hosts of commands that read names alone, for which an attribute is no host.
    fn resolve_names(&mut self) -> Result<()> {
        let names = match self {
            Self::History(args) => args.host.iter_mut().collect(),
            Self::Identity(args) => args.command.host_names_mut(),
            Self::Restore(args) => vec![&mut args.host],
            Self::Rollback(args) => vec![&mut args.host],
            _ => Vec::new(),
        };
        for name in names {
            *name = host(name)?;
        }
        Ok(())
    }
}

/// Whether `one` and `other` are references to one flake: hints name a folder by its whole path, which the user may
/// have named in another way.
fn is_same_flake(one: &str, other: &str) -> bool {
    let parsed = [one, other].map(|text| FlakeRef::parse(text).ok());
    one == other || parsed[0].is_some() && parsed[0] == parsed[1]
}

/// The source of the image that `word` names: an attribute path behind `#` if it has several parts, else a host, with
/// or without `#`.
pub(super) fn image_source(word: &str) -> ImageSource {
    let Some(attribute) = word.strip_prefix('#') else { return ImageSource::Host(word.into()) };
    match split_attribute_path(attribute).as_deref() {
        Some([host]) if !host.is_empty() => ImageSource::Host(host.as_str().into()),
        _ => ImageSource::Attribute(attribute.to_owned()),
    }
}

/// The hosts that `words` name, each as `HOST`, `#HOST` or `#deploy.nodes.HOST`.
///
/// # Errors
/// `Usage` for another attribute.
pub(super) fn hosts(words: &[HostName]) -> Result<Vec<HostName>> {
    words.iter().map(host).collect()
}

/// The host that `word` names, as [`hosts`] reads it.
///
/// # Errors
/// `Usage` for an attribute that is no host.
pub(super) fn host(word: &HostName) -> Result<HostName> {
    let Some(attribute) = word.strip_prefix('#') else { return Ok(word.clone()) };
    let parts = split_attribute_path(attribute).unwrap_or_default();
    match parts.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [host] | ["deploy", "nodes", host] if !host.is_empty() => Ok(host.into()),
        [_, _, ..] => bail!(
            Usage, "`{attribute}` is an attribute, and no host";
            hint: "name the host as FLAKE#HOST, or with --flake FLAKE HOST; a name with a dot as 'FLAKE#\"HOST\"'"
        ),
        _ => bail!(
            Usage, "`{attribute}` is no host";
            hint: "name the host as FLAKE#HOST, or with --flake FLAKE HOST"
        ),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    /// The flake that is taken from the command line `args`, and the command line without it.
    fn take_from(args: &[&str]) -> Result<(Option<String>, Cli)> {
        let mut cli = Cli::try_parse_from([&["xtask"], args].concat()).unwrap();
        cli.take_flake().map(|flake| (flake, cli))
    }

    #[test]
    fn hosts_name_at_most_one_flake() {
        for (args, flake, host) in [
            (&["sd-image", "stinky"][..], None, "stinky"),
            (&["sd-image", ".#stinky"], Some("."), "#stinky"),
            (&["sd-image", "#stinky"], Some("."), "#stinky"),
            (&["sd-image", "github:o/f#images.pi"], Some("github:o/f"), "#images.pi"),
            (&["--flake", ".", "sd-image", ".#a"], Some("."), "#a"),
            (&["--flake", "./", "sd-image", ".#a"], Some("."), "#a"),
            (&["--flake", "src", "sd-image", "./src/../src#a"], Some("./src/../src"), "#a"),
        ] {
            let (found, cli) = take_from(args).unwrap();
            let Some(Command::SdImage(image)) = cli.command else { panic!("{args:?}") };
            assert_eq!((found.as_deref(), image.hosts[0].as_str()), (flake, host), "{args:?}");
        }
        let (flake, cli) = take_from(&["deploy", "f#a", "f#b"]).unwrap();
        let Some(Command::Deploy(deploy)) = cli.command else { panic!() };
        assert_eq!(
            (flake.as_deref(), hosts(&deploy.hosts).unwrap()),
            (Some("f"), vec!["a".into(), "b".into()])
        );
        for args in [&["deploy", "f#a", "g#b"][..], &["--flake", "f", "status", "g#a"], &["sd-image", "f#"]] {
            assert!(take_from(args).is_err(), "{args:?}");
        }
    }

    #[test]
    fn an_empty_name_of_a_host_is_refused() {
        for args in [&["sd-image", ""][..], &["identity", "show", ""]] {
            assert_eq!(take_from(args).unwrap_err().to_string(), "the name of the host is empty", "{args:?}");
        }
    }

    #[test]
    fn a_host_is_taken_from_each_form_of_its_name() {
        for (args, flake, host) in [
            (&["identity", "show", "f#pi"][..], Some("f"), "pi"),
            (&["identity", "make", "#deploy.nodes.pi"], Some("."), "pi"),
            (&["identity", "show", "pi"], None, "pi"),
            (&["identity", "backup", "file#1", "f#pi"], Some("f"), "pi"),
            (&["identity", "rename", "f#pi", "f#zero"], Some("f"), "pi"),
            (&["history", "f#pi"], Some("f"), "pi"),
            (&["release", "--out", "r", "f#pi"], Some("f"), "pi"),
        ] {
            let (found, cli) = take_from(args).unwrap();
            let name = match cli.command {
                Some(Command::Identity(mut args)) => args.command.host_names_mut()[0].clone(),
                Some(Command::History(args)) => args.host.unwrap(),
                Some(Command::Release(args)) => args.hosts().unwrap()[0].clone(),
                _ => panic!("{args:?}"),
            };
            assert_eq!((found.as_deref(), name.as_str()), (flake, host), "{args:?}");
        }
        // An image is no host.
        assert!(take_from(&["identity", "show", "f#images.pi"]).is_err());
    }

    #[test]
    fn a_folder_may_have_a_number_sign() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a#b");
        std::fs::create_dir(&folder).unwrap();
        for scheme in ["", "path:", "git+file:", "git+file://"] {
            let flake = format!("{scheme}{}", folder.display());
            let (found, _) = take_from(&["sd-image", &format!("{flake}#pi")]).unwrap();
            assert_eq!(found, Some(flake));
        }
    }

    #[test]
    fn a_word_names_a_host_or_an_attribute() {
        for (word, expected) in [
            ("pi.example.org", ImageSource::Host("pi.example.org".into())),
            ("#pi", ImageSource::Host("pi".into())),
            ("#\"pi.lan\"", ImageSource::Host("pi.lan".into())),
            ("#images.pi", ImageSource::Attribute("images.pi".into())),
            ("#images.\"pi.lan\"", ImageSource::Attribute("images.\"pi.lan\"".into())),
            ("#\"pi", ImageSource::Attribute("\"pi".into())),
        ] {
            assert_eq!(image_source(word), expected, "{word}");
        }
        assert_eq!(
            hosts(&["#deploy.nodes.pi".into(), "a.b".into()]).unwrap(),
            [HostName::from("pi"), HostName::from("a.b")]
        );
        let quoted = ["#\"pi.lan\"", "#deploy.nodes.\"pi.lan\""].map(HostName::from);
        assert_eq!(hosts(&quoted).unwrap(), ["pi.lan", "pi.lan"].map(HostName::from));
        for other in
            ["#nixosConfigurations.pi", "#deploy.nodes.pi.profiles", "#deploy.nodes.", "#\"pi", "#\"\""]
        {
            assert!(hosts(&[other.into()]).is_err(), "{other}");
        }
    }
}
