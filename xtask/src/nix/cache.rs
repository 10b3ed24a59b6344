//! Binary caches: signing store paths, pushing them, and the command by which a host fetches them.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::build_monitor::BuildMonitor;
use super::ssh_options::{batch_options, with_batch_options};
use super::store_path::StorePath;
use super::{FEATURES, FetchFault, cache_folder, error};
use crate::base::process::{Launcher, Output, TimedOut};
use crate::base::{CacheUrl, Event, Reporter, RunningPhase, memfd, shell};
use crate::failure;

/// How long Nix waits for a connection to a cache, and for the next byte of it, in seconds: a cache that is gone is
/// named within 5 s.
const TIMEOUT: &str = "4";
/// [`TIMEOUT`] for the ssh of a cache that ssh reaches.
const SSH_SECONDS: u32 = 4;
/// How long a cache may take to answer the first question.
const PROBE_LIMIT: Duration = Duration::from_secs(5);
/// The most lines that are kept of what a Nix prints.
const MAX_LINES: usize = 100;

/// Settings for each question to a cache. Nix must not trust its memory of what a cache had: the cache may have lost a
/// path since, or got it. A second attempt would wait for a dead cache twice.
const ASK: &[(&str, &str)] = &[
    ("narinfo-cache-positive-ttl", "0"),
    ("narinfo-cache-negative-ttl", "0"),
    ("connect-timeout", TIMEOUT),
    ("download-attempts", "1"),
];

/// More settings for a transfer from a cache: one that accepts a connection and stays silent is gone too.
const FETCH: &[(&str, &str)] = &[("stalled-download-timeout", TIMEOUT)];

/// How much a transfer has moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Transferred {
    /// How many store paths.
    pub paths: u64,
    /// Their size in bytes, unpacked, as far as Nix has reported it: the end of a path may be missing.
    pub bytes: u64,
}

/// Makes a private key that signs store paths, called `name`: the content of its file.
///
/// # Errors
/// That of Nix.
pub fn generate_key(launcher: &Launcher, name: &str) -> Result<Vec<u8>> {
    let args = [&FEATURES[..], &["key", "generate-secret", "--key-name", name]].concat();
    // `read` would write the key to the log of the run where Nix fails; an output of success is in none.
    let output = launcher.capture("nix", &args)?;
    if output.success() {
        return Ok(output.stdout.into_bytes());
    }
    Err(failure!(Other, "nix made no key: {}", error::cache_cause(&[output.stderr], &[])))
}

/// Signs the closures of `paths` in the local store by the private key `secret`, which Nix reads from memory.
///
/// # Errors
/// That of Nix.
pub fn sign(launcher: &Launcher, secret: &[u8], paths: &[StorePath]) -> Result<()> {
    let key = memfd::file_with("key", secret)?;
    let file = memfd::path(&key);
    let fixed = ["store", "sign", "--recursive", "--key-file", &file];
    let args =
        FEATURES.into_iter().chain(fixed).chain(paths.iter().map(StorePath::as_str)).collect::<Vec<_>>();
    let output = launcher.capture("nix", &args)?;
    if output.success() {
        return Ok(());
    }
    Err(failure!(Other, "{}", error::cache_cause(&[output.stderr], &[])))
}

/// Why the cache does not answer, in one line, after at most [`PROBE_LIMIT`]; `None` where it answers, whatever it has.
/// It is asked for `path`.
///
/// # Errors
/// `Interrupted` where the user stops the question.
pub fn cache_fault(launcher: &Launcher, url: &CacheUrl, path: &StorePath) -> Result<Option<String>> {
    let words = ["path-info", "--store", url.as_str()];
    let args =
        [FEATURES.map(str::to_owned).to_vec(), words.map(str::to_owned).to_vec(), settings(&[ASK, FETCH])];
    let args = [args.concat(), vec![path.to_string()]].concat();
    let mut lines = Vec::new();
    let asked =
        with_batch_options(launcher, SSH_SECONDS).stream_killable("nix", &args, Some(PROBE_LIMIT), |line| {
            if lines.len() < MAX_LINES {
                lines.push(line.to_owned());
            }
        });
    match asked {
        Err(error) if error.is::<TimedOut>() => {
            Ok(Some(format!("no answer within {} s", PROBE_LIMIT.as_secs())))
        }
        Err(error) => Err(error),
        Ok(output) if output.success() => Ok(None),
        Ok(_) if lines.iter().any(|line| error::is_missing_path(line)) => Ok(None),
        Ok(_) => Ok(Some(error::cache_cause(&lines, &[]))),
    }
}

/// Pushes the closures of `paths` to the cache, as far as it lacks them, and reports the progress.
///
/// # Errors
/// `Interrupted` where the user stops the push; the cause where it fails. Paths that have arrived whole stay.
pub fn push(
    launcher: &Launcher,
    url: &CacheUrl,
    paths: &[StorePath],
    reporter: &dyn Reporter,
) -> Result<Transferred> {
    let phase = RunningPhase::begin(reporter, "push");
    // The hosts check signatures, not the cache: one that is a store of Nix need not trust the key.
    let words = ["copy", "--log-format", "internal-json", "--no-check-sigs", "--to", &url.for_push()];
    let words = words.map(str::to_owned);
    let args = [FEATURES.map(str::to_owned).to_vec(), words.to_vec(), settings(&[ASK])].concat();
    let args = args.into_iter().chain(paths.iter().map(ToString::to_string)).collect::<Vec<_>>();
    let mut monitor = BuildMonitor::new(reporter);
    let output =
        with_batch_options(launcher, SSH_SECONDS).stream("nix", &args, |line| monitor.process_line(line))?;
    if !output.success() {
        let lines = monitor.foreign_lines().map(str::to_owned).collect::<Vec<_>>();
        return Err(failure!(Other, "{}", error::cache_cause(&monitor.causes(), &lines)));
    }
    let moved = Transferred { paths: monitor.done_count(), bytes: monitor.copied_bytes() };
    phase.end(moved.paths);
    Ok(moved)
}

/// The command line by which a host fetches the closure of `path` from the cache and from nowhere else, and checks the
/// signatures by its own `trusted-public-keys`. It builds nothing. `prefix` makes it root, if anything. It succeeds
/// where the host has the closure afterwards.
///
/// Nix writes its events one by one, some hundred in a second, and each would be a packet that this machine
/// acknowledges. `dd` gathers those of a few MiB.
pub fn fetch_command(prefix: &str, url: &CacheUrl, path: &StorePath) -> String {
    let own = [("substitute", "true"), ("substituters", url.as_str()), ("require-sigs", "true")];
    let mut words = ["nix-store", "--realise", path.as_str(), "--log-format", "internal-json"]
        .map(str::to_owned)
        .to_vec();
    words.extend(settings(&[&own, ASK, FETCH]));
    let words = words.iter().map(|word| shell::quote(word)).collect::<Vec<_>>().join(" ");
    let options = url.is_ssh().then(|| shell::quote(&batch_options(SSH_SECONDS)));
    let env = options.map(|options| format!("env NIX_SSHOPTS={options} ")).unwrap_or_default();
    let fetch = format!("{prefix}{env}{words} 2>&1 >/dev/null | dd obs=16k >&2 2>/dev/null");
    let fetch = match url.folder() {
        Some(folder) => cache_folder::checked(prefix, folder, path, &fetch),
        None => fetch,
    };
    format!("{fetch}; nix-store --check-validity {path}")
}

/// Follows a fetch of a host, which `run` runs, and reports its progress. Returns what came, or why not all did.
///
/// # Errors
/// Those of `run`.
pub fn follow_fetch(
    reporter: &dyn Reporter,
    run: impl FnOnce(&mut dyn FnMut(&str)) -> Result<Output>,
) -> Result<(Transferred, Option<FetchFault>)> {
    let phase = RunningPhase::begin(reporter, "fetch");
    let quiet = WithoutWarnings { reporter };
    let mut monitor = BuildMonitor::new(&quiet);
    let mut messages = VecDeque::new();
    let output = run(&mut |line| {
        monitor.process_line(line);
        keep_message(&mut messages, line);
    })?;
    let moved = Transferred { paths: monitor.made_count(), bytes: monitor.copied_bytes() };
    if output.success() {
        phase.end(moved.paths);
        return Ok((moved, None));
    }
    let mut lines = Vec::from(messages);
    lines.extend(monitor.foreign_lines().map(str::to_owned));
    Ok((moved, Some(FetchFault::of_lines(&lines))))
}

/// The arguments that set `lists` of settings.
fn settings(lists: &[&[(&str, &str)]]) -> Vec<String> {
    let words = lists.iter().copied().flatten().flat_map(|(name, value)| ["--option", *name, *value]);
    words.map(str::to_owned).collect()
}

/// Keeps the message of Nix in `line`, of any level: where no cache has a path, Nix says so at the level of a fact.
fn keep_message(messages: &mut VecDeque<String>, line: &str) {
    let event = line.strip_prefix("@nix ").and_then(|json| serde_json::from_str::<Value>(json).ok());
    let Some(event) = event.filter(|event| event["action"] == "msg") else { return };
    if messages.len() == MAX_LINES {
        messages.pop_front();
    }
    messages.push_back(error::strip_ansi(event["msg"].as_str().unwrap_or_default()));
}

/// A reporter that keeps the warnings of a host's Nix to itself: they explain a fault, and are no warnings of this run.
struct WithoutWarnings<'a> {
    reporter: &'a dyn Reporter,
}

impl Reporter for WithoutWarnings<'_> {
    fn report(&self, event: &Event) {
        if !matches!(event, Event::Warning { .. }) {
            self.reporter.report(event);
        }
    }

    fn warn_once(&self, _: &str) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Recorder;
    use crate::nix::FetchFaultKind;

    fn path() -> StorePath {
        StorePath::containing("/nix/store/0123456789abcdfghijklmnpqrsvwxyz-x").unwrap()
    }

    #[test]
    fn a_host_fetches_from_the_cache_alone_and_checks_signatures() {
        let command = |url: &str| fetch_command("sudo -u root ", &url.parse().unwrap(), &path());
        let web = command("http://desk:8080?a=b&c=d");
        assert!(web.starts_with("sudo -u root nix-store --realise /nix/store/"), "{web}");
        for words in [
            "--option substituters 'http://desk:8080?a=b&c=d'",
            "--option require-sigs true",
            "--option connect-timeout 4",
            "--option narinfo-cache-positive-ttl 0",
        ] {
            assert!(web.contains(words), "{web}");
        }
        assert!(!web.contains("trusted-public-keys"), "{web}");
        assert!(
            web.ends_with(&format!(" | dd obs=16k >&2 2>/dev/null; nix-store --check-validity {}", path())),
            "{web}"
        );
        let by_ssh = command("ssh-ng://nas");
        assert!(
            by_ssh.starts_with("sudo -u root env NIX_SSHOPTS='-oBatchMode=yes -oConnectTimeout=4' "),
            "{by_ssh}"
        );
    }

    #[test]
    fn what_a_host_prints_is_counted_and_judged_and_is_no_warning_here() {
        let lines = [
            r#"@nix {"action":"start","id":1,"type":108,"fields":["/nix/store/a-x","http://h"],"text":""}"#,
            r#"@nix {"action":"start","id":2,"type":100,"fields":["/nix/store/a-x","a","b"],"text":""}"#,
            r#"@nix {"action":"result","id":2,"type":105,"fields":[7,7,0,0]}"#,
            r#"@nix {"action":"stop","id":2}"#,
            r#"@nix {"action":"msg","level":1,"msg":"warning: unable to download 'http://h/b'","raw_msg":"x"}"#,
            r#"@nix {"action":"msg","level":0,"msg":"error: build of 'a' failed","raw_msg":"x"}"#,
        ];
        let fetch = |code: i32| {
            let recorder = Recorder::default();
            let ended = follow_fetch(&recorder, |on_line| {
                lines.into_iter().for_each(&mut *on_line);
                Ok(Output { code, stdout: String::new(), stderr: String::new() })
            });
            let has_warning = recorder.events().iter().any(|event| matches!(event, Event::Warning { .. }));
            assert!(!has_warning, "{:?}", recorder.events());
            ended.unwrap()
        };
        let moved = Transferred { paths: 1, bytes: 7 };
        assert_eq!(fetch(0), (moved, None));
        let (found, fault) = fetch(1);
        let fault = fault.unwrap();
        assert_eq!((found, fault.kind), (moved, FetchFaultKind::Unreachable));
        assert_eq!(fault.message, "unable to download 'http://h/b'");
    }
}
