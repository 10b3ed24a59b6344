//! What a card gets beside its image: the identity of its host, and files. It is packed before the card is
//! touched, and what it means for the workstation is settled when the card has it.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::base::Context;
use crate::base::failure::{self, ExitKind};
use crate::card::ext4;
use crate::card::flash::PayloadPlan;
use crate::card::image::{self, Image};
use crate::cli::PayloadArgs;
use crate::identity::{self, HostKey, KeyChoice, KeyFolder, Owners, Payload, PayloadEntry};

/// What is asked for, before there is an image.
pub struct PayloadSetup {
    /// The host whose identity it is, and which.
    host: Option<(KeyFolder, KeyChoice)>,
    files: Option<(PathBuf, Vec<PayloadEntry>)>,
    /// The key that is packed.
    key: Option<HostKey>,
}

impl PayloadSetup {
    /// Reads the files. `host` is the one whose image it is.
    ///
    /// # Errors
    /// Whatever would keep it from the card, as far as it can be known by now.
    pub fn begin(cx: &Context, args: &PayloadArgs, host: Option<&str>) -> Result<Self> {
        let of = args.identity_of.as_deref().or(host);
        let host = match (of, args.identity) {
            (Some(host), choice) => {
                Some((KeyFolder::new(host, args.identity_dir.as_deref())?, choice.unwrap_or_default()))
            }
            (None, None | Some(KeyChoice::None)) => None,
            (None, Some(_)) => {
                let text = "an image file does not say whose it is: name the host with --identity-of HOST";
                return Err(ExitKind::Usage.error(text));
            }
        };
        if host.is_some() {
            identity::check_known_hosts()?;
        }
        let read =
            |dir: &PathBuf| identity::read_files(dir, Owners::of_this_user()).map(|read| (dir.clone(), read));
        let files = args.files.as_ref().map(read).transpose()?;
        if let Some((dir, entries)) = &files {
            ext4::check_entries(entries)?;
            if entries.is_empty() {
                cx.note(format!("--files {} is empty: nothing of it is put on the card", dir.display()));
            }
        }
        let payload_setup = Self { host, files, key: None };
        if payload_setup.is_wanted() {
            ext4::check_programs(&cx.launcher)?;
        }
        Ok(payload_setup)
    }

    fn is_wanted(&self) -> bool {
        self.files.is_some() || self.host.as_ref().is_some_and(|(_, choice)| *choice != KeyChoice::None)
    }

    /// Refuses a folder for the key that Nix would copy with the `flake`.
    pub fn keep_out_of_stores(&self, cx: &Context, flake: &str) -> Result<()> {
        match &self.host {
            Some((folder, KeyChoice::Keep | KeyChoice::New)) => {
                identity::keep_out_of_stores(&cx.launcher, folder, flake)
            }
            _ => Ok(()),
        }
    }

    /// What goes into `image`, which is built from `flake`, on the card. A host without a key gets one here.
    ///
    /// # Errors
    /// Of [`ExitKind::Refused`] for an image that has no place or no room for it.
    pub fn pack(&mut self, cx: &Context, flake: &str, image: &Image) -> Result<Option<PayloadPlan>> {
        if !self.is_wanted() {
            return Ok(None);
        }
        let root = image::root(image).map_err(without_a_place)?;
        self.keep_out_of_stores(cx, flake)?;
        self.warn_of_stores(cx, flake)?;
        let choose = |(folder, choice): &(KeyFolder, KeyChoice)| folder.choose(&cx.launcher, *choice);
        self.key = self.host.as_ref().map(choose).transpose()?.flatten();
        self.warn_of_waiting(cx);
        let key = self.key.as_ref().map(|key| (key.identity.clone(), &key.public, key.private.clone()));
        let payload = Payload::gather(key, self.files.take())?;
        let mut carried = payload.map(|payload| PayloadPlan::new(root, payload)).transpose()?;
        if let Some(carried) = carried.as_mut().filter(|carried| carried.payload.files.is_some()) {
            look_for_replaced(cx, image, carried)?;
        }
        Ok(carried)
    }

    /// A key that is kept may be the wrong one, where a newer one waits.
    fn warn_of_waiting(&self, cx: &Context) {
        let Some((folder, KeyChoice::Keep)) = &self.host else { return };
        if self.key.as_ref().is_none_or(HostKey::was_pending) {
            return;
        }
        let (host, place) = (folder.host(), folder.pending_path());
        match folder.pending(&cx.launcher) {
            Ok(None) => {}
            Ok(Some(key)) => cx.warn(format!(
                "a newer key of {host} waits, {}, which a flash that did not end may have put on a card: to take it, say \
                 --identity new; to give it up, remove {}",
                key.fingerprint(),
                place.display()
            )),
            Err(error) => cx.warn(failure::with_hint(&error)),
        }
    }

    /// What is put on the card need not be secret.
    fn warn_of_stores(&self, cx: &Context, flake: &str) -> Result<()> {
        let Some((dir, _)) = &self.files else { return Ok(()) };
        if identity::goes_to_stores(&cx.launcher, dir, flake)? {
            let dir = dir.display();
            cx.warn(format!("Nix copies {dir} to its store with the flake, where everybody can read it"));
        }
        Ok(())
    }

    /// The card is written: what it has is what ssh is to know.
    pub fn settle(&self, cx: &Context) -> Result<()> {
        match (&self.key, &self.host) {
            (Some(key), _) => {
                let host = &key.identity.host;
                let settled = key.commit().with_context(|| {
                    let (line, file) = (key.public.line(), identity::known_hosts());
                    format!(
                        "the card is good, but its key is not known here: put `{host} {line}` into {}, as the only line of \
                         {host}",
                        file.display()
                    )
                });
                if settled? {
                    cx.note(format!("known_hosts of the project has this key for {host} from now on"));
                }
            }
            (None, Some((folder, KeyChoice::None))) => {
                let host = folder.host();
                let forgotten = identity::forget(host).with_context(|| {
                    let file = identity::known_hosts();
                    format!(
                        "the card is good, but another key is known here: remove the line of {host} from {}",
                        file.display()
                    )
                });
                if forgotten? {
                    cx.note(format!(
                        "known_hosts of the project has no key for {host} any more: it makes its own"
                    ));
                }
            }
            (None, _) => {}
        }
        Ok(())
    }
}

/// `error` of an image that has no place for what is packed, with the remedy.
fn without_a_place(error: anyhow::Error) -> anyhow::Error {
    if failure::kind(&error) != ExitKind::Refused {
        return error;
    }
    ExitKind::Refused
        .error(format!("{error:#}; without one there is no place for an identity: say --identity none"))
}

/// Finds out what `image` has already. An image that does not tell has its files named when they are replaced.
fn look_for_replaced(cx: &Context, image: &Image, carried: &mut PayloadPlan) -> Result<()> {
    let entries = &carried.payload.entries;
    let found = cx.in_phase("files", || ext4::replaced(image, &carried.root, entries));
    carried.replaced = match found {
        Err(error) if failure::kind(&error) == ExitKind::Refused => return Err(error),
        found => found.unwrap_or_default(),
    };
    Ok(())
}
