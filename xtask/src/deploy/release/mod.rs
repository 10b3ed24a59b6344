//! Releases: files that say what each host is to run, made where it is built, signed, and deployed without an
//! evaluation. **Invariant**: nothing of a release is read before its signature counts, or the user waives it.

mod fetch;
mod file;
mod make;
mod own_nix;
mod signature;
mod signing_fault;

use std::path::{Path, PathBuf};

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::desired::{Overrides, Trust, foreign_writer_reason};
use super::tags::Tags;
use super::target::Target;
use crate::base::bounded::{self, Links};
use crate::base::failure::kind;
use crate::base::{Context, HostName, Timestamp, hex};
use crate::nix::{Revision, StorePath};
use crate::{bail, failure};

pub use fetch::fetch;
pub use file::{Content, ReleasedHost, ReleasedImage, SCHEMA};
pub use make::{Candidate, changed_error};
pub use own_nix::launcher;
use signature::{Fault, verify};
pub use signature::{NAMESPACE, Signer, require_keygen, sign};

/// The most bytes of a release: those of 10 000 hosts.
const MAX_RELEASE: u64 = 32 << 20;
/// The most bytes of a signature.
const MAX_SIGNATURE: u64 = 64 << 10;
/// The most bytes of a file of allowed signers.
const MAX_SIGNERS: u64 = 1 << 20;

/// The file of allowed signers beside `flake.nix`.
pub const SIGNERS_FILE: &str = "allowed_signers";

/// Which releases count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accept {
    /// Those that one of the allowed signers in this file has signed.
    SignedBy(PathBuf),
    /// All of them: the user vouches for the file.
    Unsigned,
}

/// A release that counts.
#[derive(Debug)]
pub struct Release {
    /// The file, as the user named it.
    pub path: PathBuf,
    pub content: Content,
    pub mark: ReleaseMark,
}

/// What results and receipts have of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReleaseMark {
    /// The SHA-256 of the file, in hexadecimal digits.
    pub sha256: String,
    /// When the release was made.
    pub time: Timestamp,
    /// The git revision of its flake, if known.
    pub revision: Option<Revision>,
    /// Who signed it; null where the user waived the signature.
    pub signer: Option<Signer>,
}

impl Release {
    /// Reads the release at `path`, once its signature, `PATH.sig`, counts by `accept`.
    ///
    /// # Errors
    /// `Refused` for a release that does not count, that has ended, or that is none.
    pub fn open(cx: &Context, path: &Path, accept: &Accept) -> Result<Self> {
        let bytes = read(path, MAX_RELEASE, "pass a file that `cargo xtask release` made")?;
        let signer = match accept {
            Accept::SignedBy(signers) => Some(verified_signer(cx, path, signers, &bytes)?),
            Accept::Unsigned => None,
        };
        let content = Content::parse(&bytes).map_err(|error| {
            kind(&error).error_with_hint_of(format_args!("{}: {error}", path.display()), &error)
        })?;
        let now = Timestamp::now();
        if let Some(expires) = content.expires.as_ref().filter(|expires| **expires <= now) {
            bail!(
                Refused, "{} has expired: {expires}, and it is {now}", path.display();
                hint: "make a new release with `cargo xtask release`"
            );
        }
        let mark = ReleaseMark {
            sha256: hex_sha256(&bytes),
            time: content.time.clone(),
            revision: content.revision.clone(),
            signer,
        };
        Ok(Self { path: path.to_owned(), content, mark })
    }

    /// What `host` is to run, with the `overrides` of the command line.
    ///
    /// # Errors
    /// `Usage` if the release does not have the host; `Refused` for settings that this tool does not accept.
    pub fn target(&self, cx: &Context, host: &HostName, overrides: &Overrides) -> Result<Target> {
        let Some(found) = self.content.host(host) else { return Err(self.unknown_host_error(host)) };
        let node = found.node.clone().into_node(host, &found.profile, Some(self.mark.clone()));
        let trust = if cx.trust_flake { Trust::Full } else { Trust::Limited(UNTRUSTED.to_owned()) };
        let target = node.target(cx, host, found.system.clone(), overrides, &trust)?;
        Ok(Target { revision: self.content.revision.clone(), platform: found.platform.clone(), ..target })
    }

    /// The names of all hosts.
    pub fn names(&self) -> Vec<HostName> {
        self.content.names()
    }

    /// The tags of all hosts.
    pub fn tags(&self) -> Tags {
        self.content.tags()
    }

    /// One line about the release: `release.json of 2026-11-25 12:00 UTC at 1a2b3c4d5, signed by ci@example`.
    pub fn summary(&self) -> String {
        let ReleaseMark { time, revision, signer, .. } = &self.mark;
        let at = revision.as_ref().map(|revision| format!(" at {}", revision.short())).unwrap_or_default();
        let signed = match signer {
            Some(Signer { name, key }) => {
                format!("signed by {name}{}", key.as_ref().map(|key| format!(" ({key})")).unwrap_or_default())
            }
            None => "whose signature was not verified".to_owned(),
        };
        format!("{} of {time}{at}, {signed}", self.path.display())
    }

    /// The error for the profile `path` that neither the store nor a cache has, because of `error`.
    pub fn not_fetched_error(&self, path: &StorePath, error: &anyhow::Error) -> anyhow::Error {
        let message = format!(
            "nothing was deployed: the store of this machine lacks {path}, and could not fetch it: {error:#}"
        );
        let revision = self.mark.revision.as_ref();
        let at = revision.map(|revision| format!(" at {}", revision.short())).unwrap_or_default();
        kind(error).error_with_hint(
            message,
            format_args!(
                "push it to a cache of this machine where the release was made: `nix copy --to CACHE {path}`; name another \
                 cache by --via-cache URL, or by `-- -- --extra-substituters URL`; or deploy the flake{at} without --release"
            ),
        )
    }

    fn unknown_host_error(&self, host: &HostName) -> anyhow::Error {
        let names = self.names().iter().take(MAX_NAMES).map(HostName::as_str).collect::<Vec<_>>().join(", ");
        let more = self.content.hosts.len().saturating_sub(MAX_NAMES);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        failure!(
            Usage(UnknownHost), "{} does not have the host '{host}'", self.path.display();
            hint: "it has {names}{more}"
        )
    }
}

/// The most hosts that the error for an unknown one names.
const MAX_NAMES: usize = 20;

/// Why a release may not set all ssh options.
const UNTRUSTED: &str = "the options come from a release, which may be of another machine";

/// Who signed `bytes`, the release at `path`, by the signature beside it and the allowed `signers`.
///
/// # Errors
/// `Refused` without a signature that counts.
fn verified_signer(cx: &Context, path: &Path, signers: &Path, bytes: &[u8]) -> Result<Signer> {
    let name = path.display();
    let signature = signature_path(path);
    if !signature.exists() {
        bail!(
            Refused, "{name} is not signed: there is no {}", signature.display();
            hint: "fetch {} too, from where the release was made, or pass --unsigned for a file that you vouch for",
                signature.display()
        );
    }
    let signature_bytes =
        read(&signature, MAX_SIGNATURE, "fetch it again: it is the signature of the release")?;
    let allowed = read_signers(signers)?;
    match verify(&cx.launcher, &allowed, &signature_bytes, bytes)? {
        Ok(signer) => Ok(signer),
        Err(Fault::UnknownKey(reason)) => Err(failure!(
            Refused, "no allowed signer of {} has signed {name}: {reason}", signers.display();
            hint: "add the key to that file if you trust its owner with root on the hosts, or name another file with --signers"
        )),
        Err(Fault::Invalid(reason)) => Err(failure!(
            Refused, "{} is no signature of {name}: {reason}", signature.display();
            hint: "fetch both files again from where the release was made; one of them was changed"
        )),
    }
}

/// Why `deploy --release` refuses a release with these `bytes` and this `signature` in a checkout of the flake: nobody
/// in its file of allowed signers may sign it. `None` where it does not refuse, and for a flake that is in no folder of
/// this machine.
pub fn signing_fault(cx: &Context, signature: &str, bytes: &[u8]) -> Option<String> {
    let signers = cx.flake.folder()?.join(SIGNERS_FILE);
    let name = signers.display();
    let allowed = match read_signers(&signers) {
        Ok(allowed) => allowed,
        Err(error) => return Some(error.to_string()),
    };
    match verify(&cx.launcher, &allowed, signature.as_bytes(), bytes) {
        Ok(Err(Fault::UnknownKey(_))) => Some(format!("no line of {name} has this key")),
        Ok(Err(Fault::Invalid(reason))) => {
            Some(format!("{name} does not let this key sign releases: {reason}"))
        }
        Ok(Ok(_)) | Err(_) => None,
    }
}

/// The content of the file of allowed signers.
///
/// # Errors
/// `Refused` where there is none, and where others can change it: they would decide what hosts run.
fn read_signers(path: &Path) -> Result<Vec<u8>> {
    let hint = format!(
        "write a line to it for each signer, such as `ci@example namespaces=\"{NAMESPACE}\" ssh-ed25519 AAAA…`, or pass \
         another file with --signers"
    );
    let bytes = read(path, MAX_SIGNERS, &hint)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for place in [path, folder] {
        let reason = place.metadata().ok().and_then(|stat| foreign_writer_reason(place, &stat));
        if let Some(reason) = reason {
            bail!(
                Refused, "{} cannot say who may sign: {reason}", path.display();
                hint: "make it a file of your own, which nobody else can write"
            );
        }
    }
    Ok(bytes)
}

/// Whether the file at `path` is a release, signed or not.
pub fn is_release(path: &Path) -> bool {
    let bytes = bounded::read(path, MAX_RELEASE, Links::Follow);
    bytes.is_ok_and(|bytes| Content::parse(&bytes).is_ok())
}

/// The file of the signature of the release at `path`.
pub fn signature_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}

/// The content of a file of at most `limit` bytes.
///
/// # Errors
/// `Refused`, with the `hint`, for a file that is missing, larger, or no regular file.
fn read(path: &Path, limit: u64, hint: &str) -> Result<Vec<u8>> {
    bounded::read(path, limit, Links::Follow)
        .map_err(|error| failure!(Refused, "{} cannot be read: {error}", path.display(); hint: "{hint}"))
}

/// The SHA-256 of `bytes` in hexadecimal digits.
pub fn hex_sha256(bytes: &[u8]) -> String {
    hex(&sha2::Sha256::digest(bytes))
}
