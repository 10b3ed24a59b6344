//! The payload of a card: the identity of its host, and files. The payload is complete before the card is written;
//! `known_hosts` of the workstation is updated afterwards.

mod login_keys;
mod readable_secrets;
mod requested_key;
mod warnings;
mod wifi;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use crate::bail;
use crate::base::failure::{self, ExitKind};
use crate::base::{Context, FlakeRef, HostName, state};
use crate::card::ext4::{self, PayloadPlace};
use crate::card::flash::PayloadPlan;
use crate::card::image::Image;
use crate::cli::PayloadArgs;
use crate::commands::card_key;
use crate::identity::{self, HostKey, Identity, KeyChoice, Owners, Payload, PayloadEntry, PayloadRoot};
use crate::nix::flake::HostLayout;
use login_keys::RequestedLogin;
use requested_key::RequestedKey;
use wifi::RequestedWifi;

pub use login_keys::{login_keys, read_keys};

/// The requested payload, before there is an image.
pub struct PayloadSetup {
    /// `None` where the card has no host, or the name of the host allows no key.
    requested_key: Option<RequestedKey>,
    /// The folder of `--files`, and its content.
    files: Option<(PathBuf, Vec<PayloadEntry>)>,
    /// The keys of `--ssh-key`.
    login: Option<RequestedLogin>,
    /// The network of `--wifi`.
    wifi: Option<RequestedWifi>,
    /// The files of `--ssh-key` and `--wifi`, once [`Self::find_own_entries`] knows the host.
    own_entries: Vec<PayloadEntry>,
    /// The key that the card gets, once [`Self::plan`] has chosen it.
    key: Option<HostKey>,
    /// Whether the user asked for an identity, or named its host.
    is_identity_named: bool,
    goal: Goal,
}

/// What a payload is planned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Writing a card.
    Write,
    /// Showing the plan, in a dry run: no key is made, and nothing is asked.
    Show,
}

impl PayloadSetup {
    /// Reads and checks the files. `host` is the host of the image.
    ///
    /// # Errors
    /// Everything that would keep the payload from the card, as far as it is known without the image.
    pub fn begin(cx: &Context, args: &PayloadArgs, host: Option<&HostName>, goal: Goal) -> Result<Self> {
        let requested_key = RequestedKey::find(cx, args, host)?;
        if requested_key.is_some() {
            identity::check_known_hosts(&cx.state)?;
        }
        let files = match &args.files {
            Some(dir) => Some((dir.clone(), read_files(cx, dir)?)),
            None => None,
        };
        let is_identity_named = args.identity.is_some() || args.identity_of.is_some();
        let login = RequestedLogin::read(args)?;
        let wifi = RequestedWifi::read(args, goal)?;
        let own_entries = Vec::new();
        let setup =
            Self { requested_key, files, login, wifi, own_entries, key: None, is_identity_named, goal };
        if setup.is_requested() {
            ext4::find_programs(&cx.launcher)?;
        }
        Ok(setup)
    }

    /// Whether the card gets a key or files.
    fn is_requested(&self) -> bool {
        let is_key_wanted = self.requested_key.as_ref().is_some_and(RequestedKey::is_wanted);
        is_key_wanted || !self.file_options().is_empty()
    }

    /// The options of the files that the card gets.
    fn file_options(&self) -> Vec<&'static str> {
        let options = [
            self.files.as_ref().map(|_| "--files"),
            self.login.as_ref().map(|_| "--ssh-key"),
            self.wifi.as_ref().map(|_| "--wifi"),
        ];
        options.into_iter().flatten().collect()
    }

    /// Finds where the host reads the files of `--ssh-key` and `--wifi`, by its evaluated `layout`, and asks for the
    /// password of the network.
    ///
    /// # Errors
    /// `Refused` where the host reads no such files.
    pub fn find_own_entries(&mut self, layout: Option<&HostLayout>) -> Result<()> {
        let login = self.login.as_ref().map(|login| login.entry(layout)).transpose()?;
        let wifi = self.wifi.as_ref().map(|wifi| wifi.entries(layout)).transpose()?;
        self.own_entries = login.into_iter().chain(wifi.into_iter().flatten()).collect();
        Ok(())
    }

    /// Keeps the folder of a wanted key out of Nix's store.
    ///
    /// # Errors
    /// `Refused` where Nix would copy the folder to its store with the `flake`.
    pub fn keep_out_of_stores(&self, cx: &Context, flake: &FlakeRef) -> Result<()> {
        let Some(requested) = self.requested_key.as_ref().filter(|key| key.is_wanted()) else {
            return Ok(());
        };
        if self.goal == Goal::Write {
            // Git then ignores the state folder, which may be beside the flake.
            state::create_private_folder(&cx.state)?;
        }
        identity::keep_out_of_stores(&cx.launcher, requested.folder.path(), flake)
    }

    /// Plans the payload for `image`, which is built from `flake`, with the `layout` of the host as the flake evaluates
    /// it; `None` if the card gets no payload. Makes a key for a host without one, except for a dry run.
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
        let Some(place) = self.find_place(cx, image, layout)? else { return Ok(None) };
        let PayloadPlace { region, root, .. } = place;
        if let Some((_, entries)) = &self.files {
            ext4::check_entries(&root, entries)?;
        }
        self.keep_out_of_stores(cx, flake)?;
        self.warn_of_stores(cx, flake)?;
        let new = self.choose_key(cx)?;
        self.warn_of_keys(cx, flake, new.as_ref())?;
        let key = self.key.as_ref().map(|key| (key.identity.clone(), &key.public, key.private.clone()));
        let own_entries = std::mem::take(&mut self.own_entries);
        let payload = Payload::gather(root.clone(), key, self.files.take(), own_entries)?;
        let payload = match new {
            Some(identity) => Some(payload.unwrap_or_else(|| Payload::empty(root)).with_identity(identity)),
            None => payload,
        };
        let mut plan = payload.map(|content| PayloadPlan::new(region, content)).transpose()?;
        let may_replace = |content: &Payload| content.files.is_some() || content.has_files();
        if let Some(plan) = plan.as_mut().filter(|plan| may_replace(&plan.content)) {
            find_replaced(cx, image, plan)?;
        }
        Ok(plan)
    }

    /// Chooses the key that the card gets. Returns the identity that a flash would make a key for, in a dry run.
    fn choose_key(&mut self, cx: &Context) -> Result<Option<Identity>> {
        let Some(requested) = &self.requested_key else { return Ok(None) };
        if self.goal == Goal::Show && requested.needs_new_key(cx)? {
            return Ok(Some(requested.identity_to_make()));
        }
        self.key = requested.folder.choose(&cx.launcher, requested.choice)?;
        Ok(None)
    }

    /// Finds the place of the payload in `image`. `None` where the place is unknown and the card can do without a key,
    /// see [`Self::can_do_without_key`].
    ///
    /// # Errors
    /// `Refused` for an unknown place otherwise, and where only the place of the files is unknown.
    fn find_place(
        &mut self,
        cx: &Context,
        image: &Image,
        layout: Option<&HostLayout>,
    ) -> Result<Option<PayloadPlace>> {
        let error = match cx.in_phase("layout", || ext4::payload_place(image, layout)) {
            Ok(place) if !place.takes_files && self.files.is_some() => bail!(
                Refused, "it is unknown where the host reads the files of --files: the host key is neither on the root \
                          file system nor in a folder `etc/ssh`";
                hint: "leave out --files, and copy the files to the running host"
            ),
            Ok(place) => return Ok(Some(place)),
            Err(error) if failure::kind(&error) != ExitKind::Refused => return Err(error),
            Err(error) => error,
        };
        if self.can_do_without_key(cx)? {
            cx.warn(format!("the card gets no host key, so its host makes its own: {error:#}"));
            if let Some(requested) = &mut self.requested_key {
                requested.choice = KeyChoice::None;
            }
            return Ok(None);
        }
        Err(self.no_place_refusal(&error))
    }

    /// Whether the card can do without a key: nobody asked for a key or files, and the host has no key yet, not even
    /// a pending one.
    fn can_do_without_key(&self, cx: &Context) -> Result<bool> {
        let Some(RequestedKey { folder, .. }) = &self.requested_key else { return Ok(false) };
        if self.is_identity_named || !self.file_options().is_empty() {
            return Ok(false);
        }
        Ok(folder.public_key(&cx.launcher)?.is_none() && folder.pending_key(&cx.launcher)?.is_none())
    }

    /// The refusal of a payload whose place is unknown because of `error`.
    fn no_place_refusal(&self, error: &anyhow::Error) -> anyhow::Error {
        let is_key_wanted = self.requested_key.as_ref().is_some_and(RequestedKey::is_wanted);
        let options = self.file_options();
        let left_out = match &options[..] {
            [] => None,
            ["--files"] => Some("leave out --files, and copy the files to the running host".to_owned()),
            _ => Some(format!("leave out {}", options.join(" and "))),
        };
        let hint = match (is_key_wanted, left_out) {
            (true, None) => "pass --identity none: the host then makes its own key".to_owned(),
            (true, Some(left_out)) => format!("pass --identity none, and {left_out}"),
            (false, left_out) => left_out.unwrap_or_default(),
        };
        crate::failure!(Refused, "{error:#}"; hint: "{hint}")
    }

    /// Updates `known_hosts` of the project to the written card: adds the key that the card got, or removes the key of
    /// a host that makes its own.
    pub fn update_known_hosts(&self, cx: &Context) -> Result<()> {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        match (&self.key, &self.requested_key) {
            (Some(key), _) => card_key::add(cx, key),
            (None, Some(RequestedKey { folder, choice: KeyChoice::None })) => card_key::remove(cx, folder),
            (None, _) => Ok(()),
        }
    }
}

/// Reads and checks the content of `dir`, the folder of `--files`.
fn read_files(cx: &Context, dir: &Path) -> Result<Vec<PayloadEntry>> {
    let entries = identity::read_files(dir, Owners::kept_if_run_by_root())?;
    ext4::check_entries(&PayloadRoot::persist(), &entries)?;
    if let Some(warning) = readable_secrets::warning(&entries) {
        cx.reporter.report(&warning);
    }
    if entries.is_empty() {
        cx.note(format!("--files {} is empty: the card gets no files", dir.display()));
    }
    Ok(entries)
}

/// Adds to `plan` the files of `image` that the payload replaces. Where the image cannot be searched, the flash lists
/// the files when it replaces them.
///
/// # Errors
/// `Refused` where the payload cannot replace a file.
fn find_replaced(cx: &Context, image: &Image, plan: &mut PayloadPlan) -> Result<()> {
    let found = cx.in_phase("files", || ext4::replaced_files(image, &plan.region, &plan.content));
    plan.replaced = match found {
        Err(error) if failure::kind(&error) == ExitKind::Refused => return Err(error),
        found => found.unwrap_or_default(),
    };
    Ok(())
}
