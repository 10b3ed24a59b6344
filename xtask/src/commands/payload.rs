//! The payload of a card: the identity of its host, and files. The payload is complete before the card is written;
//! `known_hosts` of the workstation is updated afterwards.

use std::path::PathBuf;

use anyhow::Result;

use crate::bail;
use crate::base::failure::{self, ExitKind};
use crate::base::{Context, FlakeRef, HostName, state};
use crate::card::ext4::{self, PayloadPlace};
use crate::card::flash::PayloadPlan;
use crate::card::image::Image;
use crate::cli::PayloadArgs;
use crate::identity::{self, HostKey, KeyChoice, KeyFolder, Owners, Payload, PayloadEntry, PayloadRoot};
use crate::nix::flake::HostLayout;

/// The requested payload, before there is an image.
pub struct PayloadSetup {
    /// The host whose identity the card gets, and which key.
    host: Option<(KeyFolder, KeyChoice)>,
    files: Option<(PathBuf, Vec<PayloadEntry>)>,
    /// The key of the payload.
    key: Option<HostKey>,
    /// Whether the user asked for an identity, or named its host.
    is_identity_named: bool,
}

impl PayloadSetup {
    /// Reads and checks the files. `host` is the host of the image.
    ///
    /// # Errors
    /// Everything that would keep the payload from the card, as far as it is known without the image.
    pub fn begin(cx: &Context, args: &PayloadArgs, host: Option<&HostName>) -> Result<Self> {
        let of = args.identity_of.as_ref().or(host);
        let host = match (of, args.identity) {
            (Some(host), choice) => {
                let folder = KeyFolder::new(&cx.state, host, args.identity_dir.as_deref());
                match (folder, choice.unwrap_or_default()) {
                    // A name that no key can have needs no key.
                    (Err(_), KeyChoice::None) => None,
                    (folder, choice) => Some((folder?, choice)),
                }
            }
            (None, None | Some(KeyChoice::None)) => None,
            (None, Some(_)) => {
                bail!(Usage, "an image file does not name its host"; hint: "name the host with --identity-of HOST");
            }
        };
        if host.is_some() {
            identity::check_known_hosts(&cx.state)?;
        }
        let read =
            |dir: &PathBuf| identity::read_files(dir, Owners::of_this_user()).map(|read| (dir.clone(), read));
        let files = args.files.as_ref().map(read).transpose()?;
        if let Some((dir, entries)) = &files {
            ext4::check_entries(&PayloadRoot::persist(), entries)?;
            if entries.is_empty() {
                cx.note(format!("--files {} is empty: the card gets no files", dir.display()));
            }
        }
        let is_identity_named = args.identity.is_some() || args.identity_of.is_some();
        let setup = Self { host, files, key: None, is_identity_named };
        if setup.is_requested() {
            ext4::find_programs(&cx.launcher)?;
        }
        Ok(setup)
    }

    fn is_requested(&self) -> bool {
        self.files.is_some() || self.host.as_ref().is_some_and(|(_, choice)| *choice != KeyChoice::None)
    }

    /// Refuses a folder of keys that Nix would copy to its store with the `flake`.
    pub fn keep_out_of_stores(&self, cx: &Context, flake: &FlakeRef) -> Result<()> {
        match &self.host {
            Some((folder, KeyChoice::Keep | KeyChoice::New)) => {
                // Makes git ignore it, where it is beside the flake.
                state::create_private_folder(&cx.state)?;
                identity::keep_out_of_stores(&cx.launcher, folder, flake)
            }
            _ => Ok(()),
        }
    }

    /// The payload for `image`, which is built from `flake`; `layout` is evaluated there. Makes a key for a host
    /// without one.
    ///
    /// # Errors
    /// [`ExitKind::Refused`] for an image without a partition or without space for the payload.
    pub fn plan(
        &mut self,
        cx: &Context,
        flake: &FlakeRef,
        image: &Image,
        layout: Option<&HostLayout>,
    ) -> Result<Option<PayloadPlan>> {
        if !self.is_requested() {
            return Ok(None);
        }
        let Some(PayloadPlace { region, root, .. }) = self.place(cx, image, layout)? else { return Ok(None) };
        if let Some((_, entries)) = &self.files {
            ext4::check_entries(&root, entries)?;
        }
        self.keep_out_of_stores(cx, flake)?;
        self.warn_of_stores(cx, flake)?;
        let choose = |(folder, choice): &(KeyFolder, KeyChoice)| folder.choose(&cx.launcher, *choice);
        self.key = self.host.as_ref().map(choose).transpose()?.flatten();
        self.warn_of_pending(cx);
        let key = self.key.as_ref().map(|key| (key.identity.clone(), &key.public, key.private.clone()));
        let payload = Payload::gather(root, key, self.files.take())?;
        let mut plan = payload.map(|content| PayloadPlan::new(region, content)).transpose()?;
        if let Some(plan) = plan.as_mut().filter(|plan| plan.content.files.is_some()) {
            find_replaced(cx, image, plan)?;
        }
        Ok(plan)
    }

    /// The place of the payload in `image`. Where it is unknown, `None` if the card can do without: nobody asked for a
    /// key, and the host has none yet.
    fn place(
        &mut self,
        cx: &Context,
        image: &Image,
        layout: Option<&HostLayout>,
    ) -> Result<Option<PayloadPlace>> {
        let error = match cx.in_phase("layout", || ext4::payload_place(image, layout)) {
            Ok(place) if !place.takes_files && self.files.is_some() => bail!(
                Refused, "it is unknown where the host reads the files of --files: its key is in no folder etc/ssh";
                hint: "leave out --files, and copy the files to the running host"
            ),
            Ok(place) => return Ok(Some(place)),
            Err(error) if failure::kind(&error) != ExitKind::Refused => return Err(error),
            Err(error) => error,
        };
        if self.can_do_without_key(cx)? {
            cx.warn(format!("the card gets no host key, so its host makes its own: {error:#}"));
            self.host.iter_mut().for_each(|(_, choice)| *choice = KeyChoice::None);
            return Ok(None);
        }
        Err(self.no_place_refusal(&error))
    }

    /// Whether the card can do without a key: nobody asked for one, and the host has none yet.
    fn can_do_without_key(&self, cx: &Context) -> Result<bool> {
        let Some((folder, _)) = self.host.as_ref().filter(|_| !self.is_identity_named) else {
            return Ok(false);
        };
        let has_key =
            folder.public_key(&cx.launcher)?.is_some() || folder.pending_key(&cx.launcher)?.is_some();
        Ok(!has_key && self.files.is_none())
    }

    /// The refusal of a payload without a place, which is unknown because of `error`.
    fn no_place_refusal(&self, error: &anyhow::Error) -> anyhow::Error {
        let hint = match (&self.host, &self.files) {
            (Some((_, KeyChoice::Keep | KeyChoice::New)), None) => {
                "pass --identity none: the host then makes its own key"
            }
            (Some((_, KeyChoice::Keep | KeyChoice::New)), Some(_)) => {
                "pass --identity none, and leave out --files: copy the files to the running host"
            }
            _ => "leave out --files, and copy the files to the running host",
        };
        crate::failure!(Refused, "{error:#}"; hint: "{hint}")
    }

    /// Warns of a pending key: the kept key may be outdated.
    fn warn_of_pending(&self, cx: &Context) {
        let Some((folder, KeyChoice::Keep)) = &self.host else { return };
        if self.key.as_ref().is_none_or(HostKey::was_pending) {
            return;
        }
        let host = folder.host();
        match folder.pending_key(&cx.launcher) {
            Ok(None) => {}
            Ok(Some(key)) => cx.warn(format!(
                                "a newer key of {host} is pending, {}: an unfinished flash may have put it on a card; pass --identity new to \
                                 use it, or remove {} to drop it",
                key.fingerprint(),
                                folder.pending_path().display()
            )),
            Err(error) => cx.warn(failure::with_hint(&error)),
        }
    }

    /// Warns where Nix copies the files to its store; they need not be secret.
    fn warn_of_stores(&self, cx: &Context, flake: &FlakeRef) -> Result<()> {
        let Some((dir, _)) = &self.files else { return Ok(()) };
        if identity::is_copied_to_store(&cx.launcher, dir, flake)? {
            let dir = dir.display();
            cx.warn(format!("Nix copies {dir} with the flake to its store, where every user can read it"));
        }
        Ok(())
    }

    /// Updates `known_hosts` of the project to the key on the written card.
    pub fn update_known_hosts(&self, cx: &Context) -> Result<()> {
        match (&self.key, &self.host) {
            (Some(key), _) => {
                let host = &key.identity.host;
                let added = key.commit().map_err(|error| {
                    let hint = format!(
                        "put `{host} {}` into {} as the only line of {host}",
                        key.public.line(),
                        key.folder().known_hosts().display()
                    );
                    let text =
                        format!("the card is verified, but its key was not added to known_hosts: {error:#}");
                    failure::kind(&error).error_with_hint(text, hint)
                });
                if added? {
                    cx.note(format!("added the key of {host} to known_hosts of the project"));
                }
            }
            (None, Some((folder, KeyChoice::None))) => {
                let host = folder.host();
                let removed = folder.remove_known_host().map_err(|error| {
                    let hint = format!("remove the line of {host} from {}", folder.known_hosts().display());
                    let text =
                        format!("the card is verified, but known_hosts still has another key: {error:#}");
                    failure::kind(&error).error_with_hint(text, hint)
                });
                if removed? {
                    cx.note(format!(
                        "removed the key of {host} from known_hosts of the project: the host makes its own"
                    ));
                }
            }
            (None, _) => {}
        }
        Ok(())
    }
}

/// Finds the files of `image` that the payload replaces. Where that fails, the replaced files are listed when they are
/// replaced.
fn find_replaced(cx: &Context, image: &Image, plan: &mut PayloadPlan) -> Result<()> {
    let found = cx.in_phase("files", || ext4::replaced_files(image, &plan.region, &plan.content));
    plan.replaced = match found {
        Err(error) if failure::kind(&error) == ExitKind::Refused => return Err(error),
        found => found.unwrap_or_default(),
    };
    Ok(())
}
