//! `hosts`: the output for the answers of Nix.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::fake_nix::{
    Answers, FLAKE, LIST_NAMES, fail_script, find_image, image_json, names_json, no_image_json, print_script,
};

const VERSION: &str = "--version";
pub const HOSTS_ARGS: &[&str] = &["--flake", FLAKE, "hosts"];
const TABLE: &str = "\
HOST    SD IMAGE                     DEPLOY
kiosk   not evaluated                -
server  -                            yes
stinky  aarch64-linux, x86_64-linux  yes
";

/// The end of each call that only reads names.
const NO_BUILDS: &str = "--option allow-import-from-derivation false --option accept-flake-config false";

/// The next step after a list with a host whose image is unknown.
const NEXT: &str = "next: cargo xtask --flake github:o/f hosts --evaluate\n  finds the images that only an evaluation shows\n";

/// The names of three hosts: with an image by name, with a configuration, and with a deploy node only.
pub fn three_hosts() -> String {
    let packages: &[(&str, &[&str])] =
        &[("aarch64-linux", &["hello", "stinky-sdImage"]), ("x86_64-linux", &["stinky-sdImage"])];
    names_json(packages, &["kiosk"], &["server", "stinky"])
}

#[test]
fn hosts_are_listed_by_one_evaluation_of_names() {
    let nix = Answers { names: print_script(&three_hosts()), ..Answers::default() }.install();
    nix.run(HOSTS_ARGS).assert_code(0).assert_stdout(TABLE).assert_stderr(NEXT);
    // Nix is started once.
    let listing = format!("{LIST_NAMES} {NO_BUILDS}");
    assert_eq!((nix.nix_calls(), nix.calls("nix").len()), (vec![listing], 1));
    let args = [HOSTS_ARGS, &["--", "--override-input", "a", "b"]].concat();
    nix.run(&args).assert_code(0).assert_stdout(TABLE);
    let listing = LIST_NAMES.replace(" --no-write", " --override-input a b --no-write") + " " + NO_BUILDS;
    assert!(nix.nix_calls().contains(&listing));
}

#[test]
fn configurations_are_evaluated_when_asked_for() {
    let found = image_json("aarch64-linux").replace("convention", "configuration");
    let nix =
        Answers { names: print_script(&three_hosts()), image: print_script(&found), ..Answers::default() }
            .install();
    let outcome = nix.run(&[HOSTS_ARGS, &["--evaluate"]].concat());
    outcome.assert_code(0);
    let lines = outcome.stdout.lines().collect::<Vec<_>>();
    assert_eq!(lines[1], "kiosk   packages.aarch64-linux.stinky-sdImage  -");
    let found = |host: &str| format!("{} --no-write-lock-file", find_image(host));
    assert_eq!(nix.nix_calls(), [VERSION, VERSION, &found("kiosk"), &found("stinky"), LIST_NAMES]);
    let none = Answers {
        names: print_script(&three_hosts()),
        image: print_script(&no_image_json(true)),
        ..Answers::default()
    };
    let outcome = none.install().run(&[HOSTS_ARGS, &["--evaluate"]].concat());
    outcome
        .assert_code(0)
        .assert_stdout_contains("kiosk   none: nixosConfigurations.kiosk makes no image for a card");
}

#[test]
fn hosts_prints_json() {
    let answers = Answers { names: print_script(&three_hosts()), ..Answers::default() };
    let outcome = answers.install().run(&["--json", "--flake", FLAKE, "hosts"]);
    let rows = outcome.assert_code(0).json();
    let expected = serde_json::json!([
        { "host": "kiosk", "image_systems": [], "in_images": false, "configured": true, "deploy_node": false,
          "image": { "state": "not_evaluated", "place": null, "attributes": [], "systems": [], "error": null } },
        { "host": "server", "image_systems": [], "in_images": false, "configured": false, "deploy_node": true,
          "image": { "state": "none", "place": null, "attributes": [], "systems": [], "error": null } },
        { "host": "stinky", "image_systems": ["aarch64-linux", "x86_64-linux"], "in_images": false,
          "configured": false, "deploy_node": true,
          "image": { "state": "found", "place": "convention", "attributes": [],
                     "systems": ["aarch64-linux", "x86_64-linux"], "error": null } },
    ]);
    assert_eq!(rows["hosts"], expected);
    let kinds = outcome.events().into_iter().map(|event| event["event"].clone()).collect::<Vec<_>>();
    assert_eq!(kinds, ["phase", "phase_ended"]);
    assert_eq!(outcome.events()[0]["name"], "evaluate");
}

#[test]
fn a_flake_without_hosts_is_a_warning() {
    let answers = Answers { names: print_script(&names_json(&[], &[], &[])), ..Answers::default() };
    let outcome = answers.install().run(HOSTS_ARGS);
    outcome.assert_code(0).assert_stdout("HOST  SD IMAGE  DEPLOY\n");
    let warning = "warning: github:o/f has no host with a configuration, an image or a deploy node\n";
    outcome.assert_stderr(warning);
}

/// Nix 2.18 cannot evaluate all outputs at once; then each is evaluated, and one that fails hides no other.
#[test]
fn outputs_are_evaluated_apart_where_nix_cannot_evaluate_all() {
    let missing = fail_script("error: flake 'github:o/f' does not provide attribute '.'");
    let packages = print_script(&names_json(&[("aarch64-linux", &["stinky-sdImage"])], &[], &[]));
    let answer = format!(
        "case \"$*\" in *'#. '*) {missing};; *'#packages '*) {packages};; *'#deploy '*) {};; *) {};; esac",
        fail_script("error: no nodes today"),
        fail_script("error: flake 'github:o/f' does not provide attribute 'x'"),
    );
    let nix = Answers { names: answer, ..Answers::default() }.install();
    let outcome = nix.run(HOSTS_ARGS);
    outcome.assert_code(0).assert_stdout("HOST    SD IMAGE       DEPLOY\nstinky  aarch64-linux  -\n");
    let warning = "warning: the output `deploy` is left out: nix failed on github:o/f: no nodes today\n";
    outcome.assert_stderr(warning);
    // Of `deploy`, the parts for single systems were tried too.
    assert_eq!(nix.nix_calls().len(), 8);
}

#[test]
fn an_output_that_throws_is_named_with_its_error() {
    let mut broken =
        serde_json::from_str::<Value>(&names_json(&[("s", &["stinky-sdImage"])], &[], &[])).expect("JSON");
    broken["broken"] = serde_json::json!([["deploy", "nodes"]]);
    let answers = Answers { names: print_script(&broken.to_string()), ..Answers::default() };
    let nix = answers.install_with("*'builtins.attrNames) (outputs'*", &fail_script("error: no nodes today"));
    let outcome = nix.run(HOSTS_ARGS);
    outcome.assert_code(0).assert_stdout("HOST    SD IMAGE  DEPLOY\nstinky  s         -\n");
    let warning =
        "warning: the output `deploy.nodes` is left out: nix failed on github:o/f: no nodes today\n";
    outcome.assert_stderr(warning);
    // Nix 2.18 evaluates one output after the other: the reason why `deploy.nodes` fails is read from `deploy` alone.
    let missing = fail_script("error: flake 'github:o/f' does not provide attribute '.'");
    let names = format!(
        "case \"$*\" in *'#. '*) {missing};; *'#deploy '*) {};; *) {};; esac",
        print_script(&broken.to_string()),
        fail_script("error: flake 'github:o/f' does not provide attribute 'x'"),
    );
    let reason =
        format!("case \"$*\" in *'#. '*) {missing};; *) {};; esac", fail_script("error: no nodes today"));
    let nix = Answers { names, ..Answers::default() }.install_with("*'builtins.attrNames) ('*", &reason);
    nix.run(HOSTS_ARGS).assert_code(0).assert_stderr(warning);
}

#[test]
fn a_cached_evaluation_failure_is_evaluated_again() {
    let cached = format!(
        "case \"$*\" in *--no-eval-cache*) {};; *) {};; esac",
        print_script(&three_hosts()),
        fail_script("error: cached failure of attribute 'deploy'")
    );
    let nix = Answers { names: cached, ..Answers::default() }.install();
    nix.run(HOSTS_ARGS).assert_code(0).assert_stdout(TABLE);
    let calls = ["", " --no-eval-cache"].map(|option| format!("{LIST_NAMES}{option} {NO_BUILDS}"));
    assert_eq!(nix.nix_calls().into_iter().collect::<BTreeSet<_>>(), calls.into());
}

const UNTRACKED: &str = "run `git add` on the file, as nix sees only what git tracks; name a folder that git ignores as path:FOLDER";
const NO_FLAKE: &str = "name a folder with a flake.nix, or a URL, with --flake";
const FEATURES: &str = "add `experimental-features = nix-command flakes` to nix.conf";
const CACHE: &str = "let XDG_CACHE_HOME name a folder that this user can write: nix keeps its cache there";
const NETWORK: &str = "check the network: nix could not fetch something that the flake needs";

/// Errors of nix about the flake as a whole, with their hints.
const ERRORS: &[(&str, &str)] = &[
    // The first three are one error, by Nix 2.8, by Nix 2.26, and by Nix from 2.29 on.
    ("getting status of '/nix/store/abc-source/a.nix': No such file or directory", UNTRACKED),
    ("path '/nix/store/abc-source/a.nix' does not exist", UNTRACKED),
    ("Path 'a.nix' in the repository \"/f\" is not tracked by Git.", UNTRACKED),
    ("could not find a flake.nix file", NO_FLAKE),
    ("path '/f' is not part of a flake (neither it nor its parent directories contain)", NO_FLAKE),
    ("source tree referenced by 'path:/f' does not contain a '/flake.nix' file", NO_FLAKE),
    ("getting status of '/f': No such file or directory", NO_FLAKE),
    ("path '//f' does not exist", NO_FLAKE),
    ("getting status of \"/f\": No such file or directory", NO_FLAKE),
    // By Nix up to 2.18, by later ones, and for the other feature.
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
    ("creating directory '/nonexistent/.cache/nix': Permission denied", CACHE),
    ("unable to download 'https://h/x': Could not resolve hostname", NETWORK),
    (
        "cannot connect to socket at '/nix/var/nix/daemon-socket/socket': Connection refused",
        "start nix-daemon, which does not answer: `systemctl start nix-daemon`",
    ),
];

#[test]
fn errors_of_nix_about_the_flake_have_hints() {
    for (message, hint) in ERRORS {
        let error = fail_script(&format!("warning: w\n\u{1b}[31;1merror:\u{1b}[0m {message}"));
        let answers = Answers { names: error, ..Answers::default() };
        let outcome = answers.install().run(HOSTS_ARGS);
        outcome.assert_code([(NO_FLAKE, 2), (CACHE, 6)].iter().find(|of| of.0 == *hint).map_or(1, |of| of.1));
        assert_eq!(outcome.stderr, format!("error: nix failed on github:o/f: {message}\nhint: {hint}\n"));
    }
}

/// Names that take a build are read again, with all that protects the keys of hosts from builds.
#[test]
fn names_that_take_a_build_are_read_again() {
    let forbidden = fail_script(
        "error: cannot build '/nix/store/a.drv^out' during evaluation because the option 'allow-import-from-derivation' is disabled",
    );
    let names =
        format!("case \"$*\" in *{NO_BUILDS:?}) {forbidden};; *) {};; esac", print_script(&three_hosts()));
    let nix = Answers { names, ..Answers::default() }.install();
    nix.run(HOSTS_ARGS).assert_code(0).assert_stdout(TABLE).assert_stderr(NEXT);
    let calls = nix.calls("nix").iter().map(|call| call.join(" ")).collect::<Vec<_>>();
    let find = |end: &str| calls.iter().position(|call| call.ends_with(end)).expect(end);
    assert!(find(NO_BUILDS) < find("config show --json"), "{calls:#?}");
    assert!(find("config show --json") < find("--no-write-lock-file"), "{calls:#?}");
}

/// Nix itself detects a value that needs itself, but no other endless evaluation.
#[test]
fn an_endless_evaluation_is_stopped_at_its_limit() {
    let endless = || "exec sleep 600".to_owned();
    let answers = Answers { names: endless(), image: endless(), ..Answers::default() };
    let nix = answers.install_with("*' eval '*", &endless());
    nix.fake("deploy", "echo deploy 1.0");
    let card = crate::flash::make_card(&nix).display().to_string();
    for args in [
        &["hosts"][..],
        &["sd-image", "stinky"],
        &["card", "verify", "stinky", &card],
        &[
            "flash",
            "stinky",
            &card,
            "--allow-virtual",
            "--yes",
            "--expect-size",
            "4MiB",
            "--identity",
            "none",
        ],
        &["status", "stinky"],
        &["deploy", "stinky", "--dry-run"],
    ] {
        let outcome = nix.run(&[&["--flake", FLAKE], args, &["--eval-timeout", "1s"]].concat());
        let error = "nix evaluated github:o/f for more than 1 s and was stopped";
        outcome.assert_stderr_contains(error).assert_code(1);
        outcome.assert_stderr_contains("pass a longer --eval-timeout, such as 2h; ");
    }
}

/// One host that never ends hides no other. Nix checks for interrupts only between the steps of an evaluation.
#[test]
fn an_endless_host_is_a_row_of_the_table() {
    let endless = || "trap '' INT; exec sleep 600".to_owned();
    let nix =
        Answers { names: print_script(&three_hosts()), image: endless(), ..Answers::default() }.install();
    let outcome = nix.run(&[HOSTS_ARGS, &["--evaluate", "--eval-timeout", "1s"]].concat());
    for host in ["kiosk ", "stinky"] {
        outcome.assert_code(0).assert_stdout_contains(format!(
            "{host}  none: nix evaluated github:o/f for more than 1 s and was stopped  "
        ));
    }
}

#[test]
fn a_nix_that_is_too_old_or_prints_no_version_is_refused() {
    let setup = "run `cargo xtask setup`";
    for (version, message, hint) in [
        ("nix (Nix) 2.8.0", "nix 2.8 is too old: 2.18 or newer is needed", setup),
        ("nix (Nix) 2.3.16", "nix 2.3 is too old: 2.18 or newer is needed", setup),
        ("nix", "`nix --version` prints no version: nix", "check which program `nix` is: `command -v nix`"),
    ] {
        // A Nix that answers is recent enough; of one that does not, the version says why.
        let names = fail_script("error: unrecognised flag '--apply'");
        let nix = Answers { version, names, ..Answers::default() }.install();
        let outcome = nix.run(HOSTS_ARGS);
        let lines = format!("error: {message}\nhint: {hint}\n");
        outcome.assert_code(3).assert_stdout("").assert_stderr(lines);
        assert_eq!(nix.nix_calls(), [VERSION, &format!("{LIST_NAMES} {NO_BUILDS}")]);
    }
}
