//! Flakes of several shapes for `new-host`, in git repositories, with a fake Nix.

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fake_nix::{config_json, names_json, print_script};
use crate::support::{Outcome, Sandbox};

pub const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKCcGufY3wZYjbxCpm9xo3W2XeGl1+70HxLJuItPZBaw anna@desk";

/// The registry of the flake, with what an editor leaves in one.
pub const REGISTRY: &str = "# The hosts.
{
  # At the printer.
  stinky = { system = \"aarch64-linux\"; address = \"stinky\"; admin = \"ppetru\"; }; # } not the end
  # other = { };
}
";

/// A git repository with a flake, and a fake Nix that evaluates it.
pub struct Flake {
    pub sandbox: Sandbox,
}

impl Flake {
    /// A flake with these files beside `flake.nix`. Nix answers a question for a system with the script `system`.
    pub fn new(files: &[(&str, &str)], system: &str) -> Self {
        let sandbox = Sandbox::new();
        let names = |hosts: &[&str]| print_script(&names_json(&[], hosts, hosts));
        let script = format!(
            "case \"$*\" in\n --version) echo 'nix (Nix) 2.34.8';;\n *' config show '*) {config};;\n \
             *' flake metadata '*) echo '{{}}';;\n *toplevel.drvPath*) {system};;\n \
             *' path:/'*').names'*) {after};;\n *').names'*) {before};;\n *) echo \"unexpected: $*\" >&2; exit 99;;\nesac",
            config = print_script(&config_json("[]", "")),
            after = names(&["smelly", "stinky"]),
            before = names(&["stinky"]),
        );
        sandbox.fake("nix", &script);
        let flake = Self { sandbox };
        flake.write("flake.nix", "{ outputs = inputs: { }; }\n");
        flake.write(
            "flake.lock",
            r#"{"root":"r","nodes":{"r":{"inputs":{"nixpkgs":"n"}},"n":{"original":{"ref":"nixos-26.05"}}}}"#,
        );
        for (name, text) in files {
            flake.write(name, text);
        }
        flake.git(&["init", "--quiet"]);
        flake.git(&["add", "."]);
        fs::write(flake.sandbox.path("key.pub"), format!("{KEY}\n")).unwrap();
        flake
    }

    /// A flake of the shape of this project's repository.
    pub fn registry() -> Self {
        Self::registry_with(&print_script("\"/nix/store/x.drv\""))
    }

    pub fn registry_with(system: &str) -> Self {
        let own = [("hosts/default.nix", REGISTRY), ("hosts/common/users.nix", "{ }")];
        Self::new(&[&own[..], &[("hosts/raspberry-pi/default.nix", "{ }")]].concat(), system)
    }

    /// A flake that was made of the template.
    pub fn template() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates/cluster");
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        let files = [("flake.nix", read("flake.nix")), ("hosts/pi.nix", read("hosts/pi.nix"))];
        let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
        Self::new(&files, &print_script("\"/nix/store/x.drv\""))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.sandbox.path("flake").join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Runs git in the flake, and returns its stdout.
    #[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
    pub fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git").args(args).current_dir(self.path(".")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs `new-host ARGS`.
    pub fn run(&self, args: &[&str]) -> Outcome {
        let flake = self.path(".").display().to_string();
        self.sandbox.run(&[&["--flake", &flake, "new-host"], args].concat())
    }

    /// Runs `new-host smelly` for a Pi 4 of anna, with further arguments.
    pub fn run_smelly(&self, args: &[&str]) -> Outcome {
        self.run(&[&["smelly", "--board", "pi4", "--admin", "anna"], args].concat())
    }

    /// The file of [`KEY`].
    pub fn key(&self) -> String {
        self.sandbox.path("key.pub").display().to_string()
    }

    /// All files of the flake with their contents, without those of git.
    pub fn content(&self) -> Vec<(PathBuf, String)> {
        let mut found = Vec::new();
        let mut folders = vec![self.path("")];
        while let Some(folder) = folders.pop() {
            for entry in folder.read_dir().unwrap() {
                let path = entry.unwrap().path();
                if path.ends_with(".git") {
                } else if path.is_dir() {
                    found.push((path.clone(), String::new()));
                    folders.push(path);
                } else {
                    found.push((path.clone(), fs::read_to_string(&path).unwrap()));
                }
            }
        }
        found.sort();
        found
    }
}
