//! Malicious flakes: the programs that they name do not run, and their images do not lead out of the store.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use xtask::base::program_file;

use crate::fixture::{Fixture, FlakeFile, builder, image, run, system};
use crate::support::Outcome;

/// The text of a flake with an image and a node of `pi`, a host that does not answer. `options` are further ssh
/// options.
fn flake_text(options: &str) -> String {
    let profile = builder("profile", "echo >$out");
    format!(
        r#"{{ outputs = {{ self }}: {{
          packages.{}.pi-sdImage = {};
          deploy.nodes.pi = {{
            hostname = "127.0.0.1"; sshUser = "root"; sshOpts = [ "-p" "1" {options} ];
            profiles.system = {{ user = "root"; path = {profile}; }};
          }};
        }}; }}"#,
        system(),
        image("pi")
    )
}

/// Makes a program that writes a file when it runs. Returns the paths of the program and of the file.
fn make_canary(fixture: &Fixture) -> (String, PathBuf) {
    let program = fixture.path("home/program");
    let file = fixture.path("home/canary");
    let script = format!("#!/bin/sh\necho \"$0 $@\" >>{}\n", file.display());
    program_file::write(&program, script, 0o755).expect("writing a program");
    (program.display().to_string(), file)
}

/// Runs commands that could start git or ssh: they evaluate, build, make keys, flash, or probe. There is neither a card
/// nor a host.
fn run_commands(fixture: &Fixture) -> Vec<Outcome> {
    let with_image = ["flash", "--image", "/nowhere.img", "/dev/nowhere"];
    let commands: &[&[&str]] = &[
        &["hosts"],
        &["doctor"],
        &["identity", "make", "pi"],
        &["identity", "show", "pi"],
        &["sd-image", "pi"],
        &with_image,
        &["status"],
        &["deploy", "pi", "--dry-run"],
        &["flash", "pi", "/dev/nowhere"],
        &["card", "verify", "pi", "/dev/nowhere"],
    ];
    commands.iter().map(|args| fixture.run(args)).collect()
}

/// Adds the submodule `part` to the flake.
fn add_submodule(fixture: &Fixture) {
    fixture.git(&["init", "--quiet", "../part"]);
    fixture.git(&[
        "-C",
        "../part",
        "-c",
        "user.name=a",
        "-c",
        "user.email=a",
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "a",
    ]);
    let part = fixture.path("part").display().to_string();
    fixture.git(&["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", &part, "part"]);
}

/// Makes `program` a program of the git configuration and of the hooks, in the flake and its submodule `part`.
fn configure_programs(fixture: &Fixture, program: &str) {
    for repository in [".", "part"] {
        for name in [
            "core.fsmonitor",
            "core.sshCommand",
            "core.pager",
            "core.editor",
            "core.askPass",
            "diff.external",
        ] {
            fixture.git(&["-C", repository, "config", name, program]);
        }
        for name in ["filter.evil.clean", "filter.evil.smudge", "filter.evil.process", "diff.evil.textconv"] {
            fixture.git(&["-C", repository, "config", name, program]);
        }
    }
    for hooks in [".git/hooks", ".git/modules/part/hooks"] {
        for hook in ["post-index-change", "post-checkout", "pre-commit", "reference-transaction"] {
            fs::create_dir_all(fixture.path("flake").join(hooks)).expect("making a folder for hooks");
            symlink(program, fixture.path("flake").join(hooks).join(hook)).expect("placing a hook");
        }
    }
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn programs_that_the_git_configuration_of_a_flake_names_do_not_run() {
    let mut fixture = Fixture::repository(&[
        FlakeFile::Tracked("flake.nix", &flake_text("")),
        FlakeFile::Tracked(".gitattributes", "* filter=evil diff=evil\n"),
        FlakeFile::Tracked(".gitignore", "state\n"),
        FlakeFile::Tracked("image.zst", "any"),
    ]);
    fixture.git(&["add", "busybox"]);
    add_submodule(&fixture);
    let (program, canary) = make_canary(&fixture);
    configure_programs(&fixture, &program);
    // git must read a changed file again.
    fs::write(fixture.path("flake/.gitignore"), "state\n#\n").expect("changing a file");
    let state = fixture.path("flake/state");
    fixture.sandbox_mut().env("XTASK_STATE", state).env("GIT_EXTERNAL_DIFF", &program);
    // The tool runs the suites, and shields the git of its children by this variable.
    fixture.sandbox_mut().env("GIT_CONFIG_COUNT", "0");
    let _ = fs::remove_file(&canary);
    let outcomes = run_commands(&fixture);
    assert_eq!(fs::read_to_string(&canary).unwrap_or_default(), "", "{outcomes:?}");
    outcomes[0].assert_code(0);
    outcomes[2].assert_code(0);
    outcomes[7].assert_stderr_contains("pi cannot be reached");
    // Without the shield, git runs the program.
    let flake = fixture.path("flake").display().to_string();
    run("env", &["-u", "GIT_CONFIG_COUNT", "git", "-C", &flake, "ls-files", "-v"]);
    assert!(canary.exists());
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn ssh_options_of_a_foreign_flake_run_no_programs() {
    let fixture = Fixture::empty();
    let (program, canary) = make_canary(&fixture);
    let option = format!("-oProxyCommand={program}");
    fs::write(fixture.path("flake/flake.nix"), flake_text(&format!("\"{option}\"")))
        .expect("writing the flake");
    fs::write(fixture.path("flake/image.zst"), "any").expect("writing the image");
    let archive = fixture.path("home/flake.tar.gz").display().to_string();
    let home = fixture.path("").display().to_string();
    run("tar", &["-C", &home, "-czf", &archive, "flake"]);
    let foreign = format!("file://{archive}");
    let error = format!("the flake sets the ssh option `{option}` for pi");
    for args in [&["status"][..], &["status", "pi"], &["deploy", "pi", "--dry-run"], &["deploy", "pi"]] {
        let outcome = fixture.sandbox().run(&[&["--flake", &foreign], args].concat());
        outcome.assert_stderr_contains(&error).assert_stderr_contains("--trust-flake").assert_code(3);
        assert!(!canary.exists(), "{args:?}");
    }
    // Options that run nothing are accepted from every flake, and so are those of the user.
    let options_of_the_user = ["deploy", "pi", "--dry-run", "--", "--ssh-opts", "-p 1"];
    fixture
        .sandbox()
        .run(&[&["--flake", &foreign], &options_of_the_user[..]].concat())
        .assert_stderr_contains("pi cannot be reached");
    assert!(!canary.exists());
    for args in [&["status"][..], &["deploy", "pi", "--dry-run"]] {
        fixture.sandbox().run(&[&["--flake", &foreign], args, &["--trust-flake"]].concat());
        assert!(fs::remove_file(&canary).is_ok(), "{args:?}");
    }
    fixture.run(&["status"]);
    assert!(canary.exists());
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn host_names_that_are_options_or_shell_text_are_refused() {
    let fixture = Fixture::empty();
    let (program, canary) = make_canary(&fixture);
    for (from, to, option) in [
        ("127.0.0.1", format!("-oProxyCommand={program}"), "hostname"),
        ("127.0.0.1", "pi?remote-program=x".to_owned(), "hostname"),
        ("sshUser = \"root", format!("sshUser = \"-oProxyCommand={program}"), "sshUser"),
    ] {
        let text = flake_text("").replace(&format!("{from}\""), &format!("{to}\""));
        fs::write(fixture.path("flake/flake.nix"), text).expect("writing the flake");
        fs::write(fixture.path("flake/image.zst"), "any").expect("writing the image");
        for args in [&["status"][..], &["deploy", "pi", "--dry-run"]] {
            fixture
                .run(args)
                .assert_stderr_contains(format!("deploy.nodes.pi has the {option} "))
                .assert_code(3);
        }
        assert!(!canary.exists());
    }
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn an_image_outside_the_store_is_refused() {
    let fixture = Fixture::empty();
    let secret_file = fixture.path("home/secret.img");
    fs::write(&secret_file, "secret").expect("writing a secret");
    let secret = secret_file.display().to_string();
    let home = fixture.path("home");
    let script = |script: &str| format!("mkdir -p $out; cd $out; {script}");
    let images = [
        ("file", script(&format!("mkdir sd-image; ln -s {secret} sd-image/a.img"))),
        ("shadow", script("mkdir sd-image; ln -s /etc/shadow sd-image/a.img")),
        ("folder", script(&format!("ln -s {} sd-image", home.display()))),
        ("device", script("mkdir sd-image; ln -s /dev/zero sd-image/a.img")),
    ];
    let packages =
        images.iter().map(|(host, script)| format!("{host}-sdImage = {};\n", builder(host, script)));
    let packages = packages.collect::<String>();
    let text = format!("{{ outputs = {{ self }}: {{ packages.{} = {{ {packages} }}; }}; }}", system());
    fs::write(fixture.path("flake/flake.nix"), text).expect("writing the flake");
    for (host, _) in &images {
        let outcome = fixture.run(&["sd-image", host]);
        outcome.assert_stderr_contains("leads out of the store").assert_code(3).assert_stdout("");
    }
}
