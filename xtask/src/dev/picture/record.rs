//! Records the picture of the README: a flash of the image of the demo, and a deploy to a host in a namespace.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::screen::Screen;
use super::svg::{Panel, svg};
use crate::bail;
use crate::base::process::Launcher;
use crate::base::{Context, FlakeRef, state};
use crate::dev::checkout;
use crate::dev::demo::VirtualCard;
use crate::dev::netns::{Connection, HostsFlake, NamespaceHost, Profile};

/// The columns of the terminals: as many as fit beside each other on the page of a repository.
const COLUMNS: u16 = 96;
/// The size of the card in bytes.
const CARD: u64 = 256 << 20;
/// The name of the host of the deploy.
const HOST: &str = "pi";
/// What every question ends with.
const QUESTION: &str = "to go on: ";

/// What the picture shows, for those who do not see it.
const DESCRIPTION: &str = "Two terminals. In the first, cargo xtask flash shows the image, the card and what will be \
                           lost, asks for the name of the device, writes the image, reads it back, and ends with the \
                           verdict. In the second, cargo xtask deploy shows what will change, deploys, and ends with the \
                           verdict that the host runs the new system.";

/// Flashes a card and deploys to a host, as a user does, and returns the picture of both terminals. Needs root, the
/// image of the demo, and what the suite `deploy` needs.
pub fn record(cx: &Context) -> Result<String> {
    let flash = record_flash(cx)?;
    let deploy = record_deploy(cx)?;
    let panel = |title, screen| Panel { title, screen, columns: COLUMNS.into() };
    Ok(svg(&[panel("a card", &flash), panel("a host", &deploy)], DESCRIPTION))
}

fn record_flash(cx: &Context) -> Result<Screen> {
    let folder = Path::new(".xtask/demo");
    if !checkout().join(folder).join("flake").exists() {
        bail!(Refused, "there is no image of the demo"; hint: "run `cargo xtask demo` first");
    }
    let card = VirtualCard::make(cx, &checkout().join(folder), CARD)?;
    let name = card.path.file_name().context("naming the card")?.display().to_string();
    let device = card.path.display().to_string();
    let args = ["flash", "demo", &device, "--allow-virtual", "--flake", "path:.xtask/demo/flake"];
    run(&cx.launcher.in_dir(checkout()), &args, &args, &format!("{name}\n"))
}

fn record_deploy(cx: &Context) -> Result<Screen> {
    let folder = checkout().join(".xtask/record");
    // A run that was killed may have left it.
    let _ = std::fs::remove_dir_all(&folder);
    state::create_private_folder(&folder)?;
    let launcher = cx.launcher.in_dir(checkout()).with_env("NIX_CONFIG", NIX_CONFIG);
    let launcher = launcher.with_env("XTASK_STATE", folder.join("state"));
    let recorded = deploy_twice(&launcher, &folder);
    let removed = std::fs::remove_dir_all(&folder).context("removing the files of the host");
    recorded.and_then(|screen| removed.map(|()| screen))
}

/// Everything is built here, without a binary cache.
const NIX_CONFIG: &str = "extra-experimental-features = nix-command flakes\nsubstitute = false";

/// Deploys two systems to a host in `folder`, one after the other, and records the second deploy.
fn deploy_twice(launcher: &Launcher, folder: &Path) -> Result<Screen> {
    let files = HostsFlake::new(launcher, &folder.join("flake"))?;
    let machine = folder.join(HOST);
    std::fs::create_dir(&machine).context("making the folder of the host")?;
    let host = NamespaceHost::start(launcher, &machine)?;
    let options = host.ssh_options(&host.write_known_hosts()?);
    let flake = FlakeRef::with_all_files(&folder.join("flake"));
    let args = ["--flake", flake.as_str(), "deploy", HOST];
    let mut last = None;
    for name in ["nixos-system-pi-26.05", "nixos-system-pi-26.11"] {
        let connection = Connection { hostname: &host.address, ssh_options: &options };
        files.set_host(HOST, connection, Profile { name, activation: "sleep 1" })?;
        last = Some(run(launcher, &args, &["deploy", HOST], "")?);
    }
    last.context("recording a deploy")
}

/// Runs the tool with `args` on a terminal that shows the command with the arguments `shown`, and types `answer` at its
/// question.
fn run(launcher: &Launcher, args: &[&str], shown: &[&str], answer: &str) -> Result<Screen> {
    let program = std::env::current_exe().context("finding the tool itself")?;
    let mut printed = Vec::new();
    let mut screen = Screen::new(COLUMNS.into());
    let mut is_answered = false;
    let code = as_seen_by_users(launcher).run_on_terminal(
        &program.display().to_string(),
        args,
        COLUMNS,
        |bytes| {
            printed.extend(bytes);
            screen.feed(bytes);
            let is_asked = !is_answered && screen.text().trim_end().ends_with(QUESTION.trim_end());
            is_answered |= is_asked;
            is_asked.then(|| answer.to_owned())
        },
    )?;
    ensure!(code == 0, "the recorded run failed with exit code {code}:\n{}", screen.text());
    // Where the checkout is differs from machine to machine.
    let printed = String::from_utf8_lossy(&printed).replace(&checkout().display().to_string(), "…");
    let mut screen = Screen::new(COLUMNS.into());
    screen.feed(format!("\u{1b}[1m$ cargo xtask {}\u{1b}[0m\r\n{printed}", shown.join(" ")).as_bytes());
    Ok(screen)
}

/// A launcher of runs with the colours, the characters and the name of the tool that users see.
fn as_seen_by_users(launcher: &Launcher) -> Launcher {
    let variables = [
        ("TERM", "xterm-256color"),
        ("NO_COLOR", ""),
        ("CLICOLOR", "1"),
        ("LC_ALL", "C.UTF-8"),
        ("CARGO_PKG_NAME", "xtask"),
    ];
    variables.into_iter().fold(launcher.clone(), |launcher, (name, value)| launcher.with_env(name, value))
}

/// Where the picture is, in the checkout.
pub fn place() -> PathBuf {
    checkout().join("docs/flash-and-deploy.svg")
}
