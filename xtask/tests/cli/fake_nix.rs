//! A fake `nix`: a script that answers each kind of call with what the test gives it.

use std::ops::Deref;

use crate::support::Sandbox;

/// The features that every call but `--version` switches on.
pub const FEATURES: [&str; 2] = ["--extra-experimental-features", "nix-command flakes"];

/// The flake of these tests.
pub const FLAKE: &str = "github:o/f";

/// The answers, each a shell script; see [`prints`] and [`fails`].
pub struct Answers {
    pub version: &'static str,
    pub show: String,
    pub packages: String,
    pub deploy: String,
    pub config: String,
    pub build: String,
}

/// A sandbox whose only `nix` is the fake one.
pub struct FakeNix(Sandbox);

impl Default for Answers {
    /// A flake with one host that has an image for this machine and a deploy node.
    fn default() -> Self {
        let names = format!(r#"{{"{}":["stinky-sdImage"]}}"#, system());
        Self {
            version: "nix (Nix) 2.34.8",
            show: prints(&format!(r#"{{"packages":{{"{}":{{"stinky-sdImage":{{}}}}}}}}"#, system())),
            packages: prints(&names),
            deploy: prints(r#"["stinky"]"#),
            config: prints(&config("[]", "")),
            build: fails("no build was expected"),
        }
    }
}

impl Answers {
    pub fn install(&self) -> FakeNix {
        self.install_in(Sandbox::with_fakes_only())
    }

    pub fn install_in(&self, sandbox: Sandbox) -> FakeNix {
        let Self { version, show, packages, deploy, config, build } = self;
        let version = prints(version);
        let script = format!(
            "case \"$*\" in\n --version) {version};;\n *' flake show '*) {show};;\n \
             *'#packages --apply '*) {packages};;\n *'#deploy --apply '*) {deploy};;\n \
             *' config show '*|*' show-config '*) {config};;\n *' build '*) {build};;\n \
             *' flake metadata '*) echo '{{}}';;\n \
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
        let mut calls = calls.iter().map(|call| call.join(" ")).collect::<Vec<_>>();
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
