//! A fake `nix`: a script that gives each kind of call the answer that the test sets.

use std::collections::BTreeMap;
use std::ops::Deref;

use crate::support::Sandbox;

/// The option by which every call except `--version` switches features on.
const FEATURES: &[&str] = &["--extra-experimental-features", "nix-command flakes"];

/// The flake of these tests.
pub const FLAKE: &str = "github:o/f";

/// The function that the tool applies to the outputs of a flake. In the recorded calls, `HOSTS` stands for it.
const HOSTS_FUNCTION: &str = concat!(
    "(",
    include_str!("../../src/nix/flake/hosts.nix"),
    ") (",
    include_str!("../../src/nix/flake/values.nix"),
    ") ((",
    include_str!("../../src/nix/flake/layout.nix"),
    ") (",
    include_str!("../../src/nix/flake/logins.nix"),
    ") (",
    include_str!("../../src/nix/flake/wifi.nix"),
    ")) (",
    include_str!("../../src/nix/flake/stock_variants.nix"),
    ") (",
    include_str!("../../src/nix/flake/image_lists.nix"),
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

/// The JSON of the names in a flake: packages by system, configurations and deploy nodes.
pub fn names_json(packages: &[(&str, &[&str])], configurations: &[&str], nodes: &[&str]) -> String {
    let packages = packages.iter().map(|(system, names)| ((*system).to_owned(), names.to_vec()));
    let packages = packages.collect::<BTreeMap<_, _>>();
    let configurations = configurations.iter().map(|name| ["nixosConfigurations", name]).collect::<Vec<_>>();
    serde_json::json!({
        "packages": packages, "images": [], "configurations": configurations, "nodes": nodes, "broken": []
    })
    .to_string()
}

/// The derivation of the image in [`image_json`].
pub const IMAGE_DERIVATION: &str = "/nix/store/00000000000000000000000000000000-stinky.img.drv";

/// The JSON of the found image of the host `stinky`, which is built on `system`.
pub fn image_json(system: &str) -> String {
    let image = serde_json::json!({
        "place": "convention", "path": ["packages", system, "stinky-sdImage"], "name": "stinky.img",
        "system": system, "derivation": IMAGE_DERIVATION, "file": null
    });
    serde_json::json!({ "images": [image], "isos": [], "is_configured": false }).to_string()
}

/// The JSON where no image of a host is found. `is_configured`: the host has a configuration.
pub fn no_image_json(is_configured: bool) -> String {
    serde_json::json!({ "images": [], "isos": [], "is_configured": is_configured }).to_string()
}

/// The answers of the fake. Each but the version is a shell script; see [`print_script`] and [`fail_script`].
pub struct Answers {
    /// The output of `nix --version`.
    pub version: &'static str,
    /// Lists the names of hosts.
    pub names: String,
    /// Finds the image of a host.
    pub image: String,
    /// Shows the settings of Nix.
    pub config: String,
    /// Builds an image.
    pub build: String,
}

/// A sandbox whose only `nix` is the fake one.
pub struct FakeNix(Sandbox);

impl Default for Answers {
    /// A flake with one host that has an image for this machine and a deploy node.
    fn default() -> Self {
        Self {
            version: "nix (Nix) 2.34.8",
            names: print_script(&names_json(&[(&system(), &["stinky-sdImage"])], &[], &["stinky"])),
            image: print_script(&image_json(&system())),
            config: print_script(&config_json("[]", "")),
            build: fail_script("no build was expected"),
        }
    }
}

impl Answers {
    /// Installs the fake in a new sandbox.
    pub fn install(&self) -> FakeNix {
        self.install_in(Sandbox::with_fakes_only())
    }

    /// Installs the fake in a new sandbox. The calls that match the shell pattern `pattern` get the answer `answer`,
    /// except those that read names, images or settings.
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

    /// Installs the fake in `sandbox`.
    pub fn install_in(&self, sandbox: Sandbox) -> FakeNix {
        let Self { version, names, image, config, build } = self;
        let version = print_script(version);
        let script = format!(
            "case \"$*\" in\n --version) {version};;\n *').names'*) {names};;\n \
             *' outputs).imageOf '*) {image};;\n \
             *' config show '*|*' show-config '*) {config};;\n \
             *' build --dry-run '*) echo 'this derivation will be built:' >&2;;\n *' build '*) {build};;\n \
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
    /// The sandbox, with the fake in it.
    pub fn into_sandbox(self) -> Sandbox {
        self.0
    }

    /// The recorded calls of nix without [`FEATURES`], sorted, as some run in parallel. Two calls that protect keys
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
        let mut calls =
            calls.iter().map(|call| call.join(" ").replace(HOSTS_FUNCTION, "HOSTS")).collect::<Vec<_>>();
        calls.sort();
        calls
    }
}

/// The system of the machine that runs the tests.
pub fn system() -> String {
    format!("{}-linux", std::env::consts::ARCH)
}

/// The JSON that `nix config show --json` prints on this machine, with `extra_platforms` (JSON) and `builders`.
pub fn config_json(extra_platforms: &str, builders: &str) -> String {
    format!(
        r#"{{"system":{{"value":"{}"}},"extra-platforms":{{"value":{extra_platforms}}},"builders":{{"value":"{builders}"}}}}"#,
        system()
    )
}

/// The script that prints `text` on stdout.
pub fn print_script(text: &str) -> String {
    format!("printf '%s\\n' {}", quote(text))
}

/// The script that prints `text` on stderr and exits with 1, as nix does.
pub fn fail_script(text: &str) -> String {
    format!("printf '%s\\n' {} >&2; exit 1", quote(text))
}

/// Quotes `text` for a shell.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
