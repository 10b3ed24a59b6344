//! Runs the commands of docs/identities.md, each section in its order, on workstations with real git and ssh-keygen.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;
use xtask::base::program_file;

use crate::fake_nix::{Answers, names_json, print_script};
use crate::support::Sandbox;
use crate::support::terminal::Terminal;

const PASSPHRASE: &str = "five words that nobody guesses";

/// The people and machines of the page; a block that names none is run by the first.
const WORKSTATIONS: &[&str] = &["anna", "ben", "old", "new"];

/// A block of commands: who runs it, and the commands.
struct Block {
    workstation: String,
    script: String,
}

/// The blocks of the section `heading` and of those below it. Blocks without a language show output.
fn blocks(heading: &str) -> Vec<Block> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/identities.md");
    let page = fs::read_to_string(page).expect("reading the page");
    let (_, section) = page.split_once(&format!("\n## {heading}")).expect("a section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let fences = section.split("\n```").skip(1).step_by(2);
    let commands = fences.filter_map(|fence| fence.strip_prefix("sh")?.split_once('\n'));
    let blocks = commands.map(|(words, script)| {
        let workstation = if words.trim().is_empty() { WORKSTATIONS[0] } else { words.trim() };
        Block { workstation: workstation.to_owned(), script: script.to_owned() }
    });
    // The suite docs runs the others.
    blocks.filter(|block| WORKSTATIONS.contains(&block.workstation.as_str())).collect()
}

/// Workstations with a clone of one repository, and a stick that goes from hand to hand.
struct Team {
    sandbox: Sandbox,
}

impl Team {
    fn new() -> Self {
        let names = names_json(&[], &["stinky", "attic"], &[]);
        let answers = Answers { names: print_script(&names), ..Answers::default() };
        let sandbox = Sandbox::new();
        let team = Self { sandbox: answers_in(&answers, sandbox) };
        let binary = env!("CARGO_BIN_EXE_xtask");
        team.write_program("cargo", &format!("[ \"$1\" = xtask ] && shift && exec '{binary}' \"$@\""));
        team.write_program("ssh", &format!("exec cat '{}'", team.path("pi_key").display()));
        fs::create_dir(team.path("stick")).expect("making a stick");
        team.set_up();
        team
    }

    fn write_program(&self, name: &str, body: &str) {
        let file = self.sandbox.path("bin").join(name);
        program_file::write(&file, format!("#!/bin/sh\n{body}\n"), 0o755).expect("writing a program");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.sandbox.path(name)
    }

    /// The clone of a workstation.
    fn clone_of(&self, workstation: &str) -> PathBuf {
        self.path(workstation).join("cluster")
    }

    /// Makes the repository, the homes and the clones, and the key of a Pi.
    fn set_up(&self) {
        let mut script = "\
            git init --quiet --bare --initial-branch main cluster.git\n\
            ssh-keygen -q -t ed25519 -N '' -f pi_key\n"
            .to_owned();
        script += &WORKSTATIONS
            .iter()
            .map(|name| {
                format!(
                    "mkdir -p {name}/.ssh; ssh-keygen -q -t ed25519 -N '' -f {name}/.ssh/id_ed25519\n\
                     git clone --quiet cluster.git {name}/cluster 2>/dev/null\n"
                )
            })
            .collect::<String>();
        script += "cd anna/cluster; echo '{ outputs = _: { }; }' >flake.nix\n\
                   mkdir team; cp ../../ben/.ssh/id_ed25519.pub team/ben.pub\n\
                   git add .; git commit --quiet --message First; git push --quiet origin HEAD:main\n\
                   for name in ben old new; do git -C ../../$name/cluster pull --quiet origin main; done\n";
        self.run(&self.path(""), &script, &[]);
    }

    /// Runs `script` in `folder` on a terminal, and answers its questions. Returns its stdout.
    #[track_caller]
    fn run(&self, folder: &Path, script: &str, answers: &[(&str, &str)]) -> String {
        let mut terminal = Terminal::run(self.shell(folder, script));
        for (question, answer) in answers {
            terminal.answer(question, answer);
        }
        let outcome = terminal.finish();
        outcome.assert_code(0);
        outcome.stdout
    }

    /// A shell that stops at the first command that fails.
    #[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
    fn shell(&self, folder: &Path, script: &str) -> Command {
        let mut path = self.path("bin").into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").expect("PATH is set"));
        let mut shell = Command::new("bash");
        shell
            .args([
                "-euo",
                "pipefail",
                "-c",
                &script.replace("/media/stick", &self.path("stick").display().to_string()),
            ])
            .current_dir(folder)
            .env("PATH", path)
            .env("HOME", folder.parent().unwrap_or(folder))
            .env("XTASK_TOOLS", self.path("tools"))
            .env_remove("XTASK_STATE")
            .env_remove("XTASK_FLAKE")
            .env_remove("XDG_STATE_HOME")
            .stdin(Stdio::null());
        for (name, value) in [("NAME", "Test"), ("EMAIL", "test@example.org")] {
            shell.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
        }
        shell.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        shell
    }

    /// Runs the blocks of the section `heading`, whose questions have these `answers`. Returns the stdout of each.
    #[track_caller]
    fn walk(&self, heading: &str, answers: &[&[(&str, &str)]]) -> Vec<String> {
        let blocks = blocks(heading);
        assert_eq!(blocks.len(), answers.len(), "the blocks of {heading}");
        let run = |(block, answers): (Block, &&[(&str, &str)])| {
            self.run(&self.clone_of(&block.workstation), &block.script, answers)
        };
        blocks.into_iter().zip(answers).map(run).collect()
    }

    /// The private key of `host` on a workstation.
    fn key(&self, workstation: &str, host: &str) -> Option<String> {
        let folder = self.clone_of(workstation).join(".xtask/identity").join(host);
        let stat = folder.metadata().ok()?;
        assert_eq!(stat.permissions().mode() & 0o777, 0, "the folder of {host} is open");
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).expect("opening the folder");
        let key = fs::read_to_string(folder.join("ssh_host_ed25519_key"));
        fs::set_permissions(&folder, Permissions::from_mode(0o0)).expect("closing the folder");
        key.ok()
    }

    /// Makes and publishes the key of `stinky` on a workstation.
    fn make_key(&self, workstation: &str) -> String {
        let script = "cargo xtask identity make stinky >&2; cargo xtask identity publish stinky >&2\n\
                      git add known_hosts; git commit --quiet --message Publish\n";
        self.run(&self.clone_of(workstation), script, &[]);
        self.key(workstation, "stinky").expect("a key")
    }

    /// Pushes the commit of a workstation, and writes the receipt of a deploy of that commit.
    fn deploy_from(&self, workstation: &str) {
        let clone = self.clone_of(workstation);
        let script = "git push --quiet origin HEAD:main; git rev-parse HEAD; git -C ../../new/cluster pull --quiet origin main\n";
        let commit = self.run(&clone, script, &[]).trim().to_owned();
        let receipt = json!({
            "version": 1, "kind": "deploy", "when": "2026-11-25T12:00:00Z", "host": "stinky",
            "flake": format!("git+file://{}", clone.display()), "revision": { "rev": commit, "dirty": false },
            "from": null, "to": "/nix/store/00000000000000000000000000000000-nixos-system-stinky-26.05", "verdict": "done",
            "exit_code": 0, "seconds": []
        });
        let folder = clone.join(".xtask/receipts");
        fs::create_dir_all(&folder).expect("making the folder of receipts");
        fs::write(folder.join("000001-2026-11-25T120000Z-deploy-stinky.json"), receipt.to_string())
            .expect("writing a receipt");
    }

    /// The lines of the published file of a workstation.
    fn published(&self, workstation: &str) -> String {
        fs::read_to_string(self.clone_of(workstation).join("known_hosts")).expect("a published file")
    }
}

/// The sandbox with the fake nix of `answers`.
fn answers_in(answers: &Answers, sandbox: Sandbox) -> Sandbox {
    answers.install_in(sandbox).into_sandbox()
}

const NEW_PASSPHRASE: [(&str, &str); 2] =
    [("Passphrase of the new backup:", PASSPHRASE), ("The same again:", PASSPHRASE)];
const OLD_PASSPHRASE: (&str, &str) = ("Passphrase of the backup:", PASSPHRASE);

#[test]
fn a_key_is_made_before_there_is_a_card() {
    let team = Team::new();
    let shown = &team.walk("Make the key before there is a card", &[&[]])[0];
    assert!(shown.contains("age     age1") && team.key("anna", "stinky").is_some(), "{shown}");
}

#[test]
fn the_key_of_a_running_pi_is_taken() {
    let team = Team::new();
    team.walk("A Pi that runs already", &[&[]]);
    assert_eq!(team.key("anna", "stinky"), fs::read_to_string(team.path("pi_key")).ok());
}

#[test]
fn a_host_is_renamed() {
    let team = Team::new();
    let key = team.make_key("anna");
    let listed = &team.walk("Rename a host", &[&[]])[0];
    assert!(listed.contains("\nattic  SHA256:") && !listed.contains("\nstinky "), "{listed}");
    assert_eq!((team.key("anna", "attic"), team.key("anna", "stinky")), (Some(key), None));
    assert!(team.published("anna").starts_with("attic ssh-ed25519 "));
}

#[test]
fn a_host_is_removed_after_a_backup() {
    let team = Team::new();
    team.make_key("anna");
    let [first, second] = NEW_PASSPHRASE;
    team.walk(
        "Remove a host",
        &[&[first, second, ("Type the name of the host (stinky) to go on:", "stinky")]],
    );
    assert_eq!((team.key("anna", "stinky"), team.published("anna").as_str()), (None, ""));
    assert!(team.path("anna/stinky.age").exists());
}

#[test]
fn keys_are_backed_up_and_restored() {
    let team = Team::new();
    let key = team.make_key("anna");
    let [first, second] = NEW_PASSPHRASE;
    let shown = team.walk("Back up and restore", &[&[first, second, OLD_PASSPHRASE], &[]]);
    assert!(shown[0].contains("\nstinky SHA256:"), "{shown:?}");
    assert!(shown[1].contains("\nkept stinky SHA256:"), "{shown:?}");
    assert_eq!(team.key("anna", "stinky"), Some(key));
}

#[test]
fn another_workstation_takes_over() {
    let team = Team::new();
    let key = team.make_key("old");
    team.deploy_from("old");
    let shown = team.walk("Another workstation", &[&NEW_PASSPHRASE, &[OLD_PASSPHRASE]]);
    assert!(shown[1].starts_with("restored stinky SHA256:"), "{shown:?}");
    assert!(shown[1].contains("deploy"), "{shown:?}");
    assert_eq!(team.key("new", "stinky"), Some(key));
    // The card dies. The receipt names the revision, though the old clone was in another folder.
    let [restored, without] = ["", "rm -r .xtask/receipts\n"].map(|before| {
        let script = format!("{before}cargo xtask restore stinky --yes --expect-size 1MiB 2>&1 || true\n");
        team.run(&team.clone_of("new"), &script, &[])
    });
    assert!(!restored.contains("no receipt"), "{restored}");
    assert!(without.contains("no receipt names a system of stinky"), "{without}");
}

#[test]
fn two_people_share_public_and_private_keys() {
    let team = Team::new();
    let shown = team.walk("Two people", &[&[], &[], &[], &[]]);
    assert!(shown[1].contains("\nstinky  SHA256:") && shown[1].contains(" (public)  team  "), "{shown:?}");
    let key = team.key("ben", "stinky");
    assert!(key.is_some() && key == team.key("anna", "stinky"));
    // What is in git is public, or encrypted.
    let files = team.run(&team.clone_of("ben"), "git ls-files; git grep -l 'PRIVATE KEY' || true", &[]);
    assert_eq!(files, "flake.nix\nknown_hosts\nstinky.age\nteam/ben.pub\n");
}
