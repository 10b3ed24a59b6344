//! What proves that a host is up, and the watch of a boot for that.

use schemars::JsonSchema;
use serde::Serialize;

use super::console::Watch;
use super::faults::FaultSearch;
use super::ssh_probe::{ProbeResult, SshProbe};
use crate::base::HostName;
use crate::base::process::{Received, Reply};
use crate::identity::PinnedKey;

/// What a boot must show.
#[derive(Debug)]
pub enum Goal<'a> {
    /// A text on the console.
    Text(&'a str),
    /// A login prompt on the console.
    Login,
    /// An ssh server with the host key of a host.
    Ssh(&'a SshProbe<'a>),
}

/// What showed that the host is up. Also its JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Proof {
    /// The console printed the line, which has the wanted text.
    Console { line: String },
    /// The console printed this login prompt.
    Login { prompt: String },
    /// The ssh server has the host key of `host`, and has signed with it.
    Ssh { host: HostName, fingerprint: String },
}

impl std::fmt::Display for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Console { line } => write!(f, "the console printed \"{line}\""),
            Self::Login { prompt } => write!(f, "the console printed the login prompt \"{prompt}\""),
            Self::Ssh { host, fingerprint } => {
                write!(f, "ssh answers with the host key of {host}, {fingerprint}")
            }
        }
    }
}

/// The watch of a boot for a goal.
#[derive(Debug)]
pub struct ProofWatch<'a> {
    goal: Goal<'a>,
    faults: FaultSearch,
    /// The login prompt, if there was one.
    prompt: Option<String>,
    pub proof: Option<Proof>,
    /// The fingerprint of another host key than the wanted one, which the ssh server has sent.
    other_key: Option<String>,
}

impl<'a> ProofWatch<'a> {
    pub fn new(goal: Goal<'a>) -> Self {
        Self { goal, faults: FaultSearch::default(), prompt: None, proof: None, other_key: None }
    }

    /// The proof in `text`, if there is one, or that of the ssh server.
    fn find(&mut self, text: &str) -> Option<Proof> {
        match self.goal {
            Goal::Text(wanted) => {
                text.contains(wanted).then(|| Proof::Console { line: text.trim().to_owned() })
            }
            Goal::Login => self.prompt.clone().map(|prompt| Proof::Login { prompt }),
            Goal::Ssh(probe) => match probe.result()? {
                ProbeResult::Known => Some(Proof::Ssh {
                    host: probe.key.host.clone(),
                    fingerprint: probe.key.fingerprint.clone(),
                }),
                ProbeResult::Other(fingerprint) => {
                    self.other_key = Some(fingerprint.clone());
                    None
                }
            },
        }
    }
}

impl Watch for ProofWatch<'_> {
    fn receive(&mut self, received: Received) -> Reply {
        let (Received::Line(text) | Received::Partial(text)) = received;
        if self.prompt.is_none() && self.faults.is_kernel_started() && is_login_prompt(text) {
            self.prompt = Some(text.trim().to_owned());
        }
        // A text that the user waits for counts before the same text as a fault.
        self.proof = self.find(text);
        let is_over = self.proof.is_some() || self.other_key.is_some() || self.faults.receive(received, &[]);
        if is_over { Reply::Stop } else { Reply::Wait }
    }

    fn awaited(&self) -> Option<String> {
        if self.proof.is_some() {
            return None;
        }
        Some(match (&self.goal, &self.prompt) {
            (Goal::Text(text), _) => format!("\"{text}\" on the console"),
            (Goal::Login, _) => "a login prompt on the console".to_owned(),
            (Goal::Ssh(probe), None) => format!("an answer by ssh with the key of {}", probe.key.host),
            (Goal::Ssh(probe), Some(_)) => {
                format!(
                    "an answer by ssh with the key of {}, though the console has a login prompt,",
                    probe.key.host
                )
            }
        })
    }

    fn fault(&self) -> Option<String> {
        match (&self.other_key, &self.goal) {
            (Some(other), Goal::Ssh(probe)) => {
                let PinnedKey { host, fingerprint, .. } = probe.key;
                Some(format!("the ssh server has the host key {other}, and that of {host} is {fingerprint}"))
            }
            _ if self.proof.is_some() => None,
            _ => self.faults.reason(),
        }
    }

    fn hint(&self, lines: &[String]) -> Option<String> {
        let has = |text: &str| lines.iter().any(|line| line.contains(text));
        let remedy = match &self.goal {
            _ if self.other_key.is_some() => "flash the card again, or name its host with --identity-of",
            _ if has("Timed out waiting for device") || has("NIXOS_SD after") => {
                "the initrd of a host needs the modules virtio_pci and virtio_blk for the machine virt, and those of a Pi 3 \
                 for raspi3b: boot.initrd.availableKernelModules"
            }
            _ if self.faults.is_found() => return None,
            _ if !self.faults.is_kernel_started() => return None,
            Goal::Ssh(_) => {
                "a host without sshd is proved by --expect TEXT; a slow one takes a longer --timeout"
            }
            Goal::Text(_) => {
                "the kernel prints where its console= says: ttyAMA0 for virt, ttyS1 for raspi3b; a slow host takes a longer \
                 --timeout"
            }
            Goal::Login => {
                "the kernel prints where its console= says: ttyAMA0 for virt, ttyS1 for raspi3b; a slow host takes a longer \
                 --timeout, and one without a login is proved by --expect TEXT"
            }
        };
        Some(remedy.to_owned())
    }
}

/// Whether `text` is the prompt of a getty: `pi login: `, which a message of the kernel may follow.
fn is_login_prompt(text: &str) -> bool {
    let Some((host, rest)) = text.split_once(" login:") else { return false };
    let is_name = |c: char| c.is_alphanumeric() || "-._".contains(c);
    !host.is_empty() && host.chars().all(is_name) && (rest.is_empty() || rest.starts_with([' ', '[']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_prompt_is_that_of_a_getty() {
        for (text, expected) in [
            ("pi login: ", true),
            ("nixos login:", true),
            ("pi.lan login: root (automatic login)", true),
            ("pi login: [   12.3] random: crng init done", true),
            ("[  OK  ] Reached target Login Prompts.", false),
            ("[   12.3] audit: last login: never", false),
            (" login: ", false),
            ("", false),
        ] {
            assert_eq!(is_login_prompt(text), expected, "{text:?}");
        }
    }

    /// The reply of a watch for `goal` to the last of `texts`, and the watch.
    fn watch<'a>(goal: Goal<'a>, texts: &[&str]) -> (Reply, ProofWatch<'a>) {
        let mut watch = ProofWatch::new(goal);
        let replies = texts.iter().map(|text| watch.receive(Received::Partial(text))).collect::<Vec<_>>();
        (*replies.last().unwrap(), watch)
    }

    #[test]
    fn a_prompt_proves_a_boot_only_after_the_kernel() {
        let (reply, up) = watch(Goal::Login, &["Starting kernel ...", "pi login: "]);
        assert_eq!((reply, up.fault(), up.awaited()), (Reply::Stop, None, None));
        assert_eq!(up.proof, Some(Proof::Login { prompt: "pi login:".into() }));
        let (reply, early) = watch(Goal::Login, &["pi login: "]);
        assert_eq!(
            (reply, early.awaited().unwrap().as_str()),
            (Reply::Wait, "a login prompt on the console")
        );
    }

    #[test]
    fn a_text_that_is_waited_for_is_no_fault() {
        for text in ["Kernel panic", "No more bootdevs"] {
            let (reply, watch) = watch(Goal::Text(text), &[&format!("  {text}!")]);
            assert_eq!((reply, watch.fault()), (Reply::Stop, None));
            assert_eq!(watch.proof, Some(Proof::Console { line: format!("{text}!") }));
        }
        let (reply, watch) = watch(Goal::Text("up"), &["Kernel panic - not syncing"]);
        assert_eq!(reply, Reply::Stop);
        assert_eq!(watch.fault().unwrap(), "the console printed \"Kernel panic - not syncing\"");
    }

    #[test]
    fn a_failed_boot_has_a_remedy_where_one_is_known() {
        let hint = |texts: &[&str]| {
            let lines = texts.iter().map(ToString::to_string).collect::<Vec<_>>();
            watch(Goal::Login, texts).1.hint(&lines)
        };
        assert_eq!(hint(&["U-Boot", "=> "]), None);
        assert!(hint(&["Starting kernel ..."]).unwrap().contains("console="));
        let waits = "Timed out waiting for device /dev/disk/by-label/NIXOS_SD";
        assert!(hint(&["Starting kernel ...", waits]).unwrap().contains("virtio_blk"));
    }
}
