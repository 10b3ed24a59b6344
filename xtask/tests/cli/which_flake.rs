//! Which flake a command works on, and where the state of that flake is.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::fake_nix::{Answers, FakeNix, names_json, print_script};
use crate::support::{Outcome, Sandbox};

/// A sandbox with a nix whose flake has the host `pi`.
fn sandbox_with_nix() -> FakeNix {
    let answers = Answers {
        names: print_script(&names_json(&[("s", &["pi-sdImage"])], &[], &[])),
        ..Answers::default()
    };
    answers.install()
}

/// Makes a flake in `folder`, with a git repository.
fn make_flake(folder: &Path) {
    fs::create_dir_all(folder.join(".git")).expect("making a repository");
    fs::write(folder.join("flake.nix"), "").expect("writing a flake");
}

/// Runs the tool in `folder`, with `XTASK_FLAKE` set to `variable` if there is one.
fn run_in(nix: &Sandbox, folder: &Path, args: &[&str], variable: Option<&str>) -> Outcome {
    let run = nix.xtask(args).current_dir(folder);
    match variable {
        Some(flake) => run.env("XTASK_FLAKE", flake).run(),
        None => run.run(),
    }
}

/// The flake that nix evaluated last.
fn last_evaluated_flake(nix: &FakeNix) -> String {
    let calls = nix.calls("nix");
    let call = calls.iter().rev().find(|call| call.contains(&"eval".to_owned())).expect("an evaluation");
    call.iter().find_map(|word| word.strip_suffix("#.")).expect("a flake").to_owned()
}

#[test]
fn the_flake_is_the_nearest_one_upwards() {
    let nix = sandbox_with_nix();
    let outer = nix.path("home/outer");
    let inner = outer.join("inner");
    make_flake(&outer);
    fs::create_dir_all(inner.join("deep")).expect("making folders");
    run_in(&nix, &inner.join("deep"), &["hosts"], None).assert_code(0);
    assert_eq!(last_evaluated_flake(&nix), outer.display().to_string());
    let calls = nix.calls("nix").len();
    for name in [".", "./", "../deep"] {
        run_in(&nix, &inner.join("deep"), &["hosts", "--flake", name], None).assert_code(0);
        assert_eq!(last_evaluated_flake(&nix), outer.display().to_string(), "{name}");
    }
    assert!(nix.calls("nix").len() >= calls + 3);
    // Any other folder that is named has the flake itself.
    let error = format!("no flake in {}: there is no flake.nix", inner.display());
    for args in [&["hosts", "--flake", "./inner"][..], &["identity", "make", "inner#pi"]] {
        run_in(&nix, &outer, args, None).assert_code(2).assert_stderr_contains(&error);
    }
    fs::write(inner.join("flake.nix"), "").expect("writing a flake");
    run_in(&nix, &inner.join("deep"), &["hosts"], None).assert_code(0);
    assert_eq!(last_evaluated_flake(&nix), inner.display().to_string());
}

#[test]
fn the_option_wins_over_the_variable_and_both_over_the_folder() {
    let nix = sandbox_with_nix();
    let [here, other, third] = ["here", "other", "third"].map(|name| nix.path("home").join(name));
    for folder in [&here, &other, &third] {
        make_flake(folder);
    }
    run_in(&nix, &here, &["hosts"], Some("../other")).assert_code(0);
    assert_eq!(last_evaluated_flake(&nix), other.display().to_string());
    run_in(&nix, &here, &["--flake", "../third", "hosts"], Some("../other")).assert_code(0);
    assert_eq!(last_evaluated_flake(&nix), third.display().to_string());
    run_in(&nix, &here, &["hosts"], Some("")).assert_code(0);
    assert_eq!(last_evaluated_flake(&nix), here.display().to_string());
    let outcome = run_in(&nix, &here, &["hosts"], Some("a b"));
    outcome
        .assert_code(2)
        .assert_stderr_contains("reading XTASK_FLAKE: `a b` is neither a folder nor a flake reference");
}

#[test]
fn nix_gets_the_folder_behind_a_link_and_of_a_flake_nix() {
    let nix = sandbox_with_nix();
    let folder = nix.path("home/cluster");
    make_flake(&folder);
    let link = nix.path("home/link");
    std::os::unix::fs::symlink("cluster", &link).expect("making a link");
    let link = link.display().to_string();
    for name in ["link", "./link", "./link/flake.nix", "cluster/flake.nix"] {
        run_in(&nix, &nix.path("home"), &["hosts", "--flake", name], None).assert_code(0);
        let calls = nix.calls("nix").concat();
        assert!(!calls.iter().any(|word| word.contains(&link)), "{name}: {calls:?}");
        assert_eq!(last_evaluated_flake(&nix), folder.display().to_string(), "{name}");
    }
}

#[test]
fn wrong_flakes_are_usage_errors() {
    let nix = sandbox_with_nix();
    let here = nix.path("home/empty");
    fs::create_dir_all(here.join("d")).expect("making folders");
    let folder = here.display();
    for (args, error) in [
        (&["hosts"][..], format!("no flake in {folder}: there is no flake.nix")),
        (&["--flake", "d", "hosts"], format!("no flake in {folder}/d: there is no flake.nix")),
        (&["--flake", "nope", "hosts"], "no flake in nope: there is no folder `nope`".to_owned()),
        (&["identity", "make", "nope#pi"], "no flake in nope: there is no folder `nope`".to_owned()),
        (&["--flake", "", "hosts"], "the flake reference is empty".to_owned()),
        (
            &["--flake", ".#pi", "hosts"],
            "--flake takes a flake, and `#pi` names an attribute of one".to_owned(),
        ),
        (&["deploy", "a#pi", "b#pi"], "two flakes are named: a and b".to_owned()),
    ] {
        let outcome = run_in(&nix, &here, args, None);
        outcome.assert_code(2).assert_stdout("").assert_stderr_contains(format!("error: {error}\nhint: "));
    }
    assert!(nix.calls("nix").is_empty());
    run_in(&nix, &here, &["--flake", "flake:nope", "hosts"], None).assert_code(0);
    assert_eq!(last_evaluated_flake(&nix), "flake:nope");
    // Commands that need no flake work without one.
    run_in(&nix, &here, &["history"], None).assert_code(0);
}

#[test]
fn commands_that_evaluate_nothing_need_the_flake_that_is_named() {
    let nix = sandbox_with_nix();
    crate::identity::fake_keygen(&nix);
    let here = nix.path("home/empty");
    fs::create_dir_all(here.join("d")).expect("making folders");
    let nowhere = format!("no flake in {}/nope: there is no such folder", here.display());
    let empty = format!("no flake in {}/d: there is no flake.nix", here.display());
    for (args, variable, error) in [
        (&["identity", "make", "./nope#pi"][..], None, &nowhere),
        (&["identity", "make", "pi", "--flake", "./d"], None, &empty),
        (&["identity", "show", "d#pi"], None, &empty),
        (&["identity", "make", "pi"], Some("./nope"), &nowhere),
        (&["history", "--flake", "./nope"], None, &nowhere),
        (&["flash", "--image", "a.img", "/dev/null", "--flake", "d"], None, &empty),
    ] {
        let outcome = run_in(&nix, &here, args, variable);
        let error = format!("{}{error}\nhint: ", variable.map_or("", |_| "reading XTASK_FLAKE: "));
        outcome.assert_code(2).assert_stdout("").assert_stderr_contains(error);
    }
    assert!(!nix.path("state").exists());
    run_in(&nix, &here, &["history", "--flake", "github:o/f"], None).assert_code(0);
    run_in(&nix, &here, &["identity", "make", "github:o/f#pi"], None).assert_code(0);
}

#[test]
fn state_is_beside_the_flake_and_git_ignores_it() {
    let nix = Sandbox::with_fakes_only();
    crate::identity::fake_keygen(&nix);
    let folder = nix.path("home/cluster");
    make_flake(&folder);
    nix.fake("git", "exit 0");
    let make = |folder: &Path| {
        nix.xtask(&["identity", "make", "pi"]).current_dir(folder).env_remove("XTASK_STATE").run()
    };
    make(&folder).assert_code(0);
    assert!(folder.join(".xtask/identity/pi").exists());
    assert_eq!(fs::read_to_string(folder.join(".xtask/.gitignore")).expect("a file for git"), "*\n");
    // Nix copies a folder without git whole, so keys are elsewhere.
    let plain = nix.path("home/plain");
    fs::create_dir_all(&plain).expect("making a folder");
    fs::write(plain.join("flake.nix"), "").expect("writing a flake");
    let outcome = make(&plain);
    outcome.assert_code(0);
    let states = nix.path("home/.local/state/nixos-pi-xtask");
    let name = plain.display().to_string().replace('/', "%2F").replace("/.", "%2F.");
    assert!(states.join(&name).join("identity/pi").exists(), "{name}: {outcome:?}");
    assert!(!plain.join(".xtask").exists());
}

/// A folder that becomes a git repository gets the keys that were elsewhere until then, however it was named then.
#[test]
fn keys_follow_a_flake_that_can_hold_them_now() {
    let nix = Sandbox::with_fakes_only();
    crate::identity::fake_keygen(&nix);
    nix.fake("git", "exit 0");
    let folder = nix.path("home/cluster");
    fs::create_dir_all(&folder).expect("making a folder");
    fs::write(folder.join("flake.nix"), "").expect("writing a flake");
    let identity = |words: &[&str]| {
        let run = nix.xtask(&[&["identity"], words].concat()).current_dir(&folder);
        run.env_remove("XTASK_STATE").run()
    };
    let key = |outcome: &Outcome| outcome.stdout.lines().next().expect("a key").to_owned();
    identity(&["make", "pi"]).assert_code(0);
    let public = key(&identity(&["show", "pi"]));
    assert!(public.starts_with("key     SHA256:"), "{public}");
    let slash = format!("{}/", folder.display());
    for reference in [".", "path:.", &slash] {
        assert_eq!(key(&identity(&["show", "pi", "--flake", reference])), public, "{reference}");
    }
    // What an earlier version made for a reference of another form.
    let states = nix.path("home/.local/state/nixos-pi-xtask");
    let name = |text: String| states.join(text.replace(':', "%3A").replace('/', "%2F"));
    let current = name(folder.display().to_string());
    fs::rename(&current, name(format!("path:{}", folder.display()))).expect("renaming");
    let found = identity(&["show", "pi"]);
    assert_eq!(key(found.assert_stderr_contains("moved the key of pi from ")), public);
    fs::create_dir(folder.join(".git")).expect("making a repository");
    let moved = identity(&["show", "pi"]);
    moved.assert_code(0).assert_stderr_contains(format!("to {}/.xtask\n", folder.display()));
    assert_eq!(key(&moved), public);
    assert!(folder.join(".xtask/identity/pi").is_dir());
    assert!(!identity(&["show", "pi"]).stderr.contains("moved"));
    // Nix copies all files of a `path:` flake, and git cannot help.
    identity(&["make", "other", "--flake", "path:."])
        .assert_stderr_contains(format!("pass --flake {} without `path:`", folder.display()))
        .assert_code(3);
    // Without git, Nix copies the folder whole.
    fs::remove_dir(folder.join(".git")).expect("removing the repository");
    let refused = nix.xtask(&["hosts"]).current_dir(&folder).env_remove("XTASK_STATE").run();
    let text = format!("nix copies {}/.xtask/identity to its store with the flake ", folder.display());
    refused.assert_stderr_contains(text).assert_code(3);
}

/// State of an earlier version in the checkout of the tool. Dropping this value removes it.
struct EarlierState {
    host: String,
    receipt: PathBuf,
}

impl EarlierState {
    /// Makes the key of `host` and the receipt of its card, as the earlier version wrote them.
    fn new(sandbox: &FakeNix, host: &str, flake: &Path) -> Self {
        let state = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.xtask");
        let new = Self { host: host.to_owned(), receipt: state.join(format!("receipts/000001-{host}.json")) };
        sandbox.xtask(&["identity", "make", "--yes", host]).env("XTASK_STATE", &state).run().assert_code(0);
        let device = crate::flash::make_card(sandbox).display().to_string();
        let file = sandbox.path("home/image.img").display().to_string();
        fs::write(&file, crate::flash::image_bytes()).expect("writing an image");
        let confirmation = ["--allow-virtual", "--yes", "--expect-size", "4MiB", "--identity", "none"];
        sandbox.run(&[&["flash", "--image", &file, &device], &confirmation[..]].concat()).assert_code(0);
        let receipts = fs::read_dir(sandbox.path("state/receipts")).expect("reading the receipts");
        let receipt = receipts.map(|entry| entry.expect("a receipt").path()).next().expect("a receipt");
        let mut text: serde_json::Value =
            serde_json::from_slice(&fs::read(receipt).expect("reading the receipt")).expect("JSON");
        text["host"] = host.into();
        text["flake"] = flake.display().to_string().into();
        fs::create_dir_all(state.join("receipts")).expect("making a folder");
        fs::write(&new.receipt, text.to_string()).expect("writing the receipt");
        fs::set_permissions(&new.receipt, Permissions::from_mode(0o600)).expect("setting the mode");
        new
    }

    /// The folder of the key.
    fn key_folder(&self) -> PathBuf {
        self.receipt.ancestors().nth(2).expect("the state folder").join("identity").join(&self.host)
    }
}

impl Drop for EarlierState {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.receipt);
        let _ = fs::remove_dir_all(self.key_folder());
    }
}

/// The first command that needs keys or receipts moves them, whichever command it is.
#[test]
fn keys_and_receipts_of_earlier_versions_are_moved_to_the_flake() {
    for (host, command) in
        [("moved-by-hosts", "hosts"), ("moved-by-identity", "identity"), ("moved-by-history", "history")]
    {
        let nix = sandbox_with_nix();
        crate::identity::fake_keygen(&nix);
        nix.fake("git", "exit 0");
        let folder = nix.path("home/cluster");
        make_flake(&folder);
        let earlier = EarlierState::new(&nix, host, &folder);
        let reference = folder.display().to_string();
        let args: &[&str] = match command {
            "identity" => &["--flake", &reference, "identity", "show", host],
            command => &["--flake", &reference, command],
        };
        let outcome = nix.xtask(args).env_remove("XTASK_STATE").run();
        let from_and_to = format!(
            " from {} to {}/.xtask\n",
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a checkout").join(".xtask").display(),
            folder.display()
        );
        outcome
            .assert_code(0)
            .assert_stderr_contains(format!("moved the key of {host}{from_and_to}"))
            .assert_stderr_contains(format!("moved 1 receipt{from_and_to}"));
        assert!(!earlier.key_folder().exists() && !earlier.receipt.exists(), "{outcome:?}");
        assert!(folder.join(".xtask/identity").join(host).is_dir());
        let history = nix.xtask(&["--flake", &reference, "history"]).env_remove("XTASK_STATE").run();
        history.assert_code(0).assert_stdout_contains(host);
        assert!(!history.stderr.contains("moved"), "{history:?}");
    }
}
