//! Flakes that try to read the private keys of hosts, or to copy them to the store.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::fixture::{Fixture, builder, has_got, image, run, system};

/// Makes the key of the host `pi` by `identity make`. Returns the path of the key and one of its lines.
fn make_key(fixture: &Fixture) -> (PathBuf, String) {
    fixture.run(&["identity", "make", "--yes", "pi"]).assert_code(0);
    let file = fixture.path("state/identity/pi/ssh_host_ed25519_key");
    let secret = fs::read_to_string(&file).expect("the key");
    // The first lines are the same for all keys.
    let line = secret.lines().nth(3).expect("a key of several lines").to_owned();
    (file, line)
}

/// The Nix expression of a derivation that tries to write the file `key` to an image and to its log. `more` are
/// further attributes.
fn thief(name: &str, key: &str, more: &str) -> String {
    let script = format!(
        "mkdir -p $out/sd-image; cat {key} >$out/sd-image/a.img; cat {key}; ls -d {key} || echo no key; \
         echo >>$out/sd-image/a.img"
    );
    builder(name, &script).replace("system =", &format!("{more} system ="))
}

/// The text of a flake that tries to read the key `file` in builds and in the evaluation.
fn thieving_flake_text(file: &str) -> String {
    let fixed = r#"outputHash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="; outputHashMode = "recursive";"#;
    let images = [
        ("plain", ""),
        ("fixed", fixed),
        ("nochroot", "__noChroot = true;"),
        ("both", &format!("__noChroot = true; {fixed}")),
    ];
    let packages =
        images.iter().map(|(host, more)| format!("{host}-sdImage = {};\n", thief(host, file, more)));
    let packages = packages.collect::<String>();
    // Nix builds this package during the evaluation.
    let early =
        format!("early-sdImage = import (toString {} + \"/sd-image/a.img\");\n", thief("early", file, ""));
    let settings = r#"nixConfig = { sandbox = false; sandbox-fallback = true; extra-sandbox-paths = [ "/" ];
        allow-unsafe-native-code-during-evaluation = true; pure-eval = false; accept-flake-config = true; };"#;
    let read = format!(
        "read-sdImage = builtins.readFile \"{file}\"; exec-sdImage = builtins.exec [ \"cat\" \"{file}\" ];\n\
         path-sdImage = builtins.path {{ path = \"{file}\"; }};\n\
         fetch-sdImage = builtins.fetchTree {{ type = \"path\"; path = \"{file}\"; }};\n"
    );
    format!(
        "{{ {settings} outputs = {{ self }}: {{ packages.{} = {{ {packages} {early} {read} }}; }}; }}",
        system()
    )
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn a_build_cannot_read_the_key_of_a_host() {
    let mut fixture = Fixture::plain("{ outputs = _: { }; }");
    let (file, secret) = make_key(&fixture);
    let file = file.display().to_string();
    let text = thieving_flake_text(&file);
    fs::write(fixture.path("flake/flake.nix"), text).expect("writing the flake");
    // Settings that the user allowed earlier for another flake, and settings of the environment.
    let allowed = fixture.path("home/.local/share/nix");
    fs::create_dir_all(&allowed).expect("making a folder");
    let trusted = r#"{ "sandbox": { "false": true }, "extra-sandbox-paths": { "/": true }, "pure-eval": { "false": true } }"#;
    fs::write(allowed.join("trusted-settings.json"), trusted).expect("writing the settings");
    for config in ["substitute = false", "sandbox = relaxed", "sandbox = false\naccept-flake-config = true"] {
        fixture.sandbox_mut().env("NIX_CONFIG", format!("substitute = false\n{config}"));
        for host in ["plain", "fixed", "nochroot", "both", "early", "read", "exec", "path", "fetch"] {
            let outcome = fixture.run(&["sd-image", host]);
            let case = format!("{config} {host}: {outcome:?}");
            assert!(!outcome.stderr.contains(&secret) && !outcome.stdout.contains(&secret), "{case}");
            // The build that Nix runs in its sandbox finds no key: its output is one line end.
            let is_empty = outcome.stderr.contains("is no disk image: its size, 1 bytes");
            assert!(is_empty == (host == "plain") && outcome.code != 0, "{case}");
        }
        fixture
            .run(&["sd-image", "nochroot"])
            .assert_stderr_contains("could read the private keys of hosts")
            .assert_code(1);
    }
    for args in [&["--no-sandbox"][..], &["--option", "sandbox", "false"], &["--accept-flake-config"]] {
        let refused = fixture.run(&[&["sd-image", "plain", "--"], args].concat());
        refused
            .assert_stderr_contains("is not passed on to nix: a build could read the private keys of hosts")
            .assert_code(3);
    }
    // The settings of Nix make all folders visible in the sandbox.
    fixture.sandbox_mut().env("NIX_CONFIG", "extra-sandbox-paths = /");
    let outcome = fixture.run(&["sd-image", "plain"]);
    outcome.assert_stderr_contains("the setting `sandbox-paths` of nix shows / to builds").assert_code(3);
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn an_input_of_a_flake_cannot_copy_the_key_of_a_host() {
    let fixture = Fixture::plain("{ outputs = _: { }; }");
    let (file, secret) = make_key(&fixture);
    let folder = fixture.path("state/identity");
    assert_eq!(folder.join("pi").metadata().expect("the folder").permissions().mode() & 0o777, 0);
    let link = fixture.path("home/link");
    symlink(fixture.path("state"), &link).expect("making a link");
    let [file, folder] = [&file, &folder].map(|path| path.display().to_string());
    let encoded = file.replace("identity", "%69dentity");
    let references = [
        format!("path:{folder}"),
        format!("path:{folder}/pi"),
        format!("path:{file}"),
        format!("path:{}/identity", link.display()),
        format!("path:{}", fixture.path("state").display()),
        format!("path:/proc/self/root{folder}"),
        format!("path:/proc/1/root{folder}"),
        format!("file://{file}"),
        format!("file+file://{encoded}"),
        format!("tarball+file://{file}"),
    ];
    let image = image("pi");
    let system = system();
    let archive = fixture.path("home/flake.tar.gz").display().to_string();
    let home = fixture.path("").display().to_string();
    for reference in &references {
        let text = format!(
            r#"{{ inputs.x = {{ url = "{reference}"; flake = false; }};
                outputs = {{ self, x }}: {{ packages.{system}.pi-sdImage = {image}; }}; }}"#
        );
        fs::write(fixture.path("flake/flake.nix"), text).expect("writing the flake");
        fs::write(fixture.path("flake/image.zst"), "any").expect("writing the image");
        run("tar", &["-C", &home, "-czf", &archive, "flake"]);
        for command in [&["sd-image", "pi"][..], &["hosts"], &["status"], &["deploy", "pi", "--dry-run"]] {
            let foreign = format!("file://{archive}");
            let outcomes =
                [fixture.run(command), fixture.sandbox().run(&[&["--flake", &foreign], command].concat())];
            for outcome in outcomes {
                assert_ne!(outcome.code, 0, "{reference} {command:?} {outcome:?}");
            }
        }
        assert!(!has_got(&fixture.path("tools"), &secret), "{reference}");
    }
}

/// Even in a pure evaluation, Nix fetches everything that has a hash, and compares the hash only when the content is
/// in the store.
#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn an_evaluation_cannot_copy_the_key_of_a_host() {
    let fixture = Fixture::plain("{ outputs = _: { }; }");
    let (file, secret) = make_key(&fixture);
    let folder = fixture.path("state/identity/pi").display().to_string();
    let file = file.display().to_string();
    let hash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let fetched = [
        format!(r#"fetchTree {{ type = "path"; path = "{folder}"; narHash = "{hash}"; }}"#),
        format!(r#"fetchTree {{ type = "file"; url = "file://{file}"; narHash = "{hash}"; }}"#),
        format!(r#"getFlake "path:{folder}?narHash={hash}""#),
        format!(r#"fetchurl {{ url = "file://{file}"; sha256 = "{hash}"; }}"#),
    ];
    let system = system();
    let good = image("good");
    fixture.write_image();
    for fetched in &fetched {
        let text = format!(
            r#"{{ outputs = {{ self }}: let x = builtins.{fetched}; in {{
                packages.{system} = {{ pi-sdImage = derivation {{ name = "a"; system = "{system}"; builder = x; }}; good-sdImage = {good}; }};
                deploy = builtins.seq "${{x}}" {{ }}; }}; }}"#
        );
        fs::write(fixture.path("flake/flake.nix"), text).expect("writing the flake");
        for command in [&["sd-image", "pi"][..], &["hosts"], &["deploy", "pi", "--dry-run"]] {
            let outcome = fixture.run(command);
            assert!(!has_got(&fixture.path("tools"), &secret), "{fetched} {command:?} {outcome:?}");
        }
        fixture.run(&["sd-image", "good"]).assert_code(0);
    }
}

/// Writes a flake whose lock has an input with `path`. Nix trusts the lock, and reads the input only when the flake
/// uses it.
fn write_flake_with_locked_input(fixture: &Fixture, path: &Path) {
    let text = format!(
        r#"{{ inputs.x = {{ url = "path:{}"; flake = false; }};
            outputs = {{ self, x }}: {{ packages.{}.pi-sdImage = {} ; }}; }}"#,
        path.display(),
        system(),
        image("pi").replace("system =", "inherit x; system =")
    );
    fs::write(fixture.path("flake/flake.nix"), text).expect("writing the flake");
    fs::write(fixture.path("flake/image.zst"), "any").expect("writing the image");
    let reference = serde_json::json!({ "type": "path", "path": path });
    let mut locked = reference.clone();
    locked["narHash"] = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".into();
    let lock = serde_json::json!({ "version": 7, "root": "root", "nodes": {
        "root": { "inputs": { "x": "x" } },
        "x": { "flake": false, "locked": locked, "original": reference }
    } });
    fs::write(fixture.path("flake/flake.lock"), lock.to_string()).expect("writing the lock");
}

/// The check of the lock does not find the indirect path to the key. The evaluation fails, because it may not read
/// the key.
#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn a_lock_that_reaches_the_key_of_a_host_indirectly_copies_nothing() {
    let fixture = Fixture::plain("{ outputs = _: { }; }");
    let (file, secret) = make_key(&fixture);
    let folder = file.parent().expect("a folder");
    let aside = fixture.path("home/aside");
    fs::create_dir(&aside).expect("making a folder");
    fs::rename(folder, aside.join("pi")).expect("moving the keys aside");
    symlink(aside.join("pi"), folder).expect("making a link");
    for path in [&aside, &aside.join("pi")] {
        write_flake_with_locked_input(&fixture, path);
        for command in [&["sd-image", "pi"][..], &["hosts"], &["status"]] {
            let outcome = fixture.run(command);
            assert!(!has_got(&fixture.path("tools"), &secret), "{command:?} {outcome:?}");
        }
    }
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn a_lock_that_names_the_key_of_a_host_is_refused() {
    let fixture = Fixture::plain("{ outputs = _: { }; }");
    let (file, secret) = make_key(&fixture);
    write_flake_with_locked_input(&fixture, &file);
    for command in [&["sd-image", "pi"][..], &["hosts", "--evaluate"]] {
        let outcome = fixture.run(command);
        assert_ne!(outcome.code, 0, "{command:?} {outcome:?}");
        if rustix::process::geteuid().is_root() {
            outcome
                .assert_stderr_contains("the input `x` of the flake names ")
                .assert_stderr_contains("\nhint: remove the input from flake.nix and flake.lock")
                .assert_code(3);
        }
    }
    // The names need no input.
    fixture.run(&["hosts"]).assert_stdout_contains("pi").assert_code(0);
    assert!(!has_got(&fixture.path("tools"), &secret));
}

/// The key is in a folder of --identity-dir, and the state folder has no keys.
#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn an_evaluation_cannot_copy_a_key_that_the_project_does_not_know() {
    let fixture = Fixture::plain("{ outputs = _: { }; }");
    let aside = fixture.path("home/aside");
    fs::create_dir(&aside).expect("making a folder");
    let folder = aside.join("pi").display().to_string();
    fixture
        .run(&["identity", "make", "--yes", "pi", "--identity-dir", &aside.display().to_string()])
        .assert_code(0);
    let file = format!("{folder}/ssh_host_ed25519_key");
    let secret = fs::read_to_string(&file).expect("the key");
    let secret = secret.lines().nth(3).expect("a key of several lines").to_owned();
    assert!(!fixture.path("state/identity").exists());
    let image = image("pi");
    let system = system();
    fs::write(fixture.path("flake/image.zst"), "any").expect("writing the image");
    for reference in [format!("path:{folder}"), format!("file://{file}")] {
        let text = format!(
            r#"{{ inputs.x = {{ url = "{reference}"; flake = false; }};
                outputs = {{ self, x }}: {{ packages.{system}.pi-sdImage = {image}; }}; }}"#
        );
        fs::write(fixture.path("flake/flake.nix"), text).expect("writing the flake");
        for command in [&["sd-image", "pi"][..], &["hosts"], &["status"]] {
            let outcome = fixture.run(command);
            assert_ne!(outcome.code, 0, "{reference} {command:?} {outcome:?}");
            assert!(!has_got(&fixture.path("tools"), &secret), "{reference} {command:?} {outcome:?}");
        }
    }
}

/// The check of the inputs gets the user's arguments for Nix, without those that only a build takes.
#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn arguments_for_nix_reach_the_check_of_the_inputs() {
    let fixture = Fixture::plain(&format!(
        "{{ inputs.o = {{ url = \"path:/nonexistent/x\"; flake = false; }};
           outputs = {{ self, o }}: {{ packages.{}.pi-sdImage = {}; }}; }}",
        system(),
        image("pi")
    ));
    make_key(&fixture);
    let other = fixture.path("other");
    fs::create_dir(&other).expect("making a folder");
    let input = format!("path:{}", other.display());
    let arguments = ["--", "--override-input", "o", &input];
    for command in [&["hosts"][..], &["sd-image", "pi"], &["hosts", "--evaluate"]] {
        fixture.run(&[command, &arguments].concat()).assert_code(0);
        let outcome = fixture.run(command);
        outcome.assert_code(1).assert_stderr_contains(
            "\nhint: correct the input in flake.nix, or pass another one with `-- --override-input NAME URL` ",
        );
    }
    fixture.run(&[&["sd-image", "pi"], &arguments[..], &["--rebuild", "--no-link"]].concat()).assert_code(0);
}
