//! `up HOST`: the order of its steps, what it does again and what not, with fakes of nix, ssh and deploy-rs. The card
//! is a plain file.

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::deploy_fixture::{ACTIVATING, Fixture, NEW, NEW_PROFILE, OLD, OLD_PROFILE, probe_answer};
use crate::fake_nix::{config_json, image_json, print_script, system};
use crate::flash::{MIB, image_bytes, is_all};
use crate::support::Outcome;

/// The flake and the host of these tests, which answers once `booted` is in the sandbox.
pub struct Up {
    pub fixture: Fixture,
    card: PathBuf,
    _out: TempDir,
}

impl Up {
    pub fn new() -> Self {
        Self::with_image(&image_json(&system()))
    }

    /// Nix finds `image` for the host.
    fn with_image(image: &str) -> Self {
        let fixture = Fixture::new(&probe_answer(NEW_PROFILE, NEW, ""), ACTIVATING, 0);
        let out = tempfile::tempdir().unwrap();
        let folder = out.path().join("sd-image");
        fs::create_dir(&folder).unwrap();
        let compressed = zstd::bulk::compress(&image_bytes(), 1).unwrap();
        fs::write(folder.join("nixos-sd-image-stinky.img.zst"), compressed).unwrap();
        let built = json!([{ "drvPath": "/nix/store/a-i.drv", "outputs": { "out": out.path() } }]);
        let script = format!(
            "case \"$*\" in\n --version) echo 'nix (Nix) 2.34.8';;\n *' outputs).imageOf '*) {image};;\n \
             *' config show '*) {config};;\n *' flake metadata '*) echo '{{}}';;\n *' eval '*) cat {nodes};;\n \
             *' build --dry-run '*) echo 'this derivation will be built:' >&2;;\n *' build '*img.drv*) {built};;\n \
             *' build '*) echo '[{{}}]';;\n *' copy '*) ;;\n *) echo \"unexpected: $*\" >&2; exit 99;;\nesac",
            image = print_script(image),
            config = print_script(&config_json("[]", "")),
            nodes = fixture.path("nodes"),
            built = print_script(&built.to_string()),
        );
        fixture.sandbox.fake("nix", &script);
        let ssh = fixture.sandbox.path("bin/ssh");
        let script = fs::read_to_string(&ssh).unwrap();
        let refused = "ssh: connect to host stinky.lan port 2222: Connection refused";
        let check = format!(
            "[ -e {} ] || {{ echo '{refused}' >>/dev/stdin; exit 255; }}\nprint() {{",
            fixture.path("booted")
        );
        fs::write(ssh, script.replace("print() {", &check)).unwrap();
        let card = fixture.sandbox.path("virtual-card");
        fs::write(&card, vec![0xee; 4 * MIB]).unwrap();
        Self { fixture, card, _out: out }
    }

    /// Lets the host answer from now on.
    fn boot(&self) {
        self.fixture.write("booted", "");
    }

    /// Runs `up stinky ARGS`.
    fn run(&self, args: &[&str]) -> Outcome {
        self.fixture.sandbox.run(&words(args))
    }

    /// The arguments for the card, confirmed.
    fn card_args(&self) -> [&str; 7] {
        let card = self.card.to_str().unwrap();
        [card, "--allow-virtual", "--yes", "--expect-size", "4MiB", "--identity", "none"]
    }

    /// Whether the card is as it was.
    fn is_card_untouched(&self) -> bool {
        is_all(&fs::read(&self.card).unwrap(), 0xee)
    }

    /// The calls of the programs that change something: builds of Nix by what they build, copies, and deploy-rs.
    fn changes(&self) -> Vec<&'static str> {
        let calls = self.fixture.sandbox.calls("nix");
        let of_nix = calls.iter().filter_map(|call| {
            let has = |word: &str| call.iter().any(|other| other.contains(word));
            match call.iter().map(String::as_str).nth(2)? {
                "build" if has("--dry-run") => None,
                "build" if has("img.drv") => Some("image"),
                "build" => Some("system"),
                "copy" => Some("copy"),
                _ => None,
            }
        });
        of_nix.chain(self.fixture.sandbox.calls("deploy").iter().map(|_| "deploy")).collect()
    }
}

/// The command line `up stinky ARGS`.
pub fn words<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["--flake", "github:o/f", "up", "stinky"], args].concat()
}

/// The outcomes of the steps in a result, in their order.
fn outcomes(result: &Value) -> String {
    let steps = result["steps"].as_array().expect("steps").iter();
    steps
        .map(|step| format!("{}={}", step["step"].as_str().unwrap(), step["outcome"].as_str().unwrap()))
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn a_host_is_taken_from_the_flake_to_a_deploy_and_then_left_alone() {
    let up = Up::new();
    let mut run = up.fixture.sandbox.xtask(&words(&[&up.card_args()[..], &["--json"]].concat())).spawn();
    run.wait_for("does not answer yet");
    assert!(fs::read(&up.card).unwrap()[..2 * MIB] == image_bytes(), "the card is written before the wait");
    up.boot();
    let result = run.finish().assert_code(0).json();
    let expected = "login_keys=done image=done card=done flash=done deploy=done status=done";
    assert_eq!(outcomes(&result), expected);
    assert_eq!(result["status"]["current"], true);
    assert_eq!(up.changes(), ["image", "system", "copy", "deploy"]);
    // The next run finds the host as it should be. Another card in the reader is not touched.
    fs::write(&up.card, vec![0xee; 4 * MIB]).unwrap();
    let again = up.run(&[&up.card_args()[..], &["--json"]].concat());
    let expected = "login_keys=already_done image=already_done card=already_done flash=already_done \
                    deploy=already_done status=done";
    assert_eq!(outcomes(&again.assert_code(0).json()), expected);
    assert!(up.is_card_untouched());
    assert_eq!(up.changes().len(), 4, "{:?}", up.changes());
}

#[test]
fn a_host_that_answers_is_not_flashed_unless_that_is_asked_for() {
    let up = Up::new();
    up.boot();
    let outcome = up.run(&up.card_args());
    outcome
        .assert_code(0)
        .assert_stderr_contains(
            "  flash       done     stinky runs\n  deploy      to do    stinky runs another system\n",
        )
        .assert_stderr_contains("step 5 of 6: deploy\n")
        .assert_stdout_contains(format!("stinky runs {NEW}\nHOST "));
    assert!(up.is_card_untouched());
    assert_eq!(up.changes(), ["system", "copy", "deploy"]);
    // The deploy would go to the old card, which runs still.
    let args = [&up.card_args()[..], &["--flash", "--json"]].concat();
    let flashed = up.run(&args);
    let result = flashed.assert_code(0).assert_stderr_contains("still runs from its old card").json();
    assert_eq!(
        outcomes(&result),
        "login_keys=done image=done card=done flash=done deploy=skipped status=done"
    );
    assert!(!up.is_card_untouched());
    assert_eq!(up.changes().iter().filter(|change| **change == "deploy").count(), 1);
}

#[test]
fn an_interrupted_run_is_resumed_where_it_stopped() {
    let up = Up::new();
    let stopped = up.fixture.sandbox.xtask(&words(&up.card_args())).interrupt_at("does not answer yet");
    stopped.assert_stderr_contains("hint: run the same command again: what is done").assert_code(130);
    assert!(!up.is_card_untouched());
    fs::write(&up.card, vec![0xee; 4 * MIB]).unwrap();
    up.boot();
    // A run without a terminal needs no card any more.
    let outcome = up.run(&["--json"]);
    let expected = "login_keys=already_done image=already_done card=already_done flash=already_done deploy=done status=done";
    assert_eq!(outcomes(&outcome.assert_code(0).json()), expected);
    assert!(up.is_card_untouched());
}

#[test]
fn a_dry_run_shows_the_steps_and_does_none() {
    let up = Up::new();
    let outcome = up.run(&["--dry-run"]);
    let plan = "up stinky\n  login keys  to do    checked before the build\n  image       to do\n  card        to do    one \
                that you pick or insert\n  flash       to do\n  deploy      to do    waits up to 15 min for stinky\n  status      to do\n";
    outcome
        .assert_code(0)
        .assert_stderr_contains(plan)
        .assert_stderr_contains("next: cargo xtask --flake github:o/f up stinky\n")
        .assert_stdout("left to do for stinky: login keys, image, card, flash, deploy\n");
    let result = up.run(&["--dry-run", "--json", "--skip", "flash"]).assert_code(0).json();
    let expected =
        "login_keys=skipped image=skipped card=skipped flash=skipped deploy=not_reached status=not_reached";
    assert_eq!(outcomes(&result), expected);
    assert_eq!((&result["host"], &result["status"]), (&"stinky".into(), &Value::Null));
    assert!(up.is_card_untouched() && up.changes().is_empty(), "{:?}", up.changes());
}

#[test]
fn the_card_is_confirmed_as_for_a_flash() {
    let up = Up::new();
    let card = up.card.to_str().unwrap();
    for (args, text, code) in [
        (&[][..], "stinky has to be flashed, and no card is named", 3),
        (&[card, "--allow-virtual"], "there is no terminal", 3),
        (&[card, "--allow-virtual", "--yes"], "--yes alone does not identify the card", 3),
        (&[card, "--allow-virtual", "--yes", "--expect-size", "5MiB"], "but 5242880 are expected", 3),
        (&[card, "--yes", "--expect-size", "4MiB"], "--allow-virtual", 3),
    ] {
        up.run(args).assert_stderr_contains(text).assert_code(code).assert_stdout("");
        assert!(up.is_card_untouched() && up.changes().is_empty(), "{args:?}: {:?}", up.changes());
    }
    let failed = up.run(&[card, "--allow-virtual", "--json"]).assert_code(3).json();
    assert!(outcomes(&failed).contains("card=failed flash=not_reached"), "{failed}");
    // On a terminal the name of the card is typed.
    let args = [card, "--allow-virtual", "--identity", "none", "--skip", "deploy", "--skip", "status"];
    let mut terminal = up.fixture.sandbox.xtask(&words(&args)).on_terminal();
    terminal.answer("to go on:", "no");
    terminal.finish().assert_stderr_contains("not confirmed; no card was written").assert_code(3);
    assert!(up.is_card_untouched());
}

#[test]
fn a_host_that_lets_nobody_in_is_refused_before_its_build() {
    let mut image: Value = serde_json::from_str(&image_json(&system())).unwrap();
    let logins = json!({ "is_enabled": true, "has_other_way": false, "users": [] });
    image["images"][0]["layout"] = json!({ "hostKeys": [], "mounts": [], "logins": logins });
    let up = Up::with_image(&image.to_string());
    let outcome = up.run(&[&up.card_args()[..], &["--json"]].concat());
    let result = outcome.assert_code(3).json();
    assert!(
        outcomes(&result).starts_with("login_keys=failed image=not_reached card=not_reached"),
        "{result}"
    );
    let message = result["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("nobody could log in to stinky"), "{message}");
    assert!(up.is_card_untouched() && up.changes().is_empty(), "{:?}", up.changes());
    let skipped =
        [&up.card_args()[..], &["--skip", "login-keys", "--skip", "deploy", "--skip", "status"]].concat();
    up.run(&skipped).assert_stderr_contains("nobody can log in to the host of this card").assert_code(0);
    assert!(!up.is_card_untouched());
}

#[test]
fn an_image_that_does_not_boot_the_board_of_its_host_is_not_written() {
    let mut image: Value = serde_json::from_str(&image_json(&system())).unwrap();
    image["images"][0]["layout"] = json!({ "boards": ["pi5"] });
    let up = Up::with_image(&image.to_string());
    let refused = up.run(&up.card_args());
    refused.assert_code(3).assert_stderr_contains("`raspberryPi.boards` of the host: ");
    refused.assert_stderr_contains("Raspberry Pi 5");
    assert!(up.is_card_untouched());
}

#[test]
fn a_deploy_that_fails_keeps_what_was_done() {
    let up = Up::new();
    up.boot();
    up.fixture.write("after", &probe_answer(OLD_PROFILE, OLD, ""));
    let result = up.run(&["--json"]).assert_code(10).json();
    assert!(outcomes(&result).ends_with("flash=already_done deploy=failed status=not_reached"), "{result}");
    assert_eq!(result["steps"][4]["error"]["kind"], "rolled_back");
}
