//! Flakes in which the place of an image holds something else, and flakes of which a part does not evaluate.

use crate::shapes::fixture;

/// The Nix function that makes the outputs `text`, with `make` in scope.
fn outputs(text: &str) -> String {
    format!("make: {{ {text} }}")
}

/// Asserts that `hosts ARGS` succeeds, and that the row of each host in `rows` has its text.
#[track_caller]
fn assert_rows(fixture: &crate::fixture::Fixture, args: &[&str], rows: &[(&str, &str)]) {
    let outcome = fixture.run(&[&["hosts"], args].concat());
    outcome.assert_code(0);
    for (host, cell) in rows {
        let row = outcome.stdout.lines().find(|line| line.split(' ').next() == Some(host));
        assert!(row.is_some_and(|row| row.contains(cell)), "{host}: no {cell} in {}", outcome.stdout);
    }
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn an_image_that_throws_is_shown_with_its_message() {
    let fixture = fixture(&outputs(
        r#"packages.x86_64-linux.p-sdImage = throw "no package here";
        images.i = throw "no output here";
        nixosConfigurations = {
          a = make.configuration { sdImage = throw "no device tree here"; images = make.stock (make.zst "a"); };
          b = make.configuration (throw "no build here");
          c = make.configuration { images.card = throw "no variant here"; };
          d = make.configuration { images = throw "no variants here"; };
          e = throw "no configuration here";
          f = make.configuration {
            sdImage = make.zst "f" // { drvPath = throw "\nFailed assertions:\n- one\n- two"; };
          };
          g = make.configuration { sdImage = abort "no g"; };
          ok = make.configuration { sdImage = make.zst "ok"; image = throw "not used"; };
        };"#,
    ));
    fixture.git(&["init", "--quiet"]);
    fixture.git(&["add", "."]);
    let hosts = [
        ("a", "no device tree here"),
        ("b", "no build here"),
        ("c", "no variant here"),
        ("d", "no variants here"),
        ("e", "no configuration here"),
        ("f", "Failed assertions: - one - two"),
        ("g", "no g"),
        ("i", "no output here"),
        ("p", "no package here"),
    ];
    assert_rows(&fixture, &["--evaluate"], &hosts);
    // What was found is kept.
    assert_rows(&fixture, &[], &hosts);
    for (host, message) in hosts {
        let first = message.split(" - ").next().expect("words");
        fixture.run(&["sd-image", host]).assert_code(1).assert_stderr_contains(first);
    }
    fixture.run(&["sd-image", "ok"]).assert_code(0);
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn what_an_evaluation_found_is_shown_later_without_one() {
    let fixture = fixture(&outputs(
        r#"packages.aarch64-linux.cross-sdImage = make.zst "cross";
        nixosConfigurations = {
          r = make.configuration { };
          r-image = make.configuration { sdImage = make.zst "r1"; };
          r-sd = make.configuration { sdImage = make.zst "r2"; };
          inherit (make) pc;
        };"#,
    ));
    fixture.git(&["init", "--quiet"]);
    fixture.git(&["add", "."]);
    let system = crate::fixture::system();
    let build = "config.system.build.sdImage";
    let two = format!("2 images: nixosConfigurations.r-image.{build}, nixosConfigurations.r-sd.{build}");
    let rows = [("cross", system.as_str()), ("pc", "none: nixosConfigurations.pc makes no"), ("r", &two)];
    assert_rows(&fixture, &[], &[("cross", "aarch64-linux"), ("pc", "not evaluated")]);
    assert_rows(&fixture, &["--evaluate"], &rows);
    assert_rows(&fixture, &[], &rows);
}

/// Each case breaks an output that may have images, by an error that `tryEval` does not catch.
#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn an_output_that_fails_hides_no_host() {
    let names = r#"make.build "names" { "default.nix" = builtins.toFile "default.nix" "{ }"; }"#;
    for (broken, left_out) in [
        ("packages.x86_64-linux = {}.missing;", "packages.x86_64-linux"),
        ("packages.aarch64-darwin = 1 + \"x\";", "packages.aarch64-darwin"),
        ("packages.aarch64-darwin = let x = x; in x;", "packages.aarch64-darwin"),
        ("packages.riscv64-linux = abort \"no\";", "packages.riscv64-linux"),
        ("packages = {}.missing;", "packages"),
        ("packages = import ./nowhere.nix;", "packages"),
        ("images = {}.missing;", "images"),
        ("image = {}.missing;", "image"),
        ("nixosConfigurations.aarch64-linux = {}.missing;", "nixosConfigurations.aarch64-linux"),
        (&format!("packages.x86_64-linux = import \"${{{names}}}/default.nix\";"), "packages.x86_64-linux"),
    ] {
        let text =
            format!("{broken} nixosConfigurations.pi = make.configuration {{ sdImage = make.zst \"pi\"; }};");
        let fixture = fixture(&outputs(&text));
        let is_import = broken.contains("default.nix");
        let warning = format!("warning: the output `{left_out}` is left out: nix failed on ");
        let listed = fixture.run(&["hosts"]);
        listed.assert_code(0).assert_stdout_contains("pi    not evaluated");
        let built = fixture.run(&["sd-image", "pi"]);
        built.assert_code(0);
        for outcome in [listed, built] {
            // Whoever has no keys to protect may import from a derivation.
            assert!(is_import || outcome.stderr.contains(&warning), "{broken}: {}", outcome.stderr);
        }
        let attribute =
            format!("{}#nixosConfigurations.pi.config.system.build.sdImage", fixture.path("flake").display());
        fixture.run(&["sd-image", &attribute]).assert_code(0);
    }
}

/// A part of `packages` that fails hides no package of another system.
#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn the_other_packages_of_a_broken_output_are_listed() {
    let fixture = fixture(&outputs(
        r#"packages.aarch64-darwin = {}.missing; packages.aarch64-linux.q-sdImage = make.zst "q"; images = {}.x;"#,
    ));
    assert_rows(&fixture, &[], &[("q", "aarch64-linux")]);
    fixture.run(&["sd-image", "q"]).assert_code(0);
    let outcome = fixture.run(&["sd-image", "w"]);
    outcome.assert_code(2).assert_stderr_contains("has no host 'w' (hosts: q)");
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn isos_are_refused_and_passed_over_for_images() {
    let fixture = fixture(&outputs(
        r#"packages.${make.system} = {
          b = make.build "nixos-b.iso" { x = ./image.img; };
          a-sdImage = make.build "nixos.iso" { x = ./image.img; };
          o-sdImage = make.build "other" { "iso/nixos.iso" = ./image.img; };
        };
        nixosConfigurations = {
          module = make.configuration { isoImage = make.build "live" { x = ./image.img; }; };
          variant = make.configuration { images.iso = make.build "live" { x = ./image.img; }; };
          named = make.configuration { image = make.raw "n" // { passthru.filePath = "iso/n.iso"; }; };
          both = make.configuration { image = make.build "both.iso" { x = ./image.img; }; images.my = make.raw "my"; };
        };"#,
    ));
    let flake = fixture.path("flake");
    let at = |attribute: &str| format!("{}#{attribute}", flake.display());
    let build = "config.system.build.isoImage";
    let names = ["b", "a", "o", "module", "variant", "named"].map(str::to_owned);
    let attributes = [at("a-sdImage"), at(&format!("nixosConfigurations.module.{build}"))];
    for name in names.iter().chain(&attributes) {
        let outcome = fixture.run(&["sd-image", name]);
        outcome.assert_code(2).assert_stderr_contains(" is an ISO image, which is for a PC: ");
    }
    let outcome = fixture.run(&["sd-image", "both"]);
    assert!(outcome.assert_code(0).stdout.trim_end().ends_with("/my.raw"), "{}", outcome.stdout);
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn a_package_that_is_no_host_is_built_by_its_attribute() {
    let fixture = fixture(&outputs(
        r#"packages.${make.system} = { both = make.build "both" { "a.img" = ./image.img; }; "my.os" = make.build "m" { "m.raw" = ./image.img; }; };"#,
    ));
    for name in ["both", "my.os"] {
        let outcome = fixture.run(&["sd-image", name]);
        let hint = outcome.assert_code(2).stderr.split(", pass ").nth(1).expect("a hint").trim_end();
        fixture.run(&["sd-image", hint.trim_matches('\'')]).assert_code(0);
    }
}

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn an_image_in_the_store_needs_no_build() {
    let fixture = fixture(&outputs(r#"packages.${make.system}.pi-sdImage = make.zst "pi";"#));
    let no_jobs = ["sd-image", "pi", "--", "--max-jobs", "0"];
    fixture.run(&["sd-image", "pi"]).assert_code(0);
    fixture.run(&no_jobs).assert_code(0);
    let missing = format!("packages.${{make.system}}.pi-sdImage = {};", crate::fixture::image("new"));
    let fixture = crate::shapes::fixture(&outputs(&missing));
    fixture.run(&no_jobs).assert_code(3).assert_stderr_contains("nix builds nothing here");
}

/// The flake is right, and an argument for Nix is not.
#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn an_argument_for_nix_that_leads_nowhere_is_named() {
    let fixture = crate::fixture::Fixture::plain(
        "{ inputs.o = { url = \"path:/nonexistent/x\"; flake = false; };
           outputs = { self, o }: { nixosConfigurations.pi = { }; deploy.nodes.pi = { }; }; }",
    );
    let gone = fixture.path("gone").display().to_string();
    let by_path = format!("path:{gone}");
    for words in [
        &["--override-input", "o", "../gone"][..],
        &["--override-input", "o", &gone],
        &["--override-input", "o", &by_path],
        &["--override-flake", "o", "./gone"],
        &["--inputs-from", &gone],
    ] {
        for command in [&["hosts"][..], &["hosts", "--evaluate"], &["status", "pi"]] {
            let outcome = fixture.run(&[command, &["--"], words].concat());
            outcome
                .assert_code(2)
                .assert_stderr_contains("hint: correct the arguments for Nix behind `--`\n");
        }
    }
    let slip = fixture.run(&["status", "--", "nosuch"]);
    slip.assert_code(2)
        .assert_stderr_contains("error: `nosuch` stands among the arguments for Nix, and is neither");
}
