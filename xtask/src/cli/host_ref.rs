//! Hosts that are named together with their flake: `FLAKE#HOST`, and `FLAKE#ATTRIBUTE` for an image.

use std::path::Path;

use anyhow::Result;

use super::{Card, CardCommand, Cli, Command};
use crate::bail;
use crate::base::{HostName, ImageSource};

impl Cli {
    /// Takes the flake out of the hosts that are named as `FLAKE#HOST`, and returns it. What is left of such a host
    /// begins with `#`.
    ///
    /// # Errors
    /// `Usage` for several flakes.
    pub fn take_flake(&mut self) -> Result<Option<String>> {
        let mut found = self.flake.take();
        for word in self.command.host_words() {
            let Some((flake, attribute)) = split(word) else { continue };
            if attribute.is_empty() {
                bail!(Usage, "`{word}` names no host"; hint: "name it as FLAKE#HOST");
            }
            let flake = if flake.is_empty() { "." } else { flake }.to_owned();
            if found.as_ref().is_some_and(|known| *known != flake) {
                let known = found.unwrap_or_default();
                bail!(Usage, "two flakes are named: {known} and {flake}"; hint: "run the command once for each");
            }
            *word = format!("#{attribute}");
            found = Some(flake);
        }
        Ok(found)
    }
}

impl Command {
    /// The arguments that may name a host.
    fn host_words(&mut self) -> Vec<&mut String> {
        match self {
            Self::SdImage(args) => vec![args.host.as_mut_string()],
            Self::Flash(args) => args.host_word().into_iter().collect(),
            Self::Card(Card { what: CardCommand::Verify(args) }) => args.host_word().into_iter().collect(),
            Self::Deploy(args) => args.hosts.iter_mut().map(HostName::as_mut_string).collect(),
            Self::Status(args) => args.hosts.iter_mut().map(HostName::as_mut_string).collect(),
            _ => Vec::new(),
        }
    }
}

/// `FLAKE#ATTRIBUTE` in its two parts. The name of a folder may have a `#` too.
fn split(word: &str) -> Option<(&str, &str)> {
    let all = word.match_indices('#').map(|(at, _)| at).collect::<Vec<_>>();
    let is_folder = |at: &&usize| Path::new(&word[..**at]).is_dir();
    let at = all.iter().rev().find(is_folder).or(all.first())?;
    Some((&word[..*at], &word[at + 1..]))
}

/// The source of the image that `word` names: a host, or an attribute path behind `#`.
pub(super) fn image_source(word: &str) -> ImageSource {
    match word.strip_prefix('#') {
        Some(attribute) if attribute.contains('.') => ImageSource::Attribute(attribute.to_owned()),
        Some(host) => ImageSource::Host(host.into()),
        None => ImageSource::Host(word.into()),
    }
}

/// The hosts of a deploy among `words`.
///
/// # Errors
/// `Usage` for an attribute that is no node.
pub(super) fn hosts(words: &[HostName]) -> Result<Vec<HostName>> {
    let host = |word: &HostName| {
        let Some(name) = word.strip_prefix('#') else { return Ok(word.clone()) };
        let node = name.strip_prefix("deploy.nodes.").unwrap_or(name);
        if node.contains('.') && node == name {
            bail!(Usage, "`{name}` is no host"; hint: "name the host as FLAKE#HOST, or with --flake FLAKE HOST");
        }
        Ok(node.into())
    };
    words.iter().map(host).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn taken(args: &[&str]) -> Result<(Option<String>, Cli)> {
        let mut cli = Cli::try_parse_from([&["xtask"], args].concat()).unwrap();
        cli.take_flake().map(|flake| (flake, cli))
    }

    #[test]
    fn flakes_of_hosts() {
        for (args, flake, host) in [
            (&["sd-image", "stinky"][..], None, "stinky"),
            (&["sd-image", ".#stinky"], Some("."), "#stinky"),
            (&["sd-image", "#stinky"], Some("."), "#stinky"),
            (&["sd-image", "github:o/f#images.pi"], Some("github:o/f"), "#images.pi"),
            (&["--flake", ".", "sd-image", ".#a"], Some("."), "#a"),
        ] {
            let (found, cli) = taken(args).unwrap();
            let Command::SdImage(image) = cli.command else { panic!("{args:?}") };
            assert_eq!((found.as_deref(), image.host.as_str()), (flake, host), "{args:?}");
        }
        let (flake, cli) = taken(&["deploy", "f#a", "f#b"]).unwrap();
        let Command::Deploy(deploy) = cli.command else { panic!() };
        assert_eq!(
            (flake.as_deref(), hosts(&deploy.hosts).unwrap()),
            (Some("f"), vec!["a".into(), "b".into()])
        );
        for args in [&["deploy", "f#a", "g#b"][..], &["--flake", "f", "status", "g#a"], &["sd-image", "f#"]] {
            assert!(taken(args).is_err(), "{args:?}");
        }
    }

    #[test]
    fn a_folder_may_have_a_number_sign() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a#b");
        std::fs::create_dir(&folder).unwrap();
        let word = format!("{}#pi", folder.display());
        assert_eq!(split(&word), Some((folder.to_str().unwrap(), "pi")));
    }

    #[test]
    fn words_that_name_images() {
        for (word, expected) in [
            ("pi.example.org", ImageSource::Host("pi.example.org".into())),
            ("#pi", ImageSource::Host("pi".into())),
            ("#images.pi", ImageSource::Attribute("images.pi".into())),
        ] {
            assert_eq!(image_source(word), expected, "{word}");
        }
        assert_eq!(
            hosts(&["#deploy.nodes.pi".into(), "a.b".into()]).unwrap(),
            [HostName::from("pi"), HostName::from("a.b")]
        );
        assert!(hosts(&["#nixosConfigurations.pi".into()]).is_err());
    }
}
