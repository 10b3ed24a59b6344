//! Real Nix on flakes made for the tests: the suite uses the `nix` on `PATH`.

mod completions;
mod emulation;
mod fixture;
mod hostile;
mod keys;
mod layouts;
mod locks;
mod misses;
mod offline;
mod plan;
mod several_nodes;
mod shapes;
#[path = "../support/mod.rs"]
mod support;
mod user_settings;
mod ways_in;
mod wrong_nodes;

use std::process::Stdio;
use std::time::{Duration, Instant};

use fixture::{Fixture, FlakeFile, builder, image, system};

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn hosts_lists_all_hosts_despite_broken_siblings() {
    let fixture = Fixture::plain(&format!(
        r#"{{ outputs = {{ self }}: {{
          packages.{0}.good-sdImage = {1};
          packages.{0}.broken-sdImage = throw "broken on purpose";
          packages.riscv64-linux.far-sdImage = throw "never looked at";
          deploy.nodes.good.hostname = "good";
          deploy.nodes.server = throw "broken node";
        }}; }}"#,
        system(),
        image("good")
    ));
    let here = system();
    let width = here.len().max("riscv64-linux".len());
    let expected = format!(
        "HOST    {:width$}  DEPLOY\nbroken  {here:width$}  -\nfar     {:width$}  -\ngood    {here:width$}  yes\n\
         server  {:width$}  yes\n",
        "SD IMAGE", "riscv64-linux", "-"
    );
    let outcome = fixture.run(&["hosts"]);
    outcome.assert_code(0).assert_stdout(expected).assert_stderr("");
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn an_image_is_built_despite_a_broken_sibling() {
    let fixture =
        Fixture::with_images(&[("good", &image("good")), ("broken", r#"throw "broken on purpose""#)]);
    let outcome = fixture.run(&["sd-image", "good"]);
    let path = outcome.assert_code(0).stdout.trim_end();
    let compressed = std::fs::read(path).expect(path);
    assert_eq!(zstd::stream::decode_all(&compressed[..]).expect("a zstd file"), fixture::IMAGE);
    let steps = outcome.stderr.lines().collect::<Vec<_>>();
    assert_eq!(steps[0], "plan    1 derivation");
    assert!(steps[1].starts_with("            building nixos-sd-image-good-"), "{steps:?}");
    assert!(steps[2].starts_with("     build  1 step in "), "{steps:?}");
    // The whole image is read, because the tool looks for host keys inside.
    assert!(steps[3].starts_with("     check  100.0 KiB in "), "{steps:?}");
    assert!(steps[4].starts_with("nixos-sd-image-good.img.zst: 100.0 KiB, "), "{steps:?}");
    let again = fixture.run(&["sd-image", "good"]);
    assert_eq!(again.assert_code(0).stdout.trim_end(), path);
    assert!(again.stderr.starts_with("     build  nothing to do\n"), "{}", again.stderr);
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn nix_arguments_are_passed_on() {
    let fixture = Fixture::with_images(&[("good", &image("good"))]);
    let link = fixture.path("result");
    let link = link.to_str().expect("a path of plain text");
    let refused = fixture.run(&["sd-image", "good", "--", "--no-such-option"]);
    refused.assert_stderr_contains("unrecognised flag '--no-such-option'").assert_code(2);
    let outcome = fixture.run(&["sd-image", "good", "--", "--out-link", link, "--offline"]);
    assert!(outcome.assert_code(0).stdout.starts_with("/nix/store/"));
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn an_evaluation_error_is_shown_without_the_trace() {
    let fixture = Fixture::with_images(&[("broken", r#"{ type = throw "broken on purpose"; }"#)]);
    let outcome = fixture.run(&["sd-image", "broken"]);
    outcome.assert_code(1).assert_stdout("");
    outcome.assert_stderr_contains("broken on purpose").assert_stderr_contains("/flake.nix:");
    assert!(!outcome.stderr.contains("while calling"), "the trace is left out: {}", outcome.stderr);
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn an_untracked_file_is_reported_with_a_hint() {
    let hint = "\nhint: run `git add` on the file, as nix sees only what git tracks; \
                name a folder that git ignores as path:FOLDER\n";
    let fixture = Fixture::repository(&[
        FlakeFile::Tracked("flake.nix", "{ outputs = { self }: import ./outputs.nix; }"),
        FlakeFile::Untracked("outputs.nix", "{ }"),
    ]);
    for args in [&["hosts"][..], &["sd-image", "good"]] {
        fixture.run(args).assert_stderr_contains("outputs.nix").assert_stderr_contains(hint).assert_code(1);
    }
    for read in ["builtins.readFile ./outputs.nix", "builtins.attrNames (builtins.readDir ./folder)"] {
        let text = format!(
            "{{ outputs = _: {{ packages.x86_64-linux.good-sdImage = throw ({read}); nixosConfigurations = {read}; }}; }}"
        );
        let fixture = Fixture::repository(&[
            FlakeFile::Tracked("flake.nix", &text),
            FlakeFile::Untracked("outputs.nix", "{ }"),
        ]);
        std::fs::create_dir(fixture.path("flake/folder")).expect("a folder");
        fixture.run(&["sd-image", "good"]).assert_stderr_contains(hint).assert_code(1);
    }
    let fixture = Fixture::repository(&[FlakeFile::Untracked("flake.nix", "{ outputs = _: { }; }")]);
    fixture.run(&["hosts"]).assert_stderr_contains("flake.nix").assert_stderr_contains(hint).assert_code(1);
}

/// The evaluation needs only the folder; its builder misses a file in it.
#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn an_untracked_file_that_only_a_builder_misses_is_named_in_the_hint() {
    for (script, has_hint) in [
        ("busybox cat $src/own.conf", true),
        ("cd $src; busybox cat own.conf", true),
        ("echo $src/own.conf is read; exit 1", false),
        ("busybox cat $src/no.conf", false),
        ("busybox cat $src/tracked.conf.old", false),
    ] {
        let flake = format!(
            "{{ outputs = {{ self }}: {{ packages.{system}.good-sdImage = derivation {{ name = \"nixos-sd-image.img\"; \
             system = \"{system}\"; src = self; builder = \"${{./busybox}}/busybox\"; args = [ \"sh\" \"-c\" \
             \"busybox() {{ ${{./busybox}}/busybox \\\"$@\\\"; }}; {script}\" ]; }}; }}; }}",
            system = system(),
        );
        let fixture = Fixture::repository(&[
            FlakeFile::Tracked("flake.nix", &flake),
            FlakeFile::Tracked("tracked.conf", ""),
            FlakeFile::Untracked("own.conf", ""),
        ]);
        fixture.git(&["add", "busybox"]);
        let outcome = fixture.run(&["sd-image", "good"]);
        let hint =
            format!("\nhint: run `git -C {} add own.conf`: the builder ", fixture.path("flake").display());
        assert_eq!(outcome.assert_code(1).stderr.contains(&hint), has_hint, "{script}: {}", outcome.stderr);
        fixture.git(&["add", "--intent-to-add", "own.conf"]);
        let outcome = fixture.run(&["sd-image", "good"]);
        assert!(!outcome.stderr.contains("hint: run `git"), "{script}: {}", outcome.stderr);
    }
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn an_input_that_cannot_be_fetched_is_named_with_the_line_of_ssh() {
    let fixture = Fixture::plain(
        "{ inputs.secrets.url = \"git+ssh://git@127.0.0.1:1/own/secrets.git\"; outputs = { self, secrets }: { }; }",
    );
    let outcome = fixture.run(&["hosts"]);
    outcome
        .assert_stderr_contains(
            "\n  while fetching the input 'secrets', 'git+ssh://git@127.0.0.1:1/own/secrets.git'\n",
        )
        .assert_stderr_contains("\n  | ssh: connect to host 127.0.0.1 port 1: Connection refused\n")
        .assert_code(1);
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn a_failed_builder_shows_the_end_of_its_log() {
    let script = "i=1; while [ $i -le 30 ]; do echo line $i; i=$((i+1)); done; exit 3";
    let fixture = Fixture::with_images(&[("bad", &builder("bad", script))]);
    let outcome = fixture.run(&["sd-image", "bad"]);
    outcome.assert_code(1).assert_stdout("");
    let tail = (11..=30).map(|number| format!("  | line {number}\n")).collect::<Vec<_>>().concat();
    outcome
        .assert_stderr_contains("failed with exit code 3")
        .assert_stderr_contains(format!("\n  last lines of the builder's log:\n{tail}"));
    let command =
        outcome.stderr.split("\n  full log: `").nth(1).expect("a command").split('`').next().expect("a line");
    assert!(command.contains("nix-store --read-log /nix/store/"), "{command}");
    // The printed command works in a shell without the settings of this suite.
    let path = std::env::var("PATH").expect("PATH is set");
    let args = ["-i", &format!("PATH={path}"), "sh", "-c", command];
    let printed = xtask::Launcher::new("/").capture("env", &args).expect("running it");
    assert!(printed.stdout.starts_with("line 1\nline 2\n"), "{printed:?}");
    assert!(!outcome.stderr.contains("| line 10\n"));
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn systems_that_this_machine_does_not_run_are_reported() {
    let script = r"printf '\177ELF\002\001\001\000\000\000\000\000\000\000\000\000\002\000\377\000' >$out; chmod +x $out";
    let alien = format!(
        r#"derivation {{ name = "alien"; system = "{}"; builder = {}; }}"#,
        system(),
        builder("program", script)
    );
    let fixture = Fixture::with_images(&[("alien", &alien)]);
    let outcome = fixture.run(&["sd-image", "alien"]);
    outcome
        .assert_stderr_contains("Exec format error")
        .assert_stderr_contains("\nhint: run `cargo xtask doctor` to see why")
        .assert_code(1);
    let far = builder("far", "true").replace(&system(), "riscv64-linux");
    let fixture = Fixture::with_images(&[("far", &far)]);
    let outcome = fixture.run(&["sd-image", "far"]);
    outcome
        .assert_stderr_contains("error: this machine cannot build for riscv64-linux: ")
        .assert_stderr_contains("`extra-platforms = riscv64-linux`")
        .assert_code(3);
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn a_missing_flake_and_missing_images_are_reported() {
    let fixture = Fixture::empty();
    fixture
        .run(&["hosts"])
        .assert_stderr_contains(": there is no flake.nix\nhint: run the command in the folder of your flake")
        .assert_code(2);
    let nowhere = fixture.path("nowhere");
    let nowhere = nowhere.to_str().expect("a path of plain text");
    let outcome = fixture.sandbox().run(&["--flake", nowhere, "hosts"]);
    outcome
        .assert_stderr_contains("/nowhere: there is no such folder\nhint: pass the folder of your flake")
        .assert_code(2);
    let fixture = Fixture::plain("{ outputs = { self }: { }; }");
    let outcome = fixture.run(&["hosts"]);
    outcome.assert_code(0).assert_stdout("HOST  SD IMAGE  DEPLOY\n");
    outcome.assert_stderr_contains(" has no host with a configuration, an image or a deploy node\n");
    fixture
        .run(&["sd-image", "good"])
        .assert_stderr_contains(
            " has no hosts\nhint: add nixosConfigurations.<host> or packages.<system>.<host>-sdImage",
        )
        .assert_code(2);
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn the_user_need_not_enable_flakes() {
    let mut fixture = Fixture::with_images(&[("good", &image("good"))]);
    // The Nix of `setup` needs only this feature: it gives each build a user of its own.
    fixture.sandbox_mut().env("NIX_CONFIG", "experimental-features = auto-allocate-uids");
    fixture.run(&["hosts"]).assert_code(0);
    fixture.run(&["sd-image", "good"]).assert_code(0);
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn an_interrupted_build_leaves_nothing() {
    let script = "echo begun; i=0; while [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done; echo done >$out";
    let fixture = Fixture::with_images(&[("slow", &builder("slow", script))]);
    let out = fixture.image_path("slow");
    let child = fixture
        .command(&["--json", "sd-image", "slow"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("starting the binary");
    let pid = rustix::process::Pid::from_child(&child);
    let mut stderr = std::io::BufReader::new(child.stderr.take().expect("a pipe"));
    let first_lines = fixture::read_until(&mut stderr, "\"begun\"", Instant::now() + Duration::from_secs(60));
    rustix::process::kill_process_group(pid, rustix::process::Signal::INT).expect("ctrl-C");
    let seen = first_lines + &std::io::read_to_string(stderr).expect("reading the rest");
    let output = child.wait_with_output().expect("waiting for the binary");
    assert_eq!(output.status.code(), Some(130), "{seen}");
    let error = r#""code":130,"kind":"interrupted","message":"stopped before the build was complete"#;
    assert!(seen.contains(error), "{seen}");
    assert!(String::from_utf8_lossy(&output.stdout).contains(error), "{output:?}");
    assert!(!out.exists(), "{} is left behind", out.display());
}

/// Every Nix provides /bin/sh in builds.
#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn a_build_has_a_shell() {
    // A new name, so that Nix builds it each time.
    let salt =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_nanos();
    let build = format!(
        "derivation {{ name = \"shell\"; system = builtins.currentSystem; builder = \"/bin/sh\"; \
         args = [ \"-c\" \"echo {salt} >$out\" ]; }}"
    );
    let out = fixture::run("nix-build", &["--no-out-link", "--option", "sandbox", "true", "--expr", &build]);
    assert_eq!(std::fs::read_to_string(out.trim_end()).expect("the output"), format!("{salt}\n"));
}
