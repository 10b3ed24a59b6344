//! A flake with one host, `pi`, which a fake Nix evaluates and builds.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::image::pack;
use crate::support::{Outcome, Sandbox};

/// The flake.
pub const FLAKE: &str = "github:o/f";
/// Its revision.
pub const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";

/// The sandbox with the fake.
pub struct FakeFlake {
    pub sandbox: Sandbox,
}

impl FakeFlake {
    /// The flake whose host has the image with these `bytes`.
    pub fn new(bytes: &[u8]) -> Self {
        Self::of_hosts(&["pi"], bytes)
    }

    /// The flake whose `hosts` have the image with these `bytes`.
    pub fn of_hosts(hosts: &[&str], bytes: &[u8]) -> Self {
        Self::with_layout(hosts, bytes, &Value::Null)
    }

    /// The flake whose `hosts` have the image with these `bytes`, and this `layout`.
    pub fn with_layout(hosts: &[&str], bytes: &[u8], layout: &Value) -> Self {
        let sandbox = Sandbox::new();
        let folder = sandbox.path("home/out/sd-image");
        fs::create_dir_all(&folder).expect("making the output");
        pack(&folder, "img.zst", bytes);
        sandbox.fake("nix", &script(hosts, &sandbox.path("home/out"), layout));
        Self { sandbox }
    }

    /// The arguments of the tool for the `command` with the host and the card `device` of `size`.
    pub fn args(command: &str, device: &str, size: &str, more: &[&str]) -> Vec<String> {
        let args =
            ["--flake", FLAKE, command, "pi", device, "--allow-virtual", "--yes", "--expect-size", size];
        args.iter().chain(more).map(ToString::to_string).collect()
    }

    /// Runs the tool with [`Self::args`].
    pub fn run(&self, command: &str, device: &str, size: &str, more: &[&str]) -> Outcome {
        let args = Self::args(command, device, size, more);
        self.sandbox.run(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// What `history` prints.
    pub fn history(&self) -> String {
        self.sandbox.run(&["--flake", FLAKE, "history"]).stdout
    }
}

/// The derivation of the image of `host`.
pub fn derivation(host: &str) -> String {
    format!("/nix/store/00000000000000000000000000000000-{host}.img.drv")
}

/// The script of a Nix whose builds for all `hosts`, which have this `layout`, have the output `out`.
fn script(hosts: &[&str], out: &Path, layout: &Value) -> String {
    let system = format!("{}-linux", std::env::consts::ARCH);
    let answers = hosts.iter().map(|host| {
        let image = json!({
            "place": "convention", "path": ["packages", system, format!("{host}-sdImage")], "name": "pi.img",
            "system": system, "derivation": derivation(host), "file": null, "layout": layout
        });
        let found = json!({ "images": [image], "isos": [], "is_configured": false });
        format!(" *' outputs).imageOf '*'\"{host}\"'*) echo '{found}';;\n")
    });
    let answers = answers.collect::<String>();
    let config = json!({
        "system": { "value": system }, "extra-platforms": { "value": [] }, "builders": { "value": "" }
    });
    let metadata = json!({ "revision": REVISION, "url": format!("{FLAKE}/{REVISION}") });
    let built = json!([{ "drvPath": "/nix/store/a-i.drv", "outputs": { "out": out } }]);
    format!(
        "case \"$*\" in\n --version) echo 'nix (Nix) 2.34.8';;\n{answers} \
         *' config show '*) echo '{config}';;\n *' build --dry-run '*) echo 'this derivation will be built:' >&2;;\n \
         *' build '*) echo '{built}';;\n *' flake metadata '*) echo '{metadata}';;\n \
         *) echo \"unexpected: $*\" >&2; exit 99;;\nesac"
    )
}
