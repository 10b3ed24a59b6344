//! What a build would do, before it begins.

use crate::fixture::{Fixture, builder, image, system};

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn a_plan_names_what_is_built_and_builds_nothing() {
    let slow = builder("slow", "busybox=${./busybox}/busybox; $busybox sleep 1; mkdir $out");
    let fixture = Fixture::plain(&format!(
        "{{ outputs = {{ self }}: {{ packages.{0}.pi-sdImage = {1}; \
         packages.{0}.two-sdImage = derivation {{ name = \"two\"; system = \"{0}\"; builder = \"/bin/sh\"; \
         args = [ \"-c\" \"exit 1\" ]; one = {slow}; }}; }}; }}",
        system(),
        image("pi")
    ));
    let planned = fixture.run(&["sd-image", "pi", "--plan"]);
    let system = system();
    planned.assert_code(0).assert_stderr("");
    let lines = planned.stdout.lines().collect::<Vec<_>>();
    assert_eq!(lines[0], format!("build   1 derivation: 1 for {system}"));
    assert_eq!(lines[1], "time    unknown: none of this was built here before");
    assert_eq!(lines[2], "fetch   nothing");
    assert!(lines[3].starts_with("store   ") && lines[3].ends_with(" free"), "{lines:?}");
    assert!(!fixture.image_path("pi").exists());

    let json = fixture.run(&["sd-image", "two", "--plan", "--json"]).assert_code(0).json();
    let derivations = json["plan"]["derivations"].as_array().expect("a list");
    assert_eq!(derivations.len(), 2, "{json}");
    assert!(derivations[0]["name"].as_str().expect("a name").starts_with("nixos-sd-image-slow-"), "{json}");
    assert_eq!(derivations[1]["name"], "two");
    for derivation in derivations {
        assert_eq!((&derivation["place"], &derivation["heavy"]), (&"native".into(), &false.into()), "{json}");
        assert_eq!(derivation["system"], system);
    }
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn a_build_is_announced_and_its_time_is_remembered() {
    let script =
        "mkdir -p $out/sd-image; ${./busybox}/busybox sleep 2; cp ${./image.zst} $out/sd-image/a.img.zst";
    let flake = |name: &str| {
        let built = builder("x", script).replace("nixos-sd-image-x", name);
        format!("{{ outputs = {{ self }}: {{ packages.{}.pi-sdImage = {built}; }}; }}", system())
    };
    let fixture = Fixture::plain(&flake("slow-image-1.0"));
    let first = fixture.run(&["sd-image", "pi"]);
    assert!(first.assert_code(0).stderr.starts_with("plan    1 derivation\n"), "{first:?}");
    let again = fixture.run(&["sd-image", "pi"]);
    assert!(!again.assert_code(0).stderr.contains("plan "), "{again:?}");
    std::fs::write(fixture.path("flake/flake.nix"), flake("slow-image-1.1")).expect("writing the flake");
    let planned = fixture.run(&["sd-image", "pi", "--plan"]);
    assert!(planned.assert_code(0).stdout.contains("\ntime    about 2 s\n"), "{planned:?}");
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn what_cannot_be_planned_is_reported_as_an_error() {
    let fixture = Fixture::with_images(&[("broken", r#"throw "broken on purpose""#)]);
    let planned = fixture.run(&["sd-image", "broken", "--plan"]);
    planned.assert_code(1).assert_stdout("").assert_stderr_contains("broken on purpose");
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn an_image_that_does_not_evaluate_is_left_out_of_the_plan_of_several() {
    let fixture = Fixture::with_images(&[("pi", &image("pi")), ("broken", r#"throw "broken on purpose""#)]);
    for of in [&["pi", "broken"][..], &["--all"]] {
        let planned = fixture.run(&[&["sd-image", "--plan"], of].concat());
        planned.assert_code(1).assert_stderr_contains("broken: warning: ");
        planned.assert_stderr_contains("error: 1 of 2 hosts cannot be planned: broken\n");
        assert!(planned.stdout.starts_with("build   1 derivation: 1 for "), "{planned:?}");
    }
    let json = fixture.run(&["sd-image", "broken", "pi", "--plan", "--json"]).assert_code(1).json();
    assert_eq!(json["unplanned"][0]["host"], "broken");
    assert_eq!(json["plan"]["derivations"].as_array().expect("a list").len(), 1, "{json}");
    let unknown = fixture.run(&["sd-image", "pi", "nope", "broken", "--plan"]);
    unknown.assert_code(2).assert_stdout("").assert_stderr_contains("'nope'");
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn the_plan_of_a_deploy_asks_no_host() {
    let profile = builder("profile", "mkdir $out");
    let fixture = Fixture::plain(&format!(
        "{{ outputs = {{ self }}: let p = {profile}; in {{ deploy.nodes = builtins.listToAttrs (map (name: {{ \
         inherit name; value = {{ hostname = \"host.invalid\"; profiles.system = {{ user = \"root\"; path = p; }}; }}; \
         }}) [ \"one\" \"two\" ]); }}; }}"
    ));
    let planned = fixture.run(&["deploy", "--all", "--plan"]);
    assert!(planned.assert_code(0).stdout.starts_with("build   1 derivation: "), "{planned:?}");
    fixture.run(&["deploy", "one", "--plan", "--reboot"]).assert_code(2);
}

/// Nix gives a derivation only to machines with the features that it needs, however it says so.
#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn what_needs_a_feature_of_no_machine_is_built_nowhere() {
    let needing = |name: &str, more: &str| {
        let features = r#"requiredSystemFeatures = [ "feature-of-no-machine" ];"#;
        builder(name, "exit 1").replace("system =", &format!("{features} {more} system ="))
    };
    let fixture = Fixture::with_images(&[
        ("plain", &needing("plain", "")),
        ("structured", &needing("structured", "__structuredAttrs = true;")),
        ("big", &needing("big", "").replace("feature-of-no-machine", "big-parallel")),
    ]);
    for (host, expected) in [
        ("plain", ", which nothing here builds for"),
        ("structured", ", which nothing here builds for"),
        ("big", ""),
    ] {
        let planned = fixture.run(&["sd-image", host, "--plan"]);
        let line = format!("build   1 derivation: 1 for {}{expected}\n", system());
        assert!(planned.assert_code(0).stdout.starts_with(&line), "{planned:?}");
    }
    let builder = format!("file://{} {}", fixture.path("store").display(), system());
    let planned = fixture.run(&["sd-image", "big", "--plan", "--builder", &builder]);
    assert!(!planned.stdout.contains("by a remote builder"), "{planned:?}");
}

/// Ctrl-C while Nix plans: nothing is built afterwards.
#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn an_interrupt_during_the_plan_ends_the_run() {
    let mut fixture = Fixture::with_images(&[("pi", &image("pi"))]);
    let real = crate::fixture::find_program("nix").display().to_string();
    let reached = fixture.path("reached").display().to_string();
    let script =
        format!("case \"$*\" in *' --dry-run '*) touch {reached}; sleep 30;; *) exec {real} \"$@\";; esac");
    fixture.sandbox_mut().fake("nix", &script);
    let run =
        fixture.command(&["sd-image", "pi"]).stderr(std::process::Stdio::piped()).spawn().expect("starting");
    let start = std::time::Instant::now();
    while !fixture.path("reached").exists() {
        assert!(start.elapsed() < std::time::Duration::from_secs(60), "no plan");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let group = rustix::process::Pid::from_child(&run);
    rustix::process::kill_process_group(group, rustix::process::Signal::INT).expect("interrupting");
    let output = run.wait_with_output().expect("waiting");
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert!(!fixture.image_path("pi").exists());
}
