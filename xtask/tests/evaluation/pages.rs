//! The Nix of the pages: it evaluates with nixpkgs, as part of a host or as a flake, without a warning and without a
//! failed assertion.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::new_hosts::{KEY, Tree, command};
use crate::page::{self, Block};

/// `text` as an expression: pages leave out the braces around definitions.
fn expression(text: &str) -> String {
    if text.starts_with('{') { text.to_owned() } else { format!("{{\n{text}}}\n") }
}

/// The name of a block among hosts and flakes: that of its page, with its line.
fn name_of(block: &Block) -> String {
    let page = Path::new(&block.page).file_stem().unwrap().to_string_lossy().to_lowercase();
    format!("{}-{}", page.replace('_', "-"), block.line)
}

/// A tree of this repository whose registry has a host for each module of the pages, and the hosts of the pages.
struct Pages {
    tree: Tree,
    registry: String,
}

impl Pages {
    fn new() -> Self {
        let pages = Self { tree: Tree::new(), registry: String::new() };
        for user in ["anna", "ben"] {
            pages.write(&format!("hosts/common/keys/{user}.pub"), &format!("{KEY}\n"));
        }
        pages
    }

    fn path(&self, name: &str) -> PathBuf {
        self.tree.path(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Adds a host with the module `text`.
    fn add_host(&mut self, name: &str, text: &str) {
        self.write(&format!("hosts/{name}/block.nix"), text);
        let host = "{ lib, ... }:\n{\n  imports = [ ../raspberry-pi ./block.nix ];\n  \
                    system.stateVersion = lib.mkDefault \"26.05\";\n}\n";
        self.write(&format!("hosts/{name}/default.nix"), host);
    }

    fn add(&mut self, block: &Block, next: &Block) {
        let [name, text] = [name_of(block), expression(&block.text)];
        match block.scene.as_str() {
            "module" => {
                self.add_host(&name, &text);
                let host = format!(
                    "{name} = {{ system = \"aarch64-linux\"; address = \"{name}.lan\"; admin = \"anna\"; }};\n"
                );
                self.registry += &host;
            }
            "registry" => {
                let host = block.text.split(' ').next().unwrap();
                self.add_host(host, "{ }\n");
                self.registry += &block.text;
            }
            "flake" => {
                self.write(&format!("flakes/{name}/flake.nix"), &text);
                // The page shows the file of the host behind the flake.
                self.write(&format!("flakes/{name}/pi.nix"), &expression(&next.text));
            }
            // It was added with the flake before it.
            "host" => {}
            scene => panic!("{}: nix {scene}", block.place()),
        }
    }

    fn evaluate(&self) -> Value {
        self.write("hosts/default.nix", &format!("{{\n{}}}\n", self.registry));
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/evaluation/pages.nix");
        let args =
            ["--extra-experimental-features", "nix-command flakes", "eval", "--json", "--impure", "--file"];
        let output =
            command("nix", &args).arg(file).env("XTASK_PAGES", self.path("")).output().expect("running nix");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// Asserts that each host in `hosts` evaluates, without a warning.
#[track_caller]
fn assert_good(hosts: &Value) {
    for (name, facts) in hosts.as_object().expect("hosts") {
        assert_eq!((&facts["failed"], &facts["warnings"]), (&json!([]), &json!([])), "{name}");
        super::assert_derivation(&facts["toplevel"]);
    }
}

#[test]
#[ignore = "needs Nix, XTASK_NIXPKGS and XTASK_INPUTS: run `cargo xtask test evaluation`"]
fn all_nix_of_the_pages_evaluates() {
    let blocks = page::blocks().into_iter().filter(|block| block.language == "nix").collect::<Vec<_>>();
    let mut pages = Pages::new();
    for (index, block) in blocks.iter().enumerate() {
        pages.add(block, &blocks[(index + 1) % blocks.len()]);
    }
    let facts = pages.evaluate();
    assert_good(&facts["hosts"]);
    assert_eq!(facts["hosts"].as_object().unwrap().len(), blocks.len() - 2, "a flake has a host of its own");
    assert_eq!(facts["nodes"]["smelly"], json!({ "hostname": "smelly.lan", "sshUser": "anna" }));
    let flakes = facts["flakes"].as_object().unwrap();
    assert_eq!(flakes.len(), 1);
    for flake in flakes.values() {
        assert_good(&flake["hosts"]);
        super::assert_image(&flake["images"]["x86_64-linux"]["pi-sdImage"], "pi");
    }
}
