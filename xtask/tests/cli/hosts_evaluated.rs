//! `hosts --evaluate`: what is shown of the image of a host, and the time limit of the evaluation.

use serde_json::Value;

use crate::fake_nix::{Answers, FLAKE, fail_script, image_json, print_script};
use crate::hosts::{HOSTS_ARGS, three_hosts};

/// A host with packages for several systems shows them all, as before its evaluation. The system is that of the
/// derivation, whatever the attribute says; of several images, none is the image.
#[test]
fn an_evaluated_host_shows_what_was_found() {
    let mut found = serde_json::from_str::<Value>(&image_json("aarch64-linux")).expect("JSON");
    let evaluate = [HOSTS_ARGS, &["--evaluate"]].concat();
    let run = |found: &Value, args: &[&str]| {
        let image = print_script(&found.to_string());
        Answers { names: print_script(&three_hosts()), image, ..Answers::default() }.install().run(args)
    };
    let both = "stinky  aarch64-linux, x86_64-linux  yes\n";
    run(&found, &evaluate).assert_code(0).assert_stdout_contains(both);
    let rows = run(&found, &["--json", "--flake", FLAKE, "hosts", "--evaluate"]).assert_code(0).json();
    let systems = serde_json::json!(["aarch64-linux", "x86_64-linux"]);
    assert_eq!(rows["hosts"][2]["image"]["systems"], systems);
    found["images"][0]["system"] = "riscv64-linux".into();
    let outcome = run(&found, &evaluate);
    outcome.assert_code(0).assert_stdout_contains("stinky  riscv64-linux  yes\n");
    let other = found["images"][0].clone();
    found["images"].as_array_mut().expect("a list").push(other);
    let cell = "stinky  2 images: packages.aarch64-linux.stinky-sdImage, packages.aarch64-linux.stinky-sdImage  yes\n";
    run(&found, &evaluate).assert_code(0).assert_stdout_contains(cell);
    let outcome = run(&found, &["--json", "--flake", FLAKE, "hosts", "--evaluate"]);
    let rows = outcome.assert_code(0).json();
    assert_eq!(rows["hosts"][2]["image"]["state"], "several");
}

/// A reason of several lines is shown whole, without the position.
#[test]
fn the_reason_of_a_host_without_an_image_is_one_line() {
    let error = "error:\n       … while calling the 'throw' builtin\n         at /nix/store/a-source/b.nix:1:2:\n\n       \
                 error:\n       Failed assertions:\n       - one\n       - two";
    let answers =
        Answers { names: print_script(&three_hosts()), image: fail_script(error), ..Answers::default() };
    let outcome = answers.install().run(&[HOSTS_ARGS, &["--evaluate"]].concat());
    let cell = "kiosk   none: nix failed on github:o/f: Failed assertions: - one - two  -\n";
    outcome.assert_code(0).assert_stdout_contains(cell);
}

#[test]
fn an_invalid_time_limit_is_a_usage_error() {
    Answers::default()
        .install()
        .run(&[HOSTS_ARGS, &["--eval-timeout", "soon"]].concat())
        .assert_code(2)
        .assert_stderr_contains("must be a time such as 90s, 10m or 2h");
}
