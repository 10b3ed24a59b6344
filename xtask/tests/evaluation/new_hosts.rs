//! `new-host` in a tree of this repository and in its template, for each board, with and without Wi-Fi: what the tool
//! writes evaluates with nixpkgs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use xtask::base::program_file;

pub const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKCcGufY3wZYjbxCpm9xo3W2XeGl1+70HxLJuItPZBaw anna@desk";

/// The boards of `--board`, each with its name in `raspberryPi.boards` and the size limit of /.
const BOARDS: &[(&str, &str, &str)] = &[
    ("pi3", "pi3", "512M"),
    ("pi3+", "pi3", "512M"),
    ("pi02", "pi02", "256M"),
    ("pi4", "pi4", "2G"),
    ("pi400", "pi400", "2G"),
    ("cm4", "cm4", "2G"),
    ("pi5", "pi5", "2G"),
    ("pi500", "pi500", "2G"),
    ("cm5", "cm5", "2G"),
];

/// The parts of this repository that its flake reads.
const TREE: &[&str] =
    &["flake.nix", "flake.lock", "hosts", "nix", "templates", "xtask/Cargo.toml", "xtask/src/nix/flake"];

/// A tree of this repository, in which the tool writes hosts. Its fake Nix lists each new host at once.
pub struct Tree {
    dir: tempfile::TempDir,
}

impl Tree {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let copied =
            command("cp", &["-r", "--parents"]).args(TREE).arg(dir.path()).current_dir(root).status();
        assert!(copied.unwrap().success());
        fs::create_dir(dir.path().join("bin")).unwrap();
        fs::write(dir.path().join("key.pub"), format!("{KEY}\n")).unwrap();
        Self { dir }
    }

    /// The path of `name` in the tree.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs `new-host NAME` in the flake in `folder` of the tree.
    fn add(&self, folder: &str, name: &str, board: &str, more: &[&str]) {
        let path = |name: &str| self.path(name).display().to_string();
        let names = |hosts: Value| json!({ "packages": {}, "images": [], "configurations": hosts, "nodes": [], "broken": [] });
        let (before, after) = (names(json!([])), names(json!([["nixosConfigurations", name]])));
        let seen = path("seen");
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in\n --version) echo 'nix (Nix) 2.34.8';;\n *' config show '*) echo '{{}}';;\n \
             *').names'*) if [ -e {seen} ]; then rm {seen}; echo '{after}'; else touch {seen}; echo '{before}'; fi;;\n \
             *toplevel.drvPath*) echo '\"x\"';;\n *) echo '{{}}';;\nesac\n"
        );
        program_file::write(Path::new(&path("bin/nix")), script, 0o755).unwrap();
        let programs = format!("{}:{}", path("bin"), std::env::var("PATH").unwrap());
        let flake = format!("path:{}", path(folder));
        let key = path("key.pub");
        let args =
            ["--flake", &flake, "new-host", name, "--board", board, "--admin", "anna", "--ssh-key", &key];
        let output = command(env!("CARGO_BIN_EXE_xtask"), &args)
            .args(more)
            .envs([
                ("PATH", programs.as_str()),
                ("XTASK_STATE", &path("state")),
                ("XTASK_TOOLS", &path("tools")),
            ])
            .output()
            .unwrap();
        assert!(output.status.success(), "{board}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The facts of the hosts whose names begin with `prefix`.
    fn evaluate(&self, prefix: &str) -> Value {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/evaluation/new_hosts.nix");
        let args =
            ["--extra-experimental-features", "nix-command flakes", "eval", "--json", "--impure", "--file"];
        let output = command("nix", &args)
            .arg(file)
            .env("XTASK_NEW_HOSTS", self.dir.path())
            .env("XTASK_NEW_HOSTS_PREFIX", prefix)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

#[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
pub fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}

/// Asserts what is the same for all hosts, and removes it from `facts`.
#[track_caller]
fn assert_evaluates(facts: &Value, name: &str, board: &str, root_size: &str, has_wifi: bool) {
    super::assert_derivation(&facts["toplevel"]);
    for (key, expected) in [
        ("failed", json!([])),
        ("warnings", json!([])),
        ("hostName", json!(name)),
        ("boards", json!([board])),
        ("wifi", json!(has_wifi)),
        ("rootSize", json!(root_size)),
        ("stateVersion", json!("26.05")),
    ] {
        assert_eq!(facts[key], expected, "{name}: {key}");
    }
    assert_eq!(facts["keys"][0].as_str().map(str::trim), Some(KEY), "{name}");
}

#[test]
#[ignore = "needs Nix, XTASK_NIXPKGS and XTASK_INPUTS: run `cargo xtask test evaluation`"]
fn new_hosts_of_this_repository_evaluate() {
    let tree = Tree::new();
    for (number, (board, _, _)) in BOARDS.iter().enumerate() {
        tree.add("", &format!("h{number}-wired"), board, &["--address", "10.0.0.7"]);
        tree.add("", &format!("h{number}-wifi"), board, &["--wifi"]);
    }
    for (number, (_, board, root_size)) in BOARDS.iter().enumerate() {
        let facts = tree.evaluate(&format!("h{number}-"));
        for (kind, has_wifi) in [("wired", false), ("wifi", true)] {
            let name = format!("h{number}-{kind}");
            assert_evaluates(&facts["registry"][&name], &name, board, root_size, has_wifi);
            let address = if has_wifi { name.as_str() } else { "10.0.0.7" };
            assert_eq!(facts["nodes"][&name], json!({ "hostname": address, "sshUser": "anna" }));
        }
    }
}

#[test]
#[ignore = "needs Nix, XTASK_NIXPKGS and XTASK_INPUTS: run `cargo xtask test evaluation`"]
fn new_hosts_of_the_template_evaluate() {
    let tree = Tree::new();
    let release = ["--state-version", "26.05"];
    tree.add("templates/cluster", "t-wired", "pi4", &release);
    tree.add("templates/cluster", "t-wifi", "pi02", &[&release[..], &["--wifi"]].concat());
    let facts = tree.evaluate("t-");
    assert_evaluates(&facts["template"]["t-wired"], "t-wired", "pi4", "2G", false);
    assert_evaluates(&facts["template"]["t-wifi"], "t-wifi", "pi02", "256M", true);
}
