//! Every command on terminals of 60, 80 and 120 columns: no line is wider, so that the terminal wraps nothing.

use clap::CommandFactory;
use rustix::process::Signal;
use xtask::dev::picture::Screen;

use crate::boot;
use crate::deploy_fixture::Fixture;
use crate::deploy_several::{NO_CHANGE, fixture_with_two_nodes};
use crate::fake_nix::{Answers, FLAKE, FakeNix, names_json, print_script, system};
use crate::flash::{build_with_image, make_card};
use crate::identities;
use crate::identity::fake_keygen;
use crate::new_host_fixture::Flake;
use crate::rollback::fixture_to_roll_back;
use crate::status::{fixture_with_current_host, write_flash_receipt};
use crate::suites::{CARGO, sandbox_with_cargo};
use crate::support::Sandbox;
use crate::support::terminal::Terminal;
use crate::up::{self, Up};

/// A public key that no sandbox has made.
const OTHER_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKCcGufY3wZYjbxCpm9xo3W2XeGl1+70HxLJuItPZBaw";

const WIDTHS: [u16; 3] = [60, 80, 120];

/// Asserts that the terminal has wrapped no row but those of texts for copying: the path that `sd-image` prints, a
/// public key, and a path in a command.
#[track_caller]
fn assert_fits(screen: &Screen, what: &str) {
    let wrapped = screen.wrapped_rows();
    let text = screen.text();
    let is_copied = |row: &String| {
        let is_path = row.starts_with('/') && !row.contains(' ');
        let is_in_command = row.starts_with("  /") && text.contains('`');
        // The answer behind a question is as long as the user types.
        is_path || is_in_command || row.contains(" to go on: ") || row.starts_with("public  ssh-ed25519 ")
    };
    assert!(wrapped.iter().all(is_copied), "{what}: {wrapped:#?}\n{text}");
    assert!(!text.is_empty(), "{what}: nothing was printed");
}

/// Runs the tool with `args` in `sandbox` on a terminal of each width, answers a question by `answer`, and asserts that
/// all lines fit, and that the exit code is `code`.
#[track_caller]
fn check(sandbox: &Sandbox, args: &[&str], answer: Option<(&str, &str)>, code: i32) {
    for width in WIDTHS {
        check_at(width, sandbox, args, answer, code);
    }
}

/// As [`check`], on one terminal that is `width` columns wide.
#[track_caller]
fn check_at(width: u16, sandbox: &Sandbox, args: &[&str], answer: Option<(&str, &str)>, code: i32) {
    let mut terminal = sandbox.xtask(args).on_whole_terminal(width);
    if let Some((question, answer)) = answer {
        terminal.answer(question, answer);
    }
    let (screen, exit_code) = terminal.finish_on_screen(width);
    let what = format!("{args:?} at {width} columns");
    assert_fits(&screen, &what);
    assert_eq!(exit_code, code, "{what}:\n{}", screen.text());
}

/// The words of all commands that users see.
fn commands(command: &clap::Command, words: &[String], found: &mut Vec<Vec<String>>) {
    found.push(words.to_vec());
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        commands(inner, &[words, &[inner.get_name().to_owned()]].concat(), found);
    }
}

#[test]
fn the_help_of_every_command_fits() {
    let sandbox = Sandbox::new();
    let mut found = Vec::new();
    commands(&xtask::Cli::command(), &[], &mut found);
    assert!(found.len() > 25, "{found:?}");
    for words in found {
        let args = words.iter().map(String::as_str).chain(["--help"]).collect::<Vec<_>>();
        check(&sandbox, &args, None, 0);
    }
}

#[test]
fn errors_of_the_command_line_fit() {
    let sandbox = Sandbox::new();
    for args in [
        &["flsh"][..],
        &["flash", "--image"],
        &["flash"],
        &["deploy", "--boot", "--bless", "pi"],
        &["test", "no-such-suite-of-all-these-suites"],
        &["bench", "flash", "--only", "no-such-case"],
    ] {
        check(&sandbox, args, None, 2);
    }
}

/// A fake Nix that builds an image, and a card.
fn nix_with_card() -> (FakeNix, String, tempfile::TempDir) {
    let (answers, out) = build_with_image();
    let nix = answers.install();
    let card = make_card(&nix).to_str().expect("a plain path").to_owned();
    (nix, card, out)
}

#[test]
fn commands_about_cards_fit() {
    let (nix, card, _out) = nix_with_card();
    let flash = ["--flake", FLAKE, "flash", "stinky", &card, "--allow-virtual", "--identity", "none"];
    let question = "Type the name of the device (virtual-card) to go on: ";
    check(&nix, &["--flake", FLAKE, "sd-image", "stinky"], None, 0);
    check(&nix, &["--flake", FLAKE, "card", "verify", "stinky", &card], None, 4);
    check(&nix, &flash, Some((question, "no")), 3);
    check(&nix, &flash, Some((question, "virtual-card")), 0);
    check(&nix, &[&flash[..], &["--yes", "--expect-size", "4GiB"]].concat(), None, 3);
    check(&nix, &["--flake", FLAKE, "card", "verify", "stinky", &card], None, 0);
    check(&nix, &["card", "inspect", &card], None, 4);
    check(&nix, &["card", "check", &card], None, 3);
    check(&nix, &["card", "check", &card, "--allow-virtual", "--yes", "--expect-size", "4MiB"], None, 0);
    check(&nix, &["history", "--flake", FLAKE], None, 0);
    check(&nix, &["history", "--flake", FLAKE, "other-host"], None, 2);
    check(&nix, &["restore", "--flake", FLAKE, "stinky", &card, "--allow-virtual"], None, 3);
    check(&nix, &["devices", "--all"], None, 0);
    check(&nix, &["devices"], None, 0);
}

#[test]
fn commands_about_hosts_fit() {
    let hosts = ["a-host-with-a-long-name-in-a-rack", "stinky"];
    let names = names_json(&[(&system(), &["stinky-sdImage"])], &hosts, &hosts);
    let nix = Answers { names: print_script(&names), ..Answers::default() }.install();
    check(&nix, &["--flake", FLAKE, "hosts"], None, 0);
    check(&nix, &["--flake", FLAKE, "hosts", "--evaluate"], None, 0);
    check(&nix, &["doctor"], None, 3);
    let current = fixture_with_current_host();
    write_flash_receipt(&current, &"f".repeat(64));
    check(&current.sandbox, &["--flake", FLAKE, "status", "stinky"], None, 0);
    check(&current.sandbox, &["--flake", FLAKE, "history"], None, 0);
    let changed = Fixture::new("", "", 0);
    check(&changed.sandbox, &["--flake", FLAKE, "status", "stinky"], None, 0);
    check(&changed.sandbox, &["--flake", FLAKE, "deploy", "stinky", "--dry-run"], None, 0);
    let several = fixture_with_two_nodes(NO_CHANGE);
    check(&several.sandbox, &["--flake", FLAKE, "status", "one", "two"], None, 0);
    check(&several.sandbox, &["--flake", FLAKE, "deploy", "one", "two", "--dry-run"], None, 0);
    check(&several.sandbox, &["--flake", FLAKE, "deploy", "one", "no-such-host"], None, 2);
}

#[test]
fn commands_about_identities_fit() {
    let sandbox = Sandbox::with_fakes_only();
    fake_keygen(&sandbox);
    std::fs::write(sandbox.path("flake/flake.nix"), "").expect("writing the flake");
    let flake = sandbox.path("flake").display().to_string();
    let identity = |args: &[&str], code| {
        check(&sandbox, &[&["--flake", &flake, "identity"], args].concat(), None, code);
    };
    identity(&["show", "pi"], 3);
    identity(&["make", "pi"], 0);
    identity(&["show", "pi"], 0);
    identity(&["list"], 0);
    identity(&["publish", "pi"], 0);
    identity(&["rename", "pi", "pi"], 2);
    identity(&["import", "b", "/etc/passwd"], 3);
    identity(&["restore", "/etc/passwd"], 3);
    let question = "Type the name of the host (pi) to go on: ";
    check(&sandbox, &["--flake", &flake, "identity", "remove", "pi"], Some((question, "no")), 3);
}

#[test]
fn backups_of_identities_fit() {
    let sandbox = identities::sandbox();
    let flake = sandbox.path("flake").display().to_string();
    let identity = |args: &[&str], code| {
        check(&sandbox, &[&["--flake", &flake, "identity"], args].concat(), None, code);
    };
    identity(&["list"], 0);
    let key = identities::make_key(&sandbox, "key");
    let public = key.with_extension("pub");
    let [key, public] = [&key, &public].map(|path| identities::text(path));
    identities::identity(&sandbox, &["import", "pi", key]).assert_code(0);
    let file = sandbox.path("home/a-backup-of-all-identities.age");
    let file = identities::text(&file);
    identity(&["backup", file, "pi", "--recipients-file", public, "--yes"], 0);
    identity(&["restore", file, "--age-identity", key, "--list"], 0);
    identity(&["restore", file, "--age-identity", key], 0);
    identity(&["trust", "pi", "--published"], 3);
    std::fs::write(sandbox.path("flake/known_hosts"), format!("pi {OTHER_KEY}\n")).expect("publishing");
    identity(&["list"], 0);
    identity(&["show", "pi"], 0);
    let question = Some(("Type the name of the host (pi) to go on: ", "no"));
    check(&sandbox, &["--flake", &flake, "identity", "trust", "pi", "--published"], question, 3);
}

#[test]
fn commands_to_a_running_host_fit() {
    let up = Up::new();
    check(&up.fixture.sandbox, &up::words(&["--dry-run"]), None, 0);
    // A log has whole lines, for a search.
    check(&up.fixture.sandbox, &["log", "a-host-that-was-never-deployed"], None, 2);
    for width in WIDTHS {
        let host = fixture_to_roll_back();
        let rollback = ["--flake", FLAKE, "rollback", "stinky"];
        check_at(width, &host.sandbox, &[&rollback[..], &["--dry-run"]].concat(), None, 0);
        check_at(width, &host.sandbox, &rollback, None, 0);
        check_at(width, &host.sandbox, &["--flake", FLAKE, "history"], None, 0);
    }
}

#[test]
fn a_new_host_fits() {
    for width in WIDTHS {
        let flake = Flake::registry();
        let place = flake.path("").display().to_string();
        let key = flake.key();
        let new_host = ["--flake", &place, "new-host", "smelly", "--board", "pi5", "--admin", "anna"];
        let question = Some(("for them? [y/N]", "n"));
        check_at(width, &flake.sandbox, &[&new_host[..], &["--ssh-key", &key]].concat(), question, 0);
        check_at(width, &flake.sandbox, &new_host, None, 3);
        check_at(width, &flake.sandbox, &[&new_host[..3], &["smelly.lan"], &new_host[4..]].concat(), None, 2);
    }
}

#[test]
fn the_rest_fits() {
    let sandbox = boot::sandbox(&boot::console_with_prompt("pi login: "));
    let card = sandbox.path("card.img").display().to_string();
    check(&sandbox, &["boot", &card], None, 0);
    check(&sandbox, &["boot", "/dev/no-such-card-in-this-machine-of-mine"], None, 3);
    let sandbox = Sandbox::with_fakes_only();
    check(&sandbox, &["bench", "deploy"], None, 3);
    check(&sandbox_with_cargo(CARGO), &["test", "cli"], None, 0);
}

/// A bar that the terminal has wrapped, because it became narrower, is erased whole.
#[test]
fn a_resize_leaves_nothing_behind() {
    let mut build = SlowBuild::start();
    let mut screen = Screen::new(80);
    // What is being drawn while the terminal is resized would be of neither width.
    build.terminal.wait_for("     build ").pause_on(&mut screen);
    assert!(screen.text().contains("     build "), "{}", screen.text());
    build.terminal.resize(10);
    screen.resize(10);
    build.terminal.signal(Signal::CONT);
    // The bar of the narrow terminal has no room for its name.
    build.terminal.wait_for("\u{1b}[2K\u{1b}[A");
    build.let_go_on();
    build.terminal.finish_on(&mut screen);
    // The screen begins with the result of the phase: nothing of its bar is left.
    let text = screen.text();
    assert!(text.starts_with("     build\n  nothing\n"), "{text}");
}

/// The `^C` that a terminal prints stands behind the bar, and goes with it.
#[test]
fn ctrl_c_leaves_nothing_behind() {
    let mut build = SlowBuild::start();
    let mut screen = Screen::new(80);
    build.terminal.wait_for("     build ").pause_on(&mut screen);
    screen.feed(b"^C");
    assert!(screen.text().contains("s^C"), "{}", screen.text());
    build.terminal.signal(Signal::CONT);
    build.let_go_on();
    build.terminal.finish_on(&mut screen);
    let text = screen.text();
    assert!(text.starts_with("     build  nothing to do\n") && !text.contains("^C"), "{text}");
}

/// A build on a terminal of 80 columns, which goes on when the test says so.
struct SlowBuild {
    nix: FakeNix,
    terminal: Terminal,
    _image: tempfile::TempDir,
}

impl SlowBuild {
    fn start() -> Self {
        let sandbox = Sandbox::with_fakes_only();
        let go_on = sandbox.path("go-on").display().to_string();
        let (answers, image) = build_with_image();
        let slow = format!("while ! test -e '{go_on}'; do sleep 0.05; done; {}", answers.build);
        let nix = Answers { build: slow, ..answers }.install_in(sandbox);
        let terminal = nix.xtask(&["--flake", FLAKE, "sd-image", "stinky"]).on_whole_terminal(80);
        Self { nix, terminal, _image: image }
    }

    fn let_go_on(&self) {
        std::fs::write(self.nix.path("go-on"), "").expect("letting the build go on");
    }
}
