//! A fake `nix`: a script that answers each kind of call with what the test gives it.

use std::collections::BTreeMap;
use std::ops::Deref;

use crate::support::Sandbox;

/// The features that every call but `--version` switches on.
pub const FEATURES: [&str; 2] = ["--extra-experimental-features", "nix-command flakes"];

/// The flake of these tests.
pub const FLAKE: &str = "github:o/f";

/// The function that the tool applies to the outputs of a flake; calls have `HOSTS` in its place.
const HOSTS: &str = concat!(
    "(",
    include_str!("../../src/nix/flake/hosts.nix"),
    ") (",
    include_str!("../../src/nix/flake/layout.nix"),
    ")"
);

/// The call that lists the hosts.
pub const LIST_NAMES: &str =
    "eval --json --show-trace github:o/f#. --apply outputs: ((HOSTS) outputs).names --no-write-lock-file";

/// The call that finds the image of `host`.
pub fn find_image(host: &str) -> String {
    let here = system();
    format!(
        "eval --json --show-trace github:o/f#. --apply outputs: ((HOSTS) outputs).imageOf {{ host = \"{host}\"; here = \"{here}\"; }}"
    )
}

/// The names in a flake: packages by system, configurations and deploy nodes.
pub fn names(packages: &[(&str, &[&str])], configurations: &[&str], nodes: &[&str]) -> String {
    let packages = packages.iter().map(|(system, names)| ((*system).to_owned(), names.to_vec()));
    let packages = packages.collect::<BTreeMap<_, _>>();
    let configurations = configurations.iter().map(|name| ["nixosConfigurations", name]).collect::<Vec<_>>();
    serde_json::json!({
        "packages": packages, "images": [], "configurations": configurations, "nodes": nodes, "broken": []
    })
    .to_string()
}

/// The derivation of the image that [`image`] finds.
pub const IMAGE_DERIVATION: &str = "/nix/store/00000000000000000000000000000000-stinky.img.drv";

/// The image of stinky, which is built on `system`.
pub fn image(system: &str) -> String {
    let image = serde_json::json!({
        "place": "convention", "path": ["packages", system, "stinky-sdImage"], "name": "stinky.img",
        "system": system, "derivation": IMAGE_DERIVATION, "file": null
    });
    serde_json::json!({ "images": [image], "isos": [], "is_configured": false }).to_string()
}

/// What is found of a host without an image.
pub fn no_image(is_configured: bool) -> String {
    serde_json::json!({ "images": [], "isos": [], "is_configured": is_configured }).to_string()
}

/// The answers, each a shell script; see [`prints`] and [`fails`].
pub struct Answers {
    pub version: &'static str,
    /// The names of hosts.
    pub names: String,
    /// Where the image of a host is.
    pub image: String,
    pub config: String,
    pub build: String,
}

/// A sandbox whose only `nix` is the fake one.
pub struct FakeNix(Sandbox);

impl Default for Answers {
    /// A flake with one host that has an image for this machine and a deploy node.
    fn default() -> Self {
        Self {
            version: "nix (Nix) 2.34.8",
            names: prints(&names(&[(&system(), &["stinky-sdImage"])], &[], &["stinky"])),
            image: prints(&image(&system())),
            config: prints(&config("[]", "")),
            build: fails("no build was expected"),
        }
    }
}

impl Answers {
    pub fn install(&self) -> FakeNix {
        self.install_in(Sandbox::with_fakes_only())
    }

    /// Installs a nix that also answers the calls that `pattern` of a shell matches.
    pub fn install_with(&self, pattern: &str, answer: &str) -> FakeNix {
        let config = format!("{};;\n {pattern}) {answer}", self.config);
        Answers {
            config,
            names: self.names.clone(),
            image: self.image.clone(),
            build: self.build.clone(),
            ..*self
        }
        .install()
    }

    pub fn install_in(&self, sandbox: Sandbox) -> FakeNix {
        let Self { version, names, image, config, build } = self;
        let version = prints(version);
        let script = format!(
            "case \"$*\" in\n --version) {version};;\n *').names'*) {names};;\n \
             *' outputs).imageOf '*) {image};;\n \
             *' config show '*|*' show-config '*) {config};;\n *' build '*) {build};;\n \
             *' flake metadata '*) echo '{{}}';;\n \
             *' store ping '*) ;;\n \
             *) echo \"unexpected: $*\" >&2; exit 99;;\nesac"
        );
        sandbox.fake("nix", &script);
        FakeNix(sandbox)
    }
}

impl Deref for FakeNix {
    type Target = Sandbox;

    fn deref(&self) -> &Sandbox {
        &self.0
    }
}

impl FakeNix {
    /// The calls of nix without [`FEATURES`], sorted, as some run in parallel. Two calls that protect keys
    /// are left out: the first one, which reads the settings of builds, and the one that locks the flake.
    pub fn nix_calls(&self) -> Vec<String> {
        let mut calls = self.calls("nix");
        let settings = ["config", "show", "--json"].map(str::to_owned);
        if calls.first().is_some_and(|call| call.ends_with(&settings)) {
            calls.remove(0);
        }
        calls.retain(|call| !call.contains(&"metadata".to_owned()));
        for call in &mut calls {
            if call.as_slice() != ["--version"] {
                assert_eq!(call.drain(..2).collect::<Vec<_>>(), FEATURES);
            }
        }
        let mut calls = calls.iter().map(|call| call.join(" ").replace(HOSTS, "HOSTS")).collect::<Vec<_>>();
        calls.sort();
        calls
    }
}

/// The system of the machine that runs the tests.
pub fn system() -> String {
    format!("{}-linux", std::env::consts::ARCH)
}

/// What `nix config show --json` prints on this machine.
pub fn config(extra_platforms: &str, builders: &str) -> String {
    format!(
        r#"{{"system":{{"value":"{}"}},"extra-platforms":{{"value":{extra_platforms}}},"builders":{{"value":"{builders}"}}}}"#,
        system()
    )
}

/// Answers `text` on stdout.
pub fn prints(text: &str) -> String {
    format!("printf '%s\\n' {}", quote(text))
}

/// Prints `text` on stderr and fails as nix does.
pub fn fails(text: &str) -> String {
    format!("printf '%s\\n' {} >&2; exit 1", quote(text))
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
