//! `sd-image` of several hosts: one build for all, and a result for each.

use tempfile::TempDir;

use crate::fake_build::{build_with_files, event_script};
use crate::fake_nix::{
    Answers, FLAKE, FakeNix, IMAGE_DERIVATION, image_json, no_image_json, print_script, system,
};

/// The derivation of the image of `host`, one of the two hosts.
fn derivation(host: &str) -> String {
    IMAGE_DERIVATION.replace("stinky", host)
}

/// The script that prints what was built for the image in the folder `out`.
fn print_built(out: &TempDir) -> String {
    print_script(&serde_json::json!([{"drvPath": "/x.drv", "outputs": {"out": out.path()}}]).to_string())
}

/// A flake with the hosts `one` and `two`, whose builds in one run of Nix do `both`. Returns the folders of the
/// outputs too.
fn flake_with_two_hosts(both: &str) -> (FakeNix, [TempDir; 2]) {
    let outs = ["one", "two"].map(|host| build_with_files(&[&format!("{host}.img.zst")]).1);
    let image_of = |host: &str| print_script(&image_json(&system()).replace("stinky", host));
    let image = format!(
        "case \"$*\" in *'\"one\"'*) {};; *'\"two\"'*) {};; *) {};; esac",
        image_of("one"),
        image_of("two"),
        print_script(&no_image_json(false))
    );
    let [one, two] = ["one", "two"].map(derivation);
    let build = format!(
        "case \"$*\" in *{one}*{two}*) {both};; *{one}*) {};; *{two}*) {};; esac",
        print_built(&outs[0]),
        print_built(&outs[1])
    );
    // What an image needs is its own derivation.
    let infos = |path: &str| print_script(&serde_json::json!([{"path": path, "narSize": 1}]).to_string());
    let needs = format!("case \"$*\" in *{one}*) {};; *) {};; esac", infos(&one), infos(&two));
    let answers = Answers { image, build, ..Answers::default() };
    (answers.install_with("*' path-info '*", &needs), outs)
}

/// The paths of the images of both hosts.
fn files(outs: &[TempDir; 2]) -> [String; 2] {
    let file = |out: &TempDir, host: &str| out.path().join(format!("sd-image/{host}.img.zst"));
    [file(&outs[0], "one"), file(&outs[1], "two")].map(|file| file.display().to_string())
}

#[test]
fn one_run_of_nix_builds_all_images() {
    let (nix, outs) = flake_with_two_hosts("echo '[]'");
    let [one, two] = files(&outs);
    let outcome = nix.run(&["--flake", FLAKE, "sd-image", "one", "two", "one"]);
    outcome.assert_code(0).assert_stdout(format!("{one}\n{two}\n"));
    outcome.assert_stderr_contains(" flash one two\n");
    // A log of a host is that of a flash or a deploy.
    nix.run(&["--flake", FLAKE, "log", "one"]).assert_code(2);
    let builds = nix.nix_calls();
    let builds = builds.iter().filter(|call| call.starts_with("build --json ") && call.contains("one.img"));
    let joint = format!("{}^* {}^* --keep-going", derivation("one"), derivation("two"));
    let count = builds.clone().filter(|call| call.ends_with(&joint)).count();
    assert_eq!(count, 1, "{:?}", builds.collect::<Vec<_>>());
    let json = nix.run(&["--json", "--flake", FLAKE, "sd-image", "two", "one"]).assert_code(0).json();
    let images = &json["images"];
    assert_eq!((&images[0]["host"], &images[0]["image"]), (&"two".into(), &two.into()), "{json}");
    assert_eq!(
        (&images[1]["host"], &images[1]["error"]),
        (&"one".into(), &serde_json::Value::Null),
        "{json}"
    );
}

#[test]
fn an_image_that_fails_hides_no_other() {
    let text = format!("builder for '{}' failed with exit code 7", derivation("one"));
    // Where several builds failed, Nix adds them up at the end.
    let sum = format!("build of '{}^*', '/nix/store/a-other.drv^*' failed", derivation("one"));
    let event = |text: &str| {
        let event = serde_json::json!({"action": "msg", "level": 0, "msg": format!("error: {text}")});
        event_script(&event.to_string())
    };
    let (nix, outs) = flake_with_two_hosts(&format!("{}{}exit 1", event(&text), event(&sum)));
    let [_, two] = files(&outs);
    let outcome = nix.run(&["--flake", FLAKE, "sd-image", "one", "two"]);
    outcome.assert_code(1).assert_stdout(format!("{two}\n"));
    outcome.assert_stderr_contains(&text);
    outcome.assert_stderr_contains("error: 1 of 2 images failed: one\n");
    let json = nix.run(&["--json", "--flake", FLAKE, "sd-image", "one", "two"]).assert_code(1).json();
    let images = &json["images"];
    assert!(images[0]["error"]["message"].as_str().is_some_and(|message| message.contains(&text)), "{json}");
    assert_eq!((&images[0]["image"], &images[1]["image"]), (&serde_json::Value::Null, &two.into()), "{json}");
}

#[test]
fn unknown_hosts_are_refused_before_a_build() {
    let (nix, _outs) = flake_with_two_hosts("exit 1");
    let outcome = nix.run(&["--flake", FLAKE, "sd-image", "six", "one", "ten"]);
    outcome.assert_code(2).assert_stdout("");
    for host in ["six", "ten"] {
        outcome.assert_stderr_contains(format!("has no host '{host}'"));
    }
    assert!(!nix.nix_calls().iter().any(|call| call.starts_with("build ")), "{:?}", nix.nix_calls());
}

#[test]
fn one_file_is_not_that_of_several_images() {
    let (nix, _outs) = flake_with_two_hosts("exit 1");
    let outcome = nix.run(&["--flake", FLAKE, "sd-image", "one", "two", "--file", "a.img"]);
    outcome.assert_code(2).assert_stderr_contains("--file names the file of one image");
    nix.run(&["--flake", FLAKE, "sd-image"]).assert_code(2);
    nix.run(&["--flake", FLAKE, "sd-image", "--all", "one"]).assert_code(2);
}

#[test]
fn all_builds_the_images_of_the_hosts_that_have_one() {
    let (answers, out) = build_with_files(&["a.img.zst"]);
    let nix = answers.install();
    let outcome = nix.run(&["--flake", FLAKE, "sd-image", "--all"]);
    outcome.assert_code(0).assert_stdout(format!("{}\n", out.path().join("sd-image/a.img.zst").display()));
}
