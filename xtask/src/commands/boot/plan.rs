//! The plan of a boot: the machine, its card, and what proves that the host is up.

use std::fmt;

use anyhow::Result;

use super::subject::{Content, KnownIdentity, Subject};
use crate::base::{Bytes, Context, Plain, TimeLimit};
use crate::cli::Boot;
use crate::failure;
use crate::identity::{self, PinnedKey};
use crate::qemu::{Machine, snapshot};

/// The plan of a boot.
pub struct Plan {
    pub subject: Subject,
    pub machine: Machine,
    pub limit: TimeLimit,
    pub wanted: Wanted,
}

/// What proves that the host is up.
pub enum Wanted {
    /// The text of `--expect` on the console.
    Text(String),
    /// A login prompt on the console; `why` ssh proves nothing.
    Login { why: String },
    /// The key of the host by ssh.
    Ssh(PinnedKey),
}

impl Wanted {
    /// The strongest proof that `subject` can give in the machine of `args`.
    ///
    /// # Errors
    /// `Refused` for a named host without a known key, and without ssh on `PATH`.
    pub fn find(cx: &Context, args: &Boot, subject: &Subject) -> Result<Self> {
        if let Some(text) = &args.expect {
            return Ok(Self::Text(text.clone()));
        }
        let login = |why: &str| Ok(Self::Login { why: why.to_owned() });
        let (host, is_named) = match &subject.identity {
            KnownIdentity::BeforeFlash => {
                return login("the flash of a host writes its identity, not the build");
            }
            KnownIdentity::Unknown => return login("no receipt names an identity; --identity-of HOST does"),
            KnownIdentity::Named(host) => (host, true),
            KnownIdentity::OfReceipt(host) => (host, false),
        };
        let Some(pinned) = identity::pinned_key(&cx.state, &cx.flake, host)? else {
            if is_named {
                return Err(failure!(
                    Refused, "no known_hosts of the project has an ed25519 key of {host}";
                    hint: "flash a card for the host first, or leave --identity-of out"
                ));
            }
            return login(&format!("known_hosts of the project has no key of {host}"));
        };
        if args.machine == Machine::Raspi3b {
            return login("raspi3b has no network for ssh");
        }
        if cx.launcher.which("ssh").is_none() {
            return Err(failure!(Refused(MissingProgram), "no ssh on PATH"; hint: "run `cargo xtask setup`"));
        }
        Ok(Self::Ssh(pinned))
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "the console prints \"{}\"", Plain(text)),
            Self::Login { why } => write!(f, "the console prints a login prompt ({})", Plain(why)),
            Self::Ssh(PinnedKey { host, fingerprint, .. }) => {
                write!(f, "ssh answers with the host key of {}, {fingerprint}", Plain(host))
            }
        }
    }
}

impl Plan {
    /// The size of the card in the machine, in bytes.
    pub fn card_size(&self) -> u64 {
        match &self.subject.content {
            Content::Card(disk) => snapshot::card_size_in(self.machine, disk.size),
            Content::Image(image) => snapshot::card_size_for_image(image.size),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, machine, limit, wanted } = self;
        let content = Bytes(subject.size());
        let card = Bytes(self.card_size());
        writeln!(
            f,
            "boot    {}: {content}, as a card of {card} in {}",
            Plain(&subject.name),
            machine.name()
        )?;
        writeln!(f, "change  nothing: what the host writes is removed with the snapshot")?;
        write!(f, "until   {wanted}; at most {limit}")
    }
}
