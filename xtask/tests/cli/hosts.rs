//! `hosts`: the output for the answers of different versions of Nix.

use crate::fake_nix::{Answers, FLAKE, fails, prints, system};
use crate::support::Sandbox;

const VERSION: &str = "--version";
const SHOW: &str = "flake show --json github:o/f";
const PACKAGES: &str = "eval --json github:o/f#packages --apply builtins.mapAttrs (_: builtins.attrNames)";
const DEPLOY: &str = "eval --json github:o/f#deploy --apply deploy: builtins.attrNames (deploy.nodes or { })";

const HOSTS: [&str; 3] = ["--flake", FLAKE, "hosts"];
const NAMES: &str = r#"{"aarch64-linux":["hello","stinky-sdImage"],"x86_64-linux":["stinky-sdImage"]}"#;
const TABLE: &str = "\
HOST    SD IMAGE                     DEPLOY
server  -                            yes
stinky  aarch64-linux, x86_64-linux  yes
";

/// Nix 2.14 and newer: foreign systems keep their names, and nothing else.
const V1: &str = r#"{"deploy":{"type":"unknown"},"packages":{"aarch64-linux":{"hello":{},"stinky-sdImage":{}},"x86_64-linux":{"stinky-sdImage":{"name":"i","type":"derivation"}}}}"#;
/// Determinate Nix.
const V2: &str = r#"{"version":2,"inventory":{"deploy":{"unknown":true},"packages":{"output":{"children":{"aarch64-linux":{"children":{"stinky-sdImage":{}}},"x86_64-linux":{"children":{"stinky-sdImage":{"what":"package"}}}}}}}}"#;
const FILTERED: &str = r#"{"version":2,"inventory":{"packages":{"output":{"children":{"aarch64-linux":{"filtered":true},"x86_64-linux":{"children":{"hello":{}}}}}}}}"#;

#[test]
fn every_format_of_flake_show_gives_the_same_table() {
    let omitted = format!("echo \"omitted (use '--all-systems' to show)\" >&2; {}", prints(V1));
    let broken_sibling = format!("printf '%s' '{{\"packages\":{{'; {}", fails("error: broken on purpose"));
    for (format, show, evaluates) in [
        ("version 1", prints(V1), false),
        ("version 1 with omitted systems", omitted, false),
        ("version 2", prints(V2), false),
        ("version 2, filtered", prints(FILTERED), true),
        ("no image in it", prints(r#"{"packages":{"x86_64-linux":{"hello":{}}}}"#), true),
        ("a sibling that throws", broken_sibling, true),
        ("a form to come", prints("{\"version\":3}"), true),
    ] {
        let answers = Answers {
            show,
            packages: prints(NAMES),
            deploy: prints(r#"["server","stinky"]"#),
            ..Answers::default()
        };
        let nix = answers.install();
        let outcome = nix.run(&HOSTS);
        outcome.assert_code(0).assert_stdout(TABLE).assert_stderr("");
        let calls = [&[VERSION, DEPLOY][..], if evaluates { &[PACKAGES] } else { &[] }, &[SHOW]].concat();
        assert_eq!(nix.nix_calls(), calls, "{format}");
    }
}

#[test]
fn hosts_prints_json() {
    let answers = Answers { show: prints(V1), deploy: prints(r#"["server"]"#), ..Answers::default() };
    let outcome = answers.install().run(&["--json", "--flake", FLAKE, "hosts"]);
    let expected = concat!(
        r#"[{"name":"server","image_systems":[],"deploy_node":true},"#,
        r#"{"name":"stinky","image_systems":["aarch64-linux","x86_64-linux"],"deploy_node":false}]"#,
        "\n"
    );
    let events = r#"{"event":"phase","name":"evaluate","total":null,"bytes":false}
{"event":"over"}
"#;
    outcome.assert_code(0).assert_stdout(expected).assert_stderr(events);
}

#[test]
fn a_flake_without_hosts_is_a_warning() {
    let missing = "error: flake 'github:o/f' does not provide attribute 'packages'";
    let answers = Answers {
        show: prints("{}"),
        packages: fails(missing),
        deploy: fails(missing),
        ..Answers::default()
    };
    let outcome = answers.install().run(&HOSTS);
    outcome.assert_code(0).assert_stdout("HOST  SD IMAGE  DEPLOY\n");
    assert_eq!(outcome.stderr, "warning: github:o/f has no host with an image or a deploy node\n");
}

#[test]
fn broken_nodes_do_not_hide_images() {
    let answers = Answers { deploy: fails("error: no nodes today"), ..Answers::default() };
    let outcome = answers.install().run(&HOSTS);
    let here = system();
    let width = here.len();
    outcome
        .assert_code(0)
        .assert_stdout(format!("HOST    {:width$}  DEPLOY\nstinky  {here}  -\n", "SD IMAGE"));
    let warning = "warning: the deploy nodes are left out: nix failed on github:o/f: no nodes today\n";
    assert_eq!(outcome.stderr, warning);
}

#[test]
fn a_cached_evaluation_failure_is_evaluated_again() {
    let cached = format!(
        "case \"$*\" in *--no-eval-cache) {};; *) {};; esac",
        prints(r#"["server"]"#),
        fails("error: cached failure of attribute 'deploy'")
    );
    let nix = Answers { deploy: cached, show: prints(V1), ..Answers::default() }.install();
    nix.run(&HOSTS).assert_code(0);
    assert_eq!(nix.nix_calls(), [VERSION, DEPLOY, &format!("{DEPLOY} --no-eval-cache"), SHOW]);
}

const UNTRACKED: &str = "run `git add` on the file, as nix sees only what git tracks; name a folder that git ignores as path:FOLDER";
const NO_FLAKE: &str = "name a folder with a flake.nix, or a URL, with --flake";
const FEATURES: &str = "add `experimental-features = nix-command flakes` to nix.conf";
const NETWORK: &str = "check the network: nix could not fetch something that the flake needs";

/// Errors of nix about the flake as a whole, with their hints.
const ERRORS: &[(&str, &str)] = &[
    // 2.8, 2.26 and from 2.29 on.
    ("getting status of '/nix/store/abc-source/a.nix': No such file or directory", UNTRACKED),
    ("path '/nix/store/abc-source/a.nix' does not exist", UNTRACKED),
    ("Path 'a.nix' in the repository \"/f\" is not tracked by Git.", UNTRACKED),
    ("could not find a flake.nix file", NO_FLAKE),
    ("path '/f' is not part of a flake (neither it nor its parent directories contain)", NO_FLAKE),
    ("source tree referenced by 'path:/f' does not contain a '/flake.nix' file", NO_FLAKE),
    ("getting status of '/f': No such file or directory", NO_FLAKE),
    ("path '//f' does not exist", NO_FLAKE),
    ("getting status of \"/f\": No such file or directory", NO_FLAKE),
    // Up to 2.18, later, and for the other feature.
    (
        "experimental Nix feature 'nix-command' is disabled; use '--extra-experimental-features nix-command' to override",
        FEATURES,
    ),
    (
        "experimental Nix feature 'nix-command' is disabled; add '--extra-experimental-features nix-command' to enable it",
        FEATURES,
    ),
    ("experimental Nix feature 'flakes' is disabled; use '--extra-experimental-features flakes'", FEATURES),
    (
        "opening Git repository \"/f\": repository path '/f' is not owned by current user",
        "add the repository to git's `safe.directory`: it belongs to another user",
    ),
    ("unable to download 'https://h/x': Could not resolve hostname", NETWORK),
    (
        "cannot connect to socket at '/nix/var/nix/daemon-socket/socket': Connection refused",
        "start nix-daemon, which does not answer: `systemctl start nix-daemon`",
    ),
];

#[test]
fn errors_of_nix_about_the_flake_have_hints() {
    for (message, hint) in ERRORS {
        let error = fails(&format!("warning: w\n\u{1b}[31;1merror:\u{1b}[0m {message}"));
        let answers =
            Answers { show: error.clone(), packages: error.clone(), deploy: error, ..Answers::default() };
        let outcome = answers.install().run(&HOSTS);
        outcome.assert_code(1).assert_stdout("");
        assert_eq!(outcome.stderr, format!("error: nix failed on github:o/f: {message}\nhint: {hint}\n"));
    }
}

#[test]
fn a_nix_that_is_too_old_is_refused() {
    let setup = "run `cargo xtask setup`";
    for (version, message, hint) in [
        ("nix (Nix) 2.8.0", "nix 2.8 is too old: 2.18 or newer is needed", setup),
        ("nix (Nix) 2.3.16", "nix 2.3 is too old: 2.18 or newer is needed", setup),
        ("nix", "`nix --version` prints no version: nix", "check which program `nix` is: `command -v nix`"),
    ] {
        let nix = Answers { version, ..Answers::default() }.install();
        let outcome = nix.run(&HOSTS);
        let lines = format!("error: {message}\nhint: {hint}\n");
        outcome.assert_code(1).assert_stdout("").assert_stderr(lines);
        assert_eq!(nix.nix_calls(), [VERSION]);
    }
}

#[test]
fn a_missing_nix_is_an_error() {
    let outcome = Sandbox::with_fakes_only().run(&HOSTS);
    outcome.assert_code(1).assert_stdout("");
    assert_eq!(outcome.stderr, "error: no nix on PATH\nhint: run `cargo xtask setup`\n");
    let outcome = Sandbox::with_fakes_only().run(&["--json", "hosts"]);
    let event = r#"{"event":"failed","code":1,"message":"no nix on PATH","hint":"run `cargo xtask setup`"}"#;
    outcome.assert_code(1).assert_stdout("").assert_stderr(format!("{event}\n"));
}
