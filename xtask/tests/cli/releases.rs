//! Releases: which files count before anything else happens, and a deploy of one without an evaluation.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};
use xtask::Launcher;

use crate::deploy_fixture::{ACTIVATING, Fixture, NEW, NEW_PROFILE, probe_answer};
use crate::support::{Outcome, Sandbox, sha256};

/// A release of `stinky`.
fn release() -> Value {
    json!({
        "schema": 1, "time": "2026-11-25T12:00:00Z", "expires": null,
        "revision": {"rev": "0123456789".repeat(4), "dirty": false, "url": null},
        "hosts": [{
            "host": "stinky", "platform": "aarch64-linux", "tags": ["lab"], "system": NEW, "profile": NEW_PROFILE,
            "node": {"hostname": "stinky.lan", "ssh_user": "root", "user": "root", "ssh_options": ["-p", "2222"]},
            "image": null,
        }],
    })
}

fn keygen(args: &[&str]) {
    Launcher::new("/").read("ssh-keygen", &[&["-q"], args].concat()).expect("running ssh-keygen");
}

/// A sandbox with a signed release, two keys, and a file of allowed signers with one of them. Nix, ssh and deploy-rs
/// are fakes that fail.
struct Signed {
    sandbox: Sandbox,
}

impl Signed {
    fn new() -> Self {
        let signed = Self { sandbox: Sandbox::new() };
        for program in ["nix", "ssh", "deploy"] {
            signed.sandbox.fake(program, "exit 99");
        }
        for key in ["key", "other"] {
            keygen(&["-t", "ed25519", "-N", "", "-C", key, "-f", &signed.path(key)]);
        }
        let public = fs::read_to_string(signed.path("key.pub")).expect("a key");
        signed.write(
            "flake/allowed_signers",
            &format!("ci@example namespaces=\"release@cargo-xtask\" {public}"),
        );
        signed.write("flake/flake.nix", "{ }");
        signed.write("release.json", &release().to_string());
        signed.sign("key");
        signed
    }

    fn path(&self, name: &str) -> String {
        self.sandbox.path(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.sandbox.path(name), text).expect("writing a file");
    }

    /// Signs the release with `key` in place of the old signature.
    fn sign(&self, key: &str) {
        let _ = fs::remove_file(self.sandbox.path("release.json.sig"));
        let key = self.path(key);
        keygen(&["-Y", "sign", "-n", "release@cargo-xtask", "-f", &key, &self.path("release.json")]);
    }

    /// Writes the release `text` and signs it.
    fn write_signed(&self, text: &str) {
        self.write("release.json", text);
        self.sign("key");
    }

    fn run(&self, args: &[&str]) -> Outcome {
        let flake = self.path("flake");
        self.sandbox.run(&[&["--flake", &flake], args, &["--release", &self.path("release.json")]].concat())
    }

    /// Asserts that `deploy` and `status` refuse the release with `expected`, before they start a program but
    /// ssh-keygen.
    #[track_caller]
    fn assert_refused(&self, expected: &str) {
        for command in ["deploy", "status"] {
            let refused = self.run(&[command]);
            refused.assert_code(3).assert_stderr_contains(expected).assert_stdout("");
            for program in ["nix", "ssh", "deploy"] {
                assert_eq!(self.sandbox.calls(program), [[""; 0]; 0], "{expected}");
            }
        }
    }
}

#[test]
fn a_release_without_a_signature_that_counts_is_refused_before_anything_else() {
    let refuse = |change: &dyn Fn(&Signed), expected: &str| {
        let signed = Signed::new();
        change(&signed);
        signed.assert_refused(expected);
    };
    let edit = |name: &'static str, change: fn(&str) -> String| {
        move |signed: &Signed| {
            let text = fs::read_to_string(signed.path(name)).expect("a file");
            signed.write(name, &change(&text));
        }
    };
    refuse(
        &|signed| fs::remove_file(signed.path("release.json.sig")).unwrap(),
        "is not signed: there is no ",
    );
    refuse(&edit("release.json", |text| text.replace("stinky.lan", "evil.lan")), "incorrect signature");
    refuse(&edit("release.json.sig", |text| text.replacen('A', "B", 3)), "error: ");
    refuse(&edit("release.json.sig", |_| String::new()), "no allowed signer of ");
    refuse(&|signed| signed.sign("other"), "no allowed signer of ");
    refuse(
        &|signed| fs::remove_file(signed.path("flake/allowed_signers")).unwrap(),
        "allowed_signers cannot be read",
    );
    refuse(
        &edit("flake/allowed_signers", |text| text.replace("release@cargo-xtask", "git")),
        "is no signature of ",
    );
    let expired = |text: &str| text.replace("namespaces", "valid-before=\"20200101\",namespaces");
    refuse(&edit("flake/allowed_signers", expired), "no allowed signer of ");
    let open = |signed: &Signed| {
        let mode = fs::Permissions::from_mode(0o666);
        fs::set_permissions(signed.path("flake/allowed_signers"), mode).unwrap();
    };
    refuse(&open, "allowed_signers cannot say who may sign: others can write to ");
    refuse(
        &|signed| fs::remove_file(signed.path("release.json")).unwrap(),
        "release.json cannot be read: No such file",
    );
}

#[test]
fn what_is_no_release_is_refused_although_it_is_signed() {
    let signed = Signed::new();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut value = release();
        change(&mut value);
        value.to_string()
    };
    for (text, expected) in [
        (
            changed(&|it| it["schema"] = 2.into()),
            "release.json: it has the schema 2, and this program reads 1\nhint: ",
        ),
        (
            changed(&|it| it["expires"] = "2026-11-25T13:00:00Z".into()),
            "release.json has expired: 2026-11-25 13:00 UTC",
        ),
        (changed(&|it| it["hosts"][0]["profile"] = "/etc".into()), "`/etc` is no store path"),
        (changed(&|it| it["hosts"] = json!([])), "it is no release: it has 0 hosts"),
        (String::new(), "it is no release: "),
        ("\u{1b}[2J".to_owned(), "it is no release: "),
    ] {
        signed.write_signed(&text);
        signed.assert_refused(expected);
    }
    // A file without an end is not read to its end.
    let huge = fs::File::options().write(true).open(signed.path("release.json")).unwrap();
    huge.set_len(1 << 40).unwrap();
    signed.assert_refused("larger than the limit of 32.0 MiB");
}

#[test]
fn the_signer_is_named_and_an_unsigned_release_needs_a_flag() {
    let signed = Signed::new();
    // The release counts: the next step asks Nix, which fails.
    let named = "release.json of 2026-11-25 12:00 UTC at 012345678, signed by ci@example (SHA256:";
    signed.run(&["deploy"]).assert_stderr_contains(named);
    let elsewhere = signed.path("signers");
    fs::rename(signed.path("flake/allowed_signers"), &elsewhere).unwrap();
    signed.run(&["deploy", "--signers", &elsewhere]).assert_stderr_contains(named);
    fs::remove_file(signed.path("release.json.sig")).unwrap();
    let waived = signed.run(&["deploy", "--unsigned"]);
    waived.assert_stderr_contains("warning: ").assert_stderr_contains(", whose signature was not verified\n");
}

#[test]
fn wrong_command_lines_of_releases_are_usage_errors() {
    let sandbox = Sandbox::new();
    for line in [
        "deploy",
        "deploy pi --unsigned",
        "deploy pi --signers x",
        "deploy --release x --signers y --unsigned",
        "deploy --release x --all pi",
        "deploy --release x --on lab pi",
        "deploy --release x --plan",
        "deploy --release x pi --bless",
        "status --unsigned",
        "release pi",
        "release --out x",
        "release --out x --all pi",
        "release --out x pi --on lab",
        "release --out x pi --expires-in-days 0",
    ] {
        sandbox.run(&line.split(' ').collect::<Vec<_>>()).assert_code(2);
    }
}

/// A host that runs the old system until deploy-rs has run, and the release of its new one.
pub fn fixture() -> (Fixture, String) {
    let fixture = Fixture::new(&probe_answer(NEW_PROFILE, NEW, ""), ACTIVATING, 0);
    let file = fixture.path("release.json");
    fixture.write("release.json", &release().to_string());
    (fixture, file)
}

#[test]
fn a_release_is_deployed_without_an_evaluation() {
    let (fixture, file) = fixture();
    let outcome = fixture.deploy(&["--release", &file, "--unsigned"]);
    outcome.assert_code(0).assert_stdout(format!("stinky runs {NEW}\n"));
    outcome.assert_stderr_contains("/run/current-system with the system of the release, and ");
    let nix = fixture.sandbox.calls("nix");
    let has = |call: &[String], word: &str| call.iter().any(|own| own == word);
    for word in ["eval", "flake", "path-info --derivation"] {
        assert!(!nix.iter().any(|call| has(call, word)), "{word}: {nix:?}");
    }
    let fetched = nix.iter().filter(|call| has(call, "build")).collect::<Vec<_>>();
    let [fetched] = fetched[..] else { panic!("{nix:?}") };
    assert_eq!(
        fetched[2..],
        ["build", "--no-link", "--keep-going", "--log-format", "internal-json", NEW_PROFILE]
            .map(str::to_owned)
    );
    let pinned =
        fs::read_to_string(fixture.path("state/deploy/stinky/deploy.json")).expect("the pinned node");
    let pinned = serde_json::from_str::<Value>(&pinned).expect("JSON");
    let node = &pinned["nodes"]["stinky"];
    assert_eq!(node["hostname"], "stinky.lan");
    assert_eq!(node["profiles"]["system"], json!({ "path": NEW_PROFILE }));
    let history = fixture.sandbox.run(&["--flake", "github:o/f", "--json", "history"]).assert_code(0).json();
    let receipt = &history["receipts"][0];
    let sum = sha256(&fs::read(Path::new(&file)).unwrap());
    assert_eq!(receipt["revision"]["rev"], "0123456789".repeat(4), "{history}");
    assert_eq!(receipt["release"]["sha256"], sum, "{history}");
    assert_eq!(receipt["release"]["signer"], Value::Null);
}

#[test]
fn hosts_are_compared_with_a_release_without_nix() {
    let (fixture, file) = fixture();
    let status = |args: &[&str]| {
        let words = ["--flake", "github:o/f", "status", "--release", &file, "--unsigned"];
        fixture.sandbox.run(&[&words, args].concat())
    };
    let before = status(&[]);
    before.assert_code(0).assert_stdout_contains("another system");
    before.assert_stderr_contains(format!("deploy --release {file} --unsigned stinky"));
    fixture.write("before", &probe_answer(NEW_PROFILE, NEW, ""));
    status(&["stinky"]).assert_code(0).assert_stdout_contains("current");
    let json = status(&["--json"]).assert_code(0).json();
    assert_eq!((&json["hosts"][0]["current"], &json["release"]["signer"]), (&true.into(), &Value::Null));
    let evaluates = |call: &Vec<String>| call.iter().any(|word| word == "eval" || word == "build");
    assert!(!fixture.sandbox.calls("nix").iter().any(evaluates));
    let unknown = status(&["other"]);
    unknown.assert_code(2).assert_stderr_contains("release.json does not have the host 'other'");
}

#[test]
fn a_release_chooses_hosts_by_its_tags_and_refuses_what_has_no_proof() {
    let (fixture, file) = fixture();
    let deploy = |args: &[&str]| fixture.deploy(&[&["--release", &file, "--unsigned"], args].concat());
    deploy(&["--on", "@attic"])
        .assert_code(2)
        .assert_stderr_contains("no host has the tag attic (tags: lab)");
    deploy(&["other"])
        .assert_code(2)
        .assert_stderr_contains("does not have the host 'other'\nhint: it has stinky\n");
    let mut two = release();
    two["hosts"] = json!([two["hosts"][0], two["hosts"][0]]);
    two["hosts"][1]["host"] = "second".into();
    fixture.write("release.json", &two.to_string());
    let error = "error: --to is the address of one host, and 2 hosts are named\nhint: ";
    deploy(&["--to", "10.0.0.5"]).assert_code(2).assert_stderr_contains(error);
    let remote = deploy(&["--", "--remote-build"]);
    remote.assert_code(2).assert_stderr_contains("--remote-build cannot be passed with --release");
    let mut unsafe_option = release();
    unsafe_option["hosts"][0]["node"]["ssh_options"] = json!(["-oProxyCommand=touch /tmp/x"]);
    fixture.write("release.json", &unsafe_option.to_string());
    let refused = deploy(&[]);
    refused.assert_code(3).assert_stderr_contains("`-oProxyCommand=touch` for stinky: this option can run");
    assert_eq!(fixture.sandbox.calls("deploy"), [[""; 0]; 0]);
    deploy(&["--on", "lab", "--dry-run"]).assert_code(3);
}
